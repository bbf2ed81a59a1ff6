"""Inputs that a model reads in several parts: windows of a long text, or a text beside each of several labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor

from ..errors import InputError
from .batches import collate, length_of, windows
from .text import TextPipeline


class PartsPipeline(TextPipeline):
    """A task whose `preprocess` gives {"input_ids": of all parts (1, N), "parts": the model's arguments of each, …}.

    What `postprocess` gets is the same with "logits", a list with those of each part.
    """

    by_tokens = True
    # how many dimensions logits have, and what a model without them lacks
    DIMENSIONS: ClassVar[int] = 2
    NEEDS: ClassVar[tuple[str, str, str]] = ("", "", "")

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The parts of one input."""
        return self.preprocess_batch([inputs], None, **parameters)[0]

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        parts = [part for item in items for part in item["parts"]]
        lengths = [length_of(part) for part in parts]
        logits: dict[int, Tensor] = {}
        for window in windows(lengths, self._step_tokens(), max(1, sum(lengths))):
            for batch in window:
                rows = self._logits(
                    self.forward(collate([parts[i] for i in batch], self.tokenizer, True), **parameters)
                )
                logits.update(zip(batch, rows, strict=True))
        start = 0
        for item in items:
            own = range(start, start + len(item["parts"]))
            start = own.stop
            yield {**item, "logits": [logits[i][: lengths[i]] if self.per_token else logits[i] for i in own]}

    def _logits(self, outputs: Any) -> Tensor:
        logits: Tensor | None = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[0]
        if logits is None or logits.ndim != self.DIMENSIONS:
            per, task, auto = self.NEEDS
            raise InputError(
                f"{type(self.model).__name__} gives no logits per {per}. {task} needs a model with such a head: {auto} "
                "loads one."
            )
        return logits
