"""The steps of one call of a pipeline: inputs are encoded a chunk at a time, and run in windows of batches.

A chunk is what was read together; a window is a part of it whose results may wait for each other; see batches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, InputError
from .batches import Batch, consecutive, windows
from .failures import Failed, add_note, each, place
from .streams import chunks

if TYPE_CHECKING:
    from .base import Pipeline


@dataclass(frozen=True)
class Steps:
    """What a call of a pipeline asks for.

    Attributes:
        pipe: the pipeline.
        preprocess, forward, postprocess: the keyword arguments of its hooks.
        size: inputs per batch; None to choose by tokens, where the pipeline can.
        window_tokens: tokens whose results may wait for each other.
        keep: whether an input that cannot be used gives Failed in its turn, and not its error at once.
        pace: says how fast it goes, for a bar; None where inputs are counted.
    """

    pipe: Pipeline
    preprocess: dict[str, Any]
    forward: dict[str, Any]
    postprocess: dict[str, Any]
    size: int | None
    window_tokens: int
    keep: bool
    pace: Any = None

    def check(self, items: list[Any], first: int | None) -> None:
        """Raise for the first item that the pipeline cannot read; `first` is the number of items[0] in messages."""
        for index, item in enumerate(items):
            self.pipe.check_input(item, place(first, index), **self.preprocess)

    def stream(self, inputs: Any, eager: bool) -> Iterator[Any]:
        """The results of a list, a generator or a dataset; `eager` says that all of them are wanted at once."""
        return self.results(chunks(inputs, self.size, eager, most=self.pipe.read_at_once), 0)

    def results(self, read: Iterator[list[Any]], first: int | None) -> Iterator[Any]:
        """Results one by one; between two of them at most a chunk of inputs and a window of results are held."""
        for chunk in read:
            encoded = self._encoded(chunk, first)
            results: dict[int, Any] = {i: item for i, item in enumerate(encoded) if isinstance(item, Failed)}
            good = [i for i in range(len(encoded)) if i not in results]
            due = 0
            # the last window, an empty one, is for what failed after the last good input
            for window in chain(self._plan([self.pipe.length(encoded[i]) for i in good]), [[]]):
                for batch in window:
                    results.update(self._outcomes({good[i]: encoded[good[i]] for i in batch}, first))
                while due in results:
                    yield results.pop(due)
                    due += 1
            first = None if first is None else first + len(chunk)

    def _encoded(self, chunk: list[Any], first: int | None) -> list[Any]:
        """What the model reads of each input, or Failed."""
        if not self.keep:  # then they are checked already
            return self._preprocessed(chunk, first)
        if self.pipe.by_tokens:
            return each(self._checked, chunk, first)
        places = [None] if first is None else range(first, first + len(chunk))
        return [item for one, own in zip(chunk, places, strict=True) for item in each(self._checked, [one], own)]

    def _checked(self, items: list[Any], first: int | None) -> list[Any]:
        self.check(items, first)
        return self._preprocessed(items, first)

    def _preprocessed(self, items: list[Any], first: int | None) -> list[Any]:
        if self.pipe.by_tokens:
            return list(self.pipe.preprocess_batch(items, first, **self.preprocess))
        # a class that takes no batches may inherit a preprocess_batch that knows nothing of its preprocess
        return one_by_one(self.pipe.preprocess, items, first, self.preprocess)

    def _plan(self, lengths: list[int]) -> Iterator[list[Batch]]:
        if self.size is None and self.pipe.by_tokens:
            step_tokens = self.pipe._step_tokens()
            return windows(lengths, step_tokens, max(self.window_tokens, step_tokens))
        return consecutive(len(lengths), self.size or 1)

    def _outcomes(self, items: dict[int, Mapping[str, Any]], first: int | None) -> Iterator[tuple[int, Any]]:
        """The result of each input of a batch, or Failed, with its place in the chunk."""
        try:
            outputs = list(self.pipe._batch_outputs(list(items.values()), self.forward))
        except Exception as error:
            add_note(error, first, list(items))
            if not self.keep or not isinstance(error, InputError) or isinstance(error, ArgumentError):
                raise
            if len(items) > 1:  # each of them alone will tell
                yield from (outcome for index in items for outcome in self._outcomes({index: items[index]}, first))
            else:
                yield from ((index, Failed(error, place(first, index))) for index in items)
            return
        for index, output in zip(items, outputs, strict=True):
            yield index, self._result(output, index, first)

    def _result(self, output: Any, index: int, first: int | None) -> Any:
        try:
            return self.pipe.postprocess(output, **self.postprocess)
        except Exception as error:
            add_note(error, first, [index])
            if not self.keep or isinstance(error, ArgumentError):
                raise
            return Failed(error, place(first, index))


def one_by_one(
    preprocess: Callable[..., Mapping[str, Any]], items: list[Any], first: int | None, parameters: dict[str, Any]
) -> list[Mapping[str, Any]]:
    """`preprocess` of each item; a note of its error says which one it was."""
    encoded = []
    for index, item in enumerate(items):
        try:
            encoded.append(preprocess(item, **parameters))
        except Exception as error:
            add_note(error, first, [index])
            raise
    return encoded
