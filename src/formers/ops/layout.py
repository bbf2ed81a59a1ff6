"""Layout: where each row of the tensors inside a model sits in its (B, T) batch.

    attention_mask      columns →           rows inside the model
      1 1 1 0           a b c .
      1 1 0 0           d e . .      →      d e a b c f g h i        (N = 9 rows of width D)
      1 1 1 1           f g h i

Letters: B batch, T columns, N real tokens, D width.

Layers see (N, D): the real tokens of the batch back to back, no padding computed. The shortest text comes first, so
that texts of one length, a run, are a (texts, length, D) view of their rows: attention needs neither padding nor a mask
there. When the mask is full, or the padding has to be kept, layers see (B, T, D) instead; every operation but attention
and the heads works on the last dimension and cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError


class Run(NamedTuple):
    """Texts of one length that are neighbours: `texts · length` rows from row `start` on, text by text."""

    start: int
    texts: int
    length: int


@dataclass(frozen=True)
class Layout:
    """The place of every row in the batch.

    batch, columns: B and T.
    index: (N,) where each row sits in the flattened (B·T) batch, or None when all B·T rows are there.
    mask: what attention may not see, where the padding is kept: bool (B, T) over keys, or (B, Q, T) with Q 1 or T;
        None when every row that is there is visible.
    lengths: real tokens of each of the B texts; None unless packed.
    only_first: whether nobody reads what the model computes but column 0; the last layer may then leave out the rest.
    """

    batch: int
    columns: int
    index: Tensor | None = None
    mask: Tensor | None = None
    lengths: tuple[int, ...] | None = None
    only_first: bool = False

    @classmethod
    def of(cls, attention_mask: Tensor | None, batch: int, columns: int, keep_padding: bool = False) -> Layout:
        """The layout of a batch with `attention_mask`: (B, T), 1 at real tokens; (B, T, T) or (B, 1, T, T) per query.

        Padding is kept where `keep_padding` says so, where the mask is given per query, where column 0 of some row is
        masked (heads read it), and while a graph is being traced (the number of rows would become a constant).
        """
        if attention_mask is None:
            return cls(batch, columns)
        visible = attention_mask.bool()
        if visible.dim() == 4:
            visible = visible.squeeze(1)
        if visible.dim() == 3 or keep_padding or is_tracing():
            return cls(batch, columns, mask=visible)
        lengths = tuple(visible.sum(1).tolist())
        if all(length == columns for length in lengths):
            return cls(batch, columns)
        if not bool(visible[:, 0].all()):
            return cls(batch, columns, mask=visible)
        order = torch.tensor(_shortest_first(lengths), device=visible.device)
        text, column = visible[order].nonzero(as_tuple=True)
        return cls(batch, columns, index=order[text] * columns + column, lengths=lengths)

    @classmethod
    def of_lengths(
        cls, lengths: Sequence[int], columns: int | None = None, device: torch.device | str = "cpu"
    ) -> Layout:
        """The layout of texts whose `lengths` (B), at least 1 each, are known: (B, T) padded on the right.

        columns: T, the longest length if left out. The same as `of` with the mask, without waiting for a device.
        """
        longest = max(lengths, default=0)
        columns = longest if columns is None else columns
        if not lengths or min(lengths) < 1 or longest > columns:
            raise InputError(f"lengths must be from 1 to {columns} columns, got {list(lengths)}.")
        if min(lengths) == columns:
            return cls(len(lengths), columns)
        spans = [torch.arange(i * columns, i * columns + lengths[i]) for i in _shortest_first(lengths)]
        return cls(len(lengths), columns, index=torch.cat(spans).to(device), lengths=tuple(lengths))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The rows in order, as runs of texts of one length; none where a mask hides rows that are there."""
        if self.mask is not None:
            return ()
        if self.lengths is None:
            return (Run(0, self.batch, self.columns),)
        runs, start = [], 0
        for length, texts in groupby(sorted(self.lengths)):
            runs.append(Run(start, sum(1 for _ in texts), length))
            start += runs[-1].texts * length
        return tuple(runs)

    @cached_property
    def _starts(self) -> Tensor:
        """(B,) the row of each text's column 0, where packed."""
        assert self.index is not None and self.lengths is not None
        starts, row = [0] * self.batch, 0
        for text in _shortest_first(self.lengths):
            starts[text] = row
            row += self.lengths[text]
        return torch.tensor(starts, device=self.index.device)

    def pack(self, x: Tensor | None) -> Tensor:
        """(B, T, …) to rows; (1, T, …) stands for the same in every row of the batch."""
        assert x is not None  # callers pass what they have checked to be there
        if self.index is None:
            return x
        return x.expand(self.batch, *x.shape[1:]).flatten(0, 1).index_select(0, self.index)

    def unpack(self, rows: Tensor) -> Tensor:
        """Rows to (B, T, …), zeros at padding."""
        if self.index is None:
            return rows
        whole = rows.new_zeros(self.batch * self.columns, *rows.shape[1:])
        return whole.index_copy(0, self.index, rows).unflatten(0, (self.batch, self.columns))

    def first(self, rows: Tensor) -> Tensor:
        """Rows to (B, …): those of column 0, which may be all that there are, see `only_first`."""
        if self.index is None:
            return rows[:, 0]
        if rows.shape[0] == self.batch:  # also where each text is one token: neighbours in their own order
            return rows
        return rows.index_select(0, self._starts)

    def in_order(self, first: Tensor) -> Tensor:
        """(B, …), one for each text in the order of `runs`, to the texts' own order."""
        if self.lengths is None:
            return first
        order = torch.tensor(_shortest_first(self.lengths), device=first.device)
        return torch.empty_like(first).index_copy(0, order, first)

    def positions(self, device: torch.device) -> Tensor:
        """The column of every row: (N,), or (1, T) where all rows are there."""
        if self.index is None:
            return torch.arange(self.columns, device=device)[None]
        return self.index % self.columns

    @cached_property
    def contiguous(self) -> bool:
        """Whether there is no padding within a text, so that its rows are as far apart as their columns."""
        if self.index is None:
            return True
        text, column = self.index // self.columns, self.index % self.columns
        return bool((column.diff()[text.diff() == 0] == 1).all())

    def blind(self, causal: bool = False, window: int | None = None) -> bool:
        """Whether some query may see nothing at all; not asked while a graph is being traced."""
        if self.mask is None or is_tracing():
            return False
        if window is not None and window < self.columns:
            return True  # padding may lie too far away from all that is real
        sees = self.mask[:, 0] if causal and self.mask.dim() == 2 else self.mask.any(-1)
        return not bool(sees.all())

    def visible(
        self, causal: bool = False, window: int | None = None, device: torch.device | None = None
    ) -> Tensor | None:
        """Which keys each query sees: bool, broadcastable to (B, 1, T, T); None when all see all.

        window: how many columns away they may be. device: for what no tensor here says a device for.
        """
        mask = self.mask
        if self.index is not None:
            mask = torch.zeros(self.batch * self.columns, dtype=torch.bool, device=self.index.device)
            mask = mask.index_fill(0, self.index, True).view(self.batch, self.columns)
        if mask is not None:
            mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]  # (B, 1, 1 or T, T)
        if causal or (window is not None and window < self.columns - 1):
            column = torch.arange(self.columns, device=device if mask is None else mask.device)
            distance = column[:, None] - column  # (T, T)
            near = distance >= 0 if causal else distance == distance
            near = near if window is None else near & (distance.abs() <= window)
            mask = near if mask is None else mask & near
        return mask


def _shortest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lengths.__getitem__)


def is_tracing() -> bool:
    """Whether a graph is being recorded, in which a size that depends on the data would become a constant."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
