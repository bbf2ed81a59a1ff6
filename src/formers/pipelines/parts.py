"""Inputs that a model reads in several parts: windows of a long text, or a text beside each of several labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import InputError
from .batches import by_length, collate, length_of
from .text import TextPipeline, rows


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

    def _model_inputs(self, encoding: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """What the model reads of each row of an encoding of lists."""
        return list(rows({key: encoding[key] for key in encoding if key in self.tokenizer.model_input_names}))

    def _item(self, parts: list[dict[str, Tensor]], **more: Any) -> dict[str, Any]:
        """What `preprocess` gives for one input."""
        return {"input_ids": torch.cat([part["input_ids"] for part in parts], dim=1), "parts": parts, **more}

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        parts = [part for item in items for part in item["parts"]]
        lengths = [length_of(part) for part in parts]
        logits: dict[int, Tensor] = {}
        for batch in by_length(range(len(parts)), lengths, self._step_tokens()):
            together = collate([parts[i] for i in batch], self.tokenizer, right=True)
            logits.update(zip(batch, self._logits(self.forward(together, **parameters)), strict=True))
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
