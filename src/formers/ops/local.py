"""Attention to what is near, and to a few keys besides, at a price that grows with the length of texts, not its square.

    queries   │ block 0 │ block 1 │ block 2 │         a block is one longer than the radius, so all that its queries
    keys   pad│ block 0 │ block 1 │ block 2 │pad      may see is in its own block and those on either side of it
              └────── of block 1 ───────────┘

Source: Beltagy et al. 2020 (arXiv 2004.05150), Guo et al. 2021 (arXiv 2112.07916).
Letters: B batch, H heads, T columns, d width of a head, n blocks of L columns, K keys of a block, G keys beside.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import Bias


class Side(NamedTuple):
    """Keys and values (B, H, G, d) that queries see wherever they are, and what is added to their scores,
    (B or 1, H or 1, T or 1, G)."""

    key: Tensor
    value: Tensor
    scores: Tensor


def local_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    radius: int,
    *,
    real: Tensor | None = None,
    bias: Bias | None = None,
    side: Side | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    weights: bool = False,
) -> tuple[Tensor, ...]:
    """Attention of each column to those at most `radius` columns away, (B, H, T, d) each.

    real: bool (B or 1, T) which keys may be seen; None for all. bias: what is added to scores, from distances.
    scale: 1/√d if left out. dropout: probability of dropping a weight; give 0 outside training.
    weights: whether to return these too, (B, n, H, L, 3 · L + G): of the keys of three blocks, and of those beside.

    Returns the context (B, H, T, d), which has no meaning where a query sees nothing.
    """
    B, _, T, _ = query.shape
    whole = radius + 1 >= T and not weights  # one block, which needs no neighbours
    L = T if whole else radius + 1
    n, around = -(-T // L), 0 if whole else L
    tail = n * L - T
    q = F.pad(query, (0, 0, 0, tail)).unflatten(2, (n, L)).transpose(1, 2).flatten(0, 1)  # (B · n, H, L, d)

    def blocks(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, around, around + tail)).unfold(2, L + 2 * around, L)  # (B, H, n, d, K)
        return x.permute(0, 2, 1, 4, 3).flatten(0, 1)

    k, v = blocks(key), blocks(value)
    seen = torch.ones(1, T, dtype=torch.bool, device=q.device) if real is None else real.to(q.device)
    seen = F.pad(seen, (around, around + tail)).unfold(1, L + 2 * around, L)[:, :, None, None]  # (B or 1, n, 1, 1, K)
    places = torch.arange(L + 2 * around, device=q.device)
    distance = places[around : around + L, None] - places  # (L, K)
    zero = q.new_zeros(())
    added = zero if bias is None else bias(q, k, distance)
    added = torch.where(seen & (distance.abs() <= radius), added, torch.finfo(q.dtype).min)
    added = added.expand(B, -1, -1, -1, -1)
    if side is not None:
        beside = side.scores.to(q.dtype)
        if beside.shape[2] > 1:
            beside = F.pad(beside, (0, 0, 0, tail)).unflatten(2, (n, L))
        else:
            beside = beside[:, :, None]
        beside = beside.transpose(1, 2).expand(B, n, -1, L, -1)
        heads = max(added.shape[2], beside.shape[2])
        added = torch.cat([x.expand(-1, -1, heads, -1, -1) for x in (added, beside)], dim=-1)
        k = torch.cat([k, side.key.repeat_interleave(n, 0)], dim=2)
        v = torch.cat([v, side.value.repeat_interleave(n, 0)], dim=2)
    found = _attend(q, k, v, added.flatten(0, 1), scale, dropout, weights)
    context = found[0].unflatten(0, (B, n)).transpose(1, 2).flatten(2, 3)[:, :, :T]
    return context, *(x.unflatten(0, (B, n)) for x in found[1:])


def full_attention(
    query: Tensor, key: Tensor, value: Tensor, scores: Tensor, dropout: float = 0.0, weights: bool = False
) -> tuple[Tensor, ...]:
    """Attention of queries (B, H, Q, d) to all keys (B, H, K, d), with what is added to scores, (B, 1, 1, K); and with
    `weights` these, (B, H, Q, K)."""
    return _attend(query, key, value, scores, None, dropout, weights)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor, scale: float | None, dropout: float, weights: bool
) -> tuple[Tensor, ...]:
    if not weights:
        return (F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=dropout, scale=scale),)
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    kept = torch.softmax((scores + added).float(), dim=-1).to(q.dtype)
    return F.dropout(kept, dropout) @ v, kept
