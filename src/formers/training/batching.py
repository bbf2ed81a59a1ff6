"""Which texts are trained together: batches of texts of like lengths, and batches filled up to a number of tokens."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence, Sized
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ..errors import InputError

_WINDOW = 4096  # shuffled texts among which those that fit together are looked for


def packed_batches(
    lengths: Sequence[int], tokens: int, generator: torch.Generator | None = None, window: int = _WINDOW
) -> list[list[int]]:
    """The numbers of all texts, each once, in batches of at most `tokens` tokens, which are nearly full.

    lengths: how many tokens each text has, from 1 to `tokens`. Texts are shuffled; then the longest of a window of
    them go first, each into the batch that it fills up best. What a window leaves half empty the next one fills.
    Errors: InputError for a text without tokens, or with more than a batch holds.
    """
    wrong = next((i for i, length in enumerate(lengths) if not 1 <= length <= tokens), None)
    if wrong is not None:
        raise InputError(
            f"Text {wrong} has {lengths[wrong]} tokens; a batch holds 1 to {tokens}. Cut or leave out such a text, or "
            "let batches hold more."
        )
    shuffled, shortest = torch.randperm(len(lengths), generator=generator).tolist(), min(lengths, default=1)
    batches: list[list[int]] = []
    free: list[tuple[int, int]] = []  # how many tokens a batch still takes, and its number: in order
    for start in range(0, len(shuffled), window):
        for text in sorted(shuffled[start : start + window], key=lambda i: -lengths[i]):
            at = bisect_left(free, (lengths[text], -1))
            room, batch = free.pop(at) if at < len(free) else (tokens, len(batches))
            if batch == len(batches):
                batches.append([])
            batches[batch].append(text)
            if room > lengths[text]:
                insort(free, (room - lengths[text], batch))
        # full is what takes no text, or what many windows have left with little room
        free = free[bisect_left(free, (shortest, -1)) :][-window:]
    order = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[i] for i in order]


def get_length_grouped_indices(
    lengths: Sequence[int] | Tensor,
    batch_size: int,
    mega_batch_mult: int | None = None,
    generator: torch.Generator | None = None,
) -> list[int]:
    """The numbers of all texts, shuffled so that each `batch_size` of them in a row have nearly the same length.

    Shuffled texts are sorted, the longest first, within stretches of `mega_batch_mult` batches: 50, or what makes four
    stretches, if left out. The longest text of all comes first, so that memory that is too small shows at once.
    """
    counts = _plain(lengths)
    most = max(min(len(counts) // (batch_size * 4), 50), 1) if mega_batch_mult is None else mega_batch_mult
    shuffled, size = torch.randperm(len(counts), generator=generator).tolist(), most * batch_size
    stretches = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    for stretch in stretches:
        stretch.sort(key=counts.__getitem__, reverse=True)
    if stretches:
        longest = max(stretches, key=lambda stretch: counts[stretch[0]])
        stretches[0][0], longest[0] = longest[0], stretches[0][0]
    return list(chain.from_iterable(stretches))


def _plain(lengths: Sequence[int] | Tensor) -> list[int]:
    return lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)


class LengthGroupedSampler(Sampler[int]):
    """Numbers of texts in the order of `get_length_grouped_indices`, anew in each pass.

    lengths: how many tokens each text of `dataset` has; counted from its `model_input_name` ("input_ids") if left out.
    """

    def __init__(
        self,
        batch_size: int,
        dataset: Any = None,
        lengths: Sequence[int] | Tensor | None = None,
        model_input_name: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.batch_size, self.generator = batch_size, generator
        self.lengths = lengths_of(dataset, model_input_name or "input_ids") if lengths is None else _plain(lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=self.generator))


def lengths_of(dataset: Any, name: str = "input_ids") -> list[int]:
    """How many tokens each feature of a dataset has under `name`. Errors: InputError where they do not say."""
    if dataset is None:
        raise InputError("Texts are grouped by length: give the dataset, or lengths.")
    if not isinstance(dataset, Sized) or not len(dataset):
        return []
    if not isinstance(dataset[0], Mapping) or name not in dataset[0]:  # type: ignore[index]
        raise InputError(f"The dataset's features have no {name!r} to count; give lengths=, one number for each.")
    return [len(feature[name]) for feature in dataset]  # type: ignore[attr-defined]
