"""Layout: where each row of the tensors inside a model sits in its (B, T) batch.

    attention_mask      columns →           rows inside the model
      1 1 1 0           a b c .
      1 1 0 0           d e . .      →      a b c d e f g h i        (N = 9 rows of width D)
      1 1 1 1           f g h i

Letters: B batch, T columns, N real tokens, D width.

Layers see (N, D): the real tokens of the batch back to back, no padding computed. When the mask is full, or the padding
has to be kept, they see (B, T, D) instead; every operation but attention and the heads works on the last dimension and
cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """The place of every row in the batch.

    batch, columns: B and T.
    index: (N,) where each row sits in the flattened (B·T) batch, or None when all B·T rows are there.
    mask: what attention may not see, where the padding is kept: bool (B, T) over keys, or (B, Q, T) with Q 1 or T;
        None when every row that is there is visible.
    """

    batch: int
    columns: int
    index: Tensor | None = None
    mask: Tensor | None = None

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
        if visible.dim() == 3 or keep_padding or _is_tracing():
            return cls(batch, columns, mask=visible)
        if bool(visible.all()):
            return cls(batch, columns)
        if not bool(visible[:, 0].all()):
            return cls(batch, columns, mask=visible)
        return cls(batch, columns, index=visible.flatten().nonzero().squeeze(1))

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
        """Rows to (B, …): those of column 0."""
        if self.index is None:
            return rows[:, 0]
        return rows.index_select(0, (self.index % self.columns == 0).nonzero().squeeze(1))

    def positions(self, device: torch.device) -> Tensor:
        """The column of every row: (N,), or (1, T) where all rows are there."""
        if self.index is None:
            return torch.arange(self.columns, device=device)[None]
        return self.index % self.columns

    def blind(self, causal: bool = False) -> bool:
        """Whether some query may see nothing at all; not asked while a graph is being traced."""
        if self.mask is None or _is_tracing():
            return False
        sees = self.mask[:, 0] if causal and self.mask.dim() == 2 else self.mask.any(-1)
        return not bool(sees.all())

    def visible(self, causal: bool = False) -> Tensor | None:
        """Which keys each query sees: bool, broadcastable to (B, 1, T, T); None when all see all."""
        mask = self.mask
        if self.index is not None:
            mask = torch.zeros(self.batch * self.columns, dtype=torch.bool, device=self.index.device)
            mask = mask.index_fill(0, self.index, True).view(self.batch, self.columns)
        if mask is not None:
            mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]  # (B, 1, 1 or T, T)
        if causal:
            lower = torch.ones(
                self.columns, self.columns, dtype=torch.bool, device=None if mask is None else mask.device
            )
            mask = lower.tril() if mask is None else mask & lower.tril()
        return mask


def _is_tracing() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
