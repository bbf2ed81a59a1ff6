"""Inputs that a model reads in several parts: windows of a long text, or a text beside each of several labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from .batches import by_count, by_length, collate, length_of
from .encoding import rows
from .failures import place
from .text import TextPipeline, no_head, read_side, reads


class PartsPipeline(TextPipeline):
    """A task whose `preprocess` gives {"input_ids": of all parts (1, N), "parts": the model's arguments of each, …}.

    What `postprocess` gets is the same with "logits", a list with those of each part. The argument `parts_per_step` of
    forward is how many parts the model reads at a time; without it they are chosen by tokens.
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
        names = [key for key in encoding if key in self.tokenizer.model_input_names and reads(self.model, key)]
        return list(rows({key: encoding[key] for key in names}))

    def _item(self, parts: list[dict[str, Tensor]], **more: Any) -> dict[str, Any]:
        """What `preprocess` gives for one input."""
        ids = [part["input_ids"] for part in parts]
        return {"input_ids": torch.cat(ids, dim=1) if ids else torch.empty(1, 0), "parts": parts, **more}

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        options = dict(parameters)
        size = options.pop("parts_per_step", None)
        parts = [part for item in items for part in item["parts"]]
        lengths = [length_of(part) for part in parts]
        logits: dict[int, Tensor] = {}
        every = range(len(parts))
        plan = by_length(every, lengths, self._step_tokens()) if size is None else by_count(every, lengths, size)
        for batch in plan:
            together = collate([parts[i] for i in batch], self.tokenizer, right=True)
            logits.update(zip(batch, self._logits(self.forward(together, **options)), strict=True))
        start = 0
        for item in items:
            own = range(start, start + len(item["parts"]))
            start = own.stop
            yield {**item, "logits": [logits[i][: lengths[i]] if self.per_token else logits[i] for i in own]}

    def _logits(self, outputs: Any) -> Tensor:
        logits: Tensor | None = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[0]
        if logits is None or logits.ndim != self.DIMENSIONS:
            raise no_head(self.model, *self.NEEDS)
        return logits


class Beside(NamedTuple):
    """A text, and what it is read beside; `only` says that there is one of these, and was not given as a list."""

    text: str
    others: list[str]
    only: bool = False


class BesidePipeline(PartsPipeline):
    """A task that reads a text beside each of several others: a query and documents, a prompt and choices."""

    # what the others are called in an input and in messages
    OTHERS: ClassVar[str] = ""

    @abstractmethod
    def _beside(self, item: Any, name: str) -> Beside:
        """What an input holds. Raises InputError, with its `name`, for anything else."""

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is what the task reads."""
        self._beside(item, name)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The text of each input beside each of the others; all of them are tokenized in one call."""
        names = [place(first, index) for index in range(len(inputs))]
        read = [self._beside(item, name) for item, name in zip(inputs, names, strict=True)]
        pairs = [(own.text, other) for own in read for other in own.others]
        encoded = self._tokenize(pairs, self._with_limit(parameters))
        found: list[Mapping[str, Any]] = []
        for own, name in zip(read, names, strict=True):
            parts = list(islice(encoded, len(own.others)))
            for number, part in enumerate(parts):
                which = f"{name}: its text_pair" if own.only else f"{name}: {self.OTHERS}[{number}]"
                self._fits(part, which, own.others[number])
            found.append(self._item(parts, beside=own))
        return found

    def _others(self, given: Any, name: str) -> list[str]:
        """The others of an input, as a list of texts."""
        if not isinstance(given, list | tuple):
            raise InputError(f"{name}: its {self.OTHERS} are {given!r:.60}; a list of texts is needed.")
        return [read_side(one, f"{name}: {self.OTHERS}[{number}]", True) for number, one in enumerate(given)]
