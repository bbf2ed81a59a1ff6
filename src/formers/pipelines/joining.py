"""Texts written a few at a time, where the next one joins as one ends; results in the order of their prompts.

inputs ─▶ waiting ─▶ written together ─▶ results ─▶ in order
             ▲ taken while few results wait for an earlier one
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import ArgumentError, InputError
from ..generation.continuous import AT_ONCE, Written, write_many
from .batches import Batch, consecutive, length_of
from .failures import Failed, add_note, place
from .steps import Steps
from .streams import chunks

if TYPE_CHECKING:
    from .writing import Writing

# prompts that may be ahead of the oldest text that is not done
_AHEAD = 1024
_ACCELERATOR_FACTOR = 8


@dataclass
class Pace:
    """How many tokens were written, and since when."""

    tokens: int = 0
    since: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"{self.tokens / max(time.monotonic() - self.since, 1e-9):,.0f} tokens/s"


@dataclass(frozen=True)
class Joining(Steps):
    """Steps of a pipeline that writes: `pipe.writing` says what by, or None where a batch has to stay together."""

    pace: Pace = field(default_factory=Pace)

    def stream(self, inputs: Any, eager: bool) -> Iterator[Any]:
        """The results of a list, a generator or a dataset; a generator is never waited for while texts are written."""
        if self.writing is None:
            return super().stream(inputs, eager)
        line, live = _Line(self, self.writing, 0), not hasattr(inputs, "__len__") and self.size != 1
        return line.results(chunks(inputs, None if live else self.size, eager, line.busy), live)

    def results(self, read: Iterator[list[Any]], first: int | None) -> Iterator[Any]:
        """Results one by one."""
        if self.writing is None:
            return super().results(read, first)
        return _Line(self, self.writing, first).results(read)

    @cached_property
    def writing(self) -> Writing | None:
        """What texts are written by that may join each other."""
        found: Writing | None = self.pipe.writing(self.forward)  # type: ignore[attr-defined]
        return found

    def _preprocessed(self, items: list[Any], first: int | None) -> list[Any]:
        found = super()._preprocessed(items, first)
        return [self._fitted(item, index, first) for index, item in enumerate(found)]

    def _fitted(self, item: Any, index: int, first: int | None) -> Any:
        """The item with its number. Raises InputError for a prompt that leaves no room, and names its input."""
        if not isinstance(item, Mapping):
            return item
        try:
            item = self.pipe.fitted(item, self.forward)  # type: ignore[attr-defined]
            if self.writing is not None:
                self.writing.room(length_of(item))
        except ArgumentError:
            raise
        except InputError as error:
            raise InputError(f"{place(first, index)}: {error}") from error
        return {**item, "number": (first or 0) + index}

    def _plan(self, lengths: list[int]) -> Iterator[list[Batch]]:
        return consecutive(len(lengths), self.size or self.pipe.together(self.forward))  # type: ignore[attr-defined]

    def _result(self, output: Any, index: int, first: int | None) -> Any:
        if isinstance(output, Mapping) and isinstance(written := output.get("generated_sequence"), Tensor):
            self.pace.tokens += written.numel() - written[..., 0].numel() * length_of(output)
        return super()._result(output, index, first)


class _Line:
    """Prompts that wait, texts that are written, and results that wait for an earlier one, by the inputs' numbers.

    As an iterator it gives `write_many` what may be taken now: it may stop, and have more later.
    """

    def __init__(self, steps: Joining, writing: Writing, first: int | None) -> None:
        self.steps, self.writing, self.first = steps, writing, first
        self.at_once = steps.size or AT_ONCE * (1 if steps.pipe.device.type == "cpu" else _ACCELERATOR_FACTOR)
        self.waiting: deque[tuple[int, Any]] = deque()
        self.written: dict[int, Any] = {}
        self.done: dict[int, Any] = {}
        self.read, self.due = 0, 0
        self.error: Exception | None = None

    def busy(self) -> bool:
        """Whether texts are being written."""
        return bool(self.written)

    def results(self, read: Iterator[list[Any]], live: bool = False) -> Iterator[Any]:
        """The results of what is `read`; `live` inputs are looked for at every step, others when places are free."""
        self.source = read
        while self.waiting or self._more():
            yield from self._finished()
            yield from self._write(live)
        yield from self._finished()
        if self.error is not None:
            raise self.error

    def _more(self) -> bool:
        """Read on; False at the end. An error of the source waits for the results before it."""
        try:
            chunk = next(self.source, None) if self.error is None else None
        except Exception as error:
            self.error, chunk = error, None
        if chunk is None:
            return False
        first = None if self.first is None else self.read
        for number, item in enumerate(self.steps._encoded(chunk, first), self.read):
            if isinstance(item, Failed):
                self.done[number] = item
            else:
                self.waiting.append((number, item))
        self.read += len(chunk)
        return True

    def _write(self, live: bool) -> Iterator[Any]:
        pipe, asked = self.steps.pipe, self.writing
        texts = write_many(
            pipe.model, self, asked.config, asked.room, self.at_once, criteria=asked.criteria, every_step=live,
            numbered=True,
        )  # fmt: skip
        while (text := self._next(texts)) is not None:
            if text.ended:
                self._settle(text)
                yield from self._finished()
            if self.written and not self.waiting and (live or text.ended):
                self._more()
                yield from self._finished()

    def _next(self, texts: Iterator[Written]) -> Written | None:
        pipe = self.steps.pipe
        try:
            # not around the loop: what the caller does between two results is none of ours
            with pipe.device_placement(), pipe.get_inference_context()():
                return next(texts, None)
        except Exception as error:
            add_note(error, self.first, sorted(self.written))
            raise

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        return self

    def __next__(self) -> tuple[int, Tensor]:
        if not self.waiting or self.waiting[0][0] - self.due >= _AHEAD:
            raise StopIteration
        number, item = self.waiting.popleft()
        self.written[number] = item
        return number, item["input_ids"][0].to(self.steps.pipe.device)

    def _settle(self, text: Written) -> None:
        item = self.written.pop(text.number)
        output = {**item, "generated_sequence": text.ids[None, None].cpu()}
        self.done[text.number] = self.steps._result(output, text.number, self.first)

    def _finished(self) -> Iterator[Any]:
        while self.due in self.done:
            result = self.done.pop(self.due)
            self.due += 1
            yield result
