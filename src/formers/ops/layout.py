"""Layout: where each row of the tensors inside a model sits in its (B, T) batch.

    attention_mask      columns →           rows inside the model
      1 1 1 0           a b c .
      1 1 0 0           d e . .      →      d e a b c f g h i        (N = 9 rows of width D)
      1 1 1 1           f g h i

Letters: B batch, T columns, N real tokens, D width, H heads.

Layers see (N, D): the real tokens of the batch back to back, no padding computed. The shortest text comes first, so
that texts of one length, a span, are a (texts, length, D) view of their rows: attention needs no padding and no mask
there. When the mask is full, or the padding has to be kept, layers see (B, T, D) instead; every operation but attention
and the heads works on the last dimension and cannot tell. A row of the batch may also hold several texts back to back:
each is then a text of its own in the spans, so that none attends to another, and costs what it would by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .spans import Span, order, plan

_PART = 4096  # rows that are computed and unpacked at once where results are wide


@dataclass(frozen=True)
class Layout:
    """The place of every row in the batch.

    batch, columns: B and T.
    index: (N,) where each row sits in the flattened (B·T) batch, or None when all B·T rows are there.
    mask: what attention may not see, where the padding is kept. Bool (B, T) over keys; or what the caller gave for each
        query, (B or 1, 1 or H, 1 or T, T), bool or added to the scores, which then says all: it replaces causality and
        windows too. None when every row that is there is visible.
    lengths: real tokens of each of the B texts; None unless packed.
    pieces: (B, T) where rows of the batch hold several texts, which of its row's each column is of; lengths are then
        those of all these texts. None where each row is one text.
    only_first: whether nobody reads what the model computes but column 0; the last layer may then leave out the rest.
    past: how many tokens of each of the B texts earlier passes have computed; None for none. The columns are those of
        this pass alone.
    before: how many columns these tokens and the padding among them took, of every text; None for `past` itself.
    """

    batch: int
    columns: int
    index: Tensor | None = None
    mask: Tensor | None = None
    lengths: tuple[int, ...] | None = None
    only_first: bool = False
    past: tuple[int, ...] | None = None
    before: int | None = None
    pieces: Tensor | None = None

    @classmethod
    def of(
        cls,
        mask: Tensor | None,
        batch: int,
        columns: int,
        keep_padding: bool = False,
        reads_first: bool = True,
        past: tuple[int, ...] | None = None,
        before: int | None = None,
        device: torch.device | None = None,
    ) -> Layout:
        """The layout of a batch with `mask`, as `checks.read_mask` returns it.

        Padding is kept where `keep_padding` says so, where the mask is given per query, where some text has no token,
        where column 0 of some row is masked and `reads_first` says that it is read, and while a graph is being traced
        (the number of rows would become a constant).
        """
        if (mask is not None and mask.dim() == 4) or keep_padding or is_tracing():
            return cls(batch, columns, mask=mask, past=past, before=before)
        known = mask if mask is None else known_of(mask)
        lengths = (columns,) * batch if known is None else tuple(known.sum(1).tolist())
        texts = order(lengths, past)
        if all(length == columns for length in lengths):
            if past is None or texts == list(range(batch)):
                return cls(batch, columns, past=past, before=before)
            mask = known = torch.ones(batch, columns, dtype=torch.bool, device=device)
        assert mask is not None and known is not None  # without one all are of one length
        if 0 in lengths or (reads_first and not bool(known[:, 0].all())):
            return cls(batch, columns, mask=mask, past=past, before=before)
        chosen = torch.tensor(texts, device=known.device)
        text, column = known[chosen].nonzero(as_tuple=True)
        index = (chosen[text] * columns + column).to(mask.device, non_blocking=True)
        return cls(batch, columns, index=index, lengths=lengths, past=past, before=before)

    @classmethod
    def of_lengths(
        cls,
        lengths: Sequence[int],
        columns: int | None = None,
        device: torch.device | str = "cpu",
        past: Sequence[int] | None = None,
    ) -> Layout:
        """The layout of texts whose `lengths` (B), at least 1 each, are known: (B, T) padded on the right.

        columns: T, the longest length if left out. The same as `of` with the mask, without waiting for a device.
        """
        longest = max(lengths, default=0)
        columns = longest if columns is None else columns
        if not lengths or min(lengths) < 1 or longest > columns:
            raise InputError(f"lengths must be from 1 to {columns} columns, got {list(lengths)}.")
        earlier, texts = None if past is None else tuple(past), order(lengths, past)
        if min(lengths) == columns and texts == sorted(texts):
            return cls(len(lengths), columns, past=earlier)
        places = [torch.arange(i * columns, i * columns + lengths[i]) for i in texts]
        return cls(len(lengths), columns, index=torch.cat(places).to(device), lengths=tuple(lengths), past=earlier)

    @classmethod
    def of_pieces(cls, pieces: Tensor, keep_rows: bool = False) -> Layout:
        """The layout of rows (B, T) of several texts, back to back without padding; pieces: see above, from 0 up.

        keep_rows: whether layers see (B, T, D) all the same, as while a graph is traced; attention then gets a mask.
        """
        batch, columns = pieces.shape
        if keep_rows or is_tracing():
            return cls(batch, columns, pieces=pieces)
        first = torch.ones_like(pieces, dtype=torch.bool)
        first[:, 1:] = pieces[:, 1:] != pieces[:, :-1]
        starts = first.flatten().nonzero().squeeze(1).tolist()
        lengths = [end - start for start, end in zip(starts, [*starts[1:], batch * columns], strict=True)]
        places = torch.cat([torch.arange(starts[i], starts[i] + lengths[i]) for i in order(lengths)])
        return cls(batch, columns, index=places.to(pieces.device), lengths=tuple(lengths), pieces=pieces)

    @cached_property
    def new(self) -> tuple[int, ...]:
        """(B,) how many rows of each text there are, kept padding included; of all pieces where rows are packed."""
        return (self.columns,) * self.batch if self.lengths is None else self.lengths

    @cached_property
    def texts(self) -> list[int]:
        """The texts in the order of their rows."""
        return order(self.new, self.past)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The rows in order, as spans of texts of one length; none where a mask hides rows that are there."""
        if self.mask is not None or (self.pieces is not None and self.index is None):
            return ()
        return plan(self.new, self.past)

    @cached_property
    def _ends(self) -> list[int]:
        """(B,) the row after each text's last, where packed."""
        assert self.lengths is not None
        ends, row = [0] * len(self.lengths), 0
        for text in self.texts:
            row += self.lengths[text]
            ends[text] = row
        return ends

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
        return whole.index_copy_(0, self.index, rows).unflatten(0, (self.batch, self.columns))

    def unpacked(self, compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """`unpack(compute(rows))` for results that are large: without a second copy of them, if nothing is recorded."""
        if self.index is None or torch.is_grad_enabled() or rows.shape[0] <= _PART:
            return self.unpack(compute(rows))
        whole = None
        for part, index in zip(rows.split(_PART), self.index.split(_PART), strict=True):
            found = compute(part)
            if whole is None:
                whole = found.new_zeros(self.batch * self.columns, *found.shape[1:])
            whole.index_copy_(0, index, found)
        assert whole is not None  # a batch that is packed has rows
        return whole.unflatten(0, (self.batch, self.columns))

    def with_first(self, rows: Tensor) -> Tensor:
        """Rows to what holds column 0 of each text: (B, T, …) as they are where all are there, else (B, …)."""
        if self.index is None or rows.shape[0] == self.batch:
            return rows  # also where there is only column 0, see `only_first`, or each text is one token
        assert self.lengths is not None
        starts = [end - length for end, length in zip(self._ends, self.lengths, strict=True)]
        return rows.index_select(0, torch.tensor(starts, device=rows.device))

    def last(self, rows: Tensor) -> Tensor:
        """Rows to (B, …): the last real token of each text; column 0 of a text that has none, as in the reference.

        Of a row of several texts it is the row's last."""
        if self.pieces is not None:
            rows = self.unpack(rows)
        elif self.index is not None:
            return rows.index_select(0, torch.tensor([end - 1 for end in self._ends], device=rows.device))
        if self.mask is None or self.mask.dim() == 4:
            return rows[:, -1]
        last = (self.mask * torch.arange(self.columns, device=rows.device)).argmax(1)
        return rows[torch.arange(self.batch, device=rows.device), last]

    def in_order(self, first: Tensor) -> Tensor:
        """(B, …), one for each text in the order of `spans`, to the texts' own order."""
        if self.lengths is None:
            return first
        texts = torch.tensor(self.texts, device=first.device)
        return torch.empty_like(first).index_copy(0, texts, first)

    def positions(self, device: torch.device) -> Tensor:
        """The column of every row, those before this pass counted: (N,), or (1 or B, T) where all rows are there."""
        columns = torch.arange(self.columns, device=device)[None] if self.index is None else self.index % self.columns
        if self.past is None or self.before is not None:
            return columns if not self.before else columns + self.before
        before = torch.tensor(self.past, device=device)
        return columns + (before[:, None] if self.index is None else before[self.index // self.columns])

    def places(self, device: torch.device) -> Tensor:
        """How many tokens of its text are before each column, earlier passes included: (1 or B, T); -1 at padding."""
        real = self.real if self.index is None else self.unpack(torch.ones_like(self.index)).bool()
        place = torch.arange(self.columns, device=device)[None] if real is None else (real.cumsum(1) * real - 1)
        if self.past is None:
            return place
        return place + torch.tensor(self.past, device=device)[:, None] * (place >= 0)

    @cached_property
    def contiguous(self) -> bool:
        """Whether there is no padding within a text, so that its rows are as far apart as their columns."""
        if self.index is None or self.pieces is not None:
            return True
        text, column = self.index // self.columns, self.index % self.columns
        return bool((column.diff()[text.diff() == 0] == 1).all())

    @property
    def real(self) -> Tensor | None:
        """(B or 1, T) which columns are no padding, where it was kept: those that some query sees; None for all."""
        mask = self.mask
        if mask is None or mask.dim() == 2:
            return mask
        seen = mask > torch.finfo(mask.dtype).min / 2 if mask.dtype.is_floating_point else mask
        return seen.flatten(1, 2).any(1)

    @property
    def tokens(self) -> Tensor | None:
        """(B or 1, T) which columns are tokens, packed or not: bool; None for all."""
        if self.index is None or self.pieces is not None:
            return self.real
        mask = torch.zeros(self.batch * self.columns, dtype=torch.bool, device=self.index.device)
        return mask.index_fill(0, self.index, True).view(self.batch, self.columns)

    def visible(self) -> Tensor | None:
        """Which keys are no padding, and what the caller hides: bool, broadcastable to (B, H, T, T); None when all.

        What the caller adds to scores comes as it is, floating.
        """
        if self.mask is not None and self.mask.dim() == 4:
            return self.mask
        if self.pieces is not None:
            return (self.pieces[:, :, None] == self.pieces[:, None])[:, None]
        return None if self.tokens is None else self.tokens[:, None, None]

    @cached_property
    def some_empty(self) -> bool:
        """Whether a mask (B, T) leaves some text without any token."""
        return self.mask is not None and not bool(self.mask.any(-1).all())

    def hidden(self, like: Tensor) -> Tensor | None:
        """What is added to scores in the type of `like`, so that no key is seen that a mask (B, T) hides, or that is of
        another text: (B or 1, 1, 1 or T, T), the smallest number there; None for nothing."""
        if (seen := self.visible()) is None:
            return None
        if is_tracing():  # what is kept, torch.compile cannot follow
            return _added(seen, like)
        key = like.dtype, like.device, torch.is_inference_mode_enabled()
        if key not in self._hidden:
            self._hidden[key] = _added(seen, like)
        return self._hidden[key]

    @cached_property
    def _hidden(self) -> dict[Any, Tensor]:
        return {}  # asked for by each layer of each pass


def with_lengths(mask: Tensor, device: torch.device | str | None = None) -> Tensor:
    """A mask (B, T) of the CPU on `device`, that still knows where its ones are: a model need not wait for the device.

    What it knows counts until its numbers are changed. A mask that is elsewhere already, or of another form, is only
    moved.
    """
    moved = mask if device is None else mask.to(device, non_blocking=True)
    if mask.device.type != "cpu" or mask.dim() != 2 or moved.is_inference() or bool(((mask != 0) & (mask != 1)).any()):
        return moved
    return _knowing(moved, mask != 0)


def _knowing(mask: Tensor, known: Tensor) -> Tensor:
    mask.known = (known, _version(mask))  # type: ignore[attr-defined]
    return mask


def _version(mask: Tensor) -> int:
    return 0 if mask.is_inference() else mask._version  # such tensors count no changes; they live for one pass


def carried(mask: Tensor) -> Tensor | None:
    """What a mask of `with_lengths` knows: itself, bool, on the CPU. None for others, and for one changed since."""
    known, version = getattr(mask, "known", (None, 0))
    return known if known is not None and _version(mask) == version else None


def known_of(mask: Tensor) -> Tensor:
    """The mask to ask for numbers: the one on the CPU, where there is one."""
    known = carried(mask)
    return mask if known is None else known


def as_bool(mask: Tensor) -> Tensor:
    """A mask as bool, that knows what it knew."""
    known = carried(mask)
    return mask.bool() if known is None else _knowing(mask.bool(), known)


def _added(seen: Tensor, like: Tensor) -> Tensor:
    none = torch.zeros((), dtype=like.dtype, device=like.device)
    return none.where(seen.to(like.device), torch.finfo(like.dtype).min)


def is_tracing() -> bool:
    """Whether a graph is being recorded, in which a size that depends on the data would become a constant."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
