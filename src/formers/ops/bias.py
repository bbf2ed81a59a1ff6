"""Position biases: what is added to attention scores besides query times key.

Letters: B batch, H heads, T columns, Q queries, K keys, d width of a head, P largest number of positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from .layout import Layout

Grid = tuple[int, int]  # height and width


def relative_key(query: Tensor, key: Tensor, distance: Tensor, table: Tensor, with_key: bool = False) -> Tensor:
    """Learned relative positions on the query side, and with `with_key` on both sides.

    query: (B, H, Q, d); key: (B, H, K, d); distance: (Q, K) how far each key is behind each query; table: (2P - 1, d),
    whose row distance + P - 1 belongs to them.
    Returns (B, H, Q, K), scaled by 1/√d as the scores are.
    Source: Shaw et al. 2018 (arXiv 1803.02155); Huang et al. 2020, methods 1 and 4 (arXiv 2009.13658).
    """
    longest = (table.shape[0] + 1) // 2
    apart = table[distance + longest - 1]  # (Q, K, d)
    bias = torch.einsum("bhid,ijd->bhij", query, apart)
    if with_key:
        bias = bias + torch.einsum("bhjd,ijd->bhij", key, apart)
    return bias / query.shape[-1] ** 0.5


def slopes(heads: int, device: torch.device | None = None) -> Tensor:
    """(H,) how steeply each head's ALiBi rises, a geometric series; where H is no power of two, with values between.

    Source: Press et al. 2021 (arXiv 2108.12409).
    """
    whole = 2 ** int(math.log2(heads))

    def series(last: float, powers: range) -> Tensor:
        base = torch.tensor(2**last, dtype=torch.float32, device=device)
        return base ** torch.tensor([*powers], device=device)

    between = series(-4 / whole, range(1, 2 * (heads - whole) + 1, 2))
    return torch.cat((series(-8 / whole, range(1, whole + 1)), between))


def alibi(heads: int, short: bool = False) -> Callable[[Tensor], Tensor]:
    """What scores gain by the places of their keys: from (1 or B, K) places to (1 or B, H, 1, K).

    That a key far behind its query has less is the same: a softmax does not see what all scores of a query share.
    short: computed in bfloat16, as Falcon was trained.
    """

    def by_place(places: Tensor) -> Tensor:
        rises = slopes(heads, places.device)[:, None, None]
        return (rises.bfloat16() if short else rises) * places[:, None, None]

    return by_place


def buckets(distance: Tensor, count: int = 32, farthest: int = 128, behind: bool = False) -> Tensor:
    """The bucket of each distance, of a key behind its query, in the shape of `distance`.

    Half of the buckets are for keys behind the query, or with `behind` all of them. Of these, half are for one distance
    each, and the others for ranges that grow up to `farthest`; whatever is farther away has the last one.
    Source: Raffel et al. 2020 (arXiv 1910.10683).
    """
    half = count if behind else count // 2
    exact, away = half // 2, distance.clamp(min=0) if behind else distance.abs()
    ranges = exact + (torch.log(away.float() / exact) / math.log(farthest / exact) * (half - exact)).long()
    return (distance < 0) * (0 if behind else half) + torch.where(away < exact, away, ranges.clamp(max=half - 1))


def log_buckets(distance: Tensor, count: int, farthest: int) -> Tensor:
    """Distances, of keys behind their queries, as they are; with `count`, in buckets.

    Distances up to half of `count` are themselves, larger ones shrink by their logarithms, up to `farthest`.
    Source: He et al. 2021 (arXiv 2111.09543).
    """
    if count <= 0 or farthest <= 0:
        return distance
    middle = count // 2
    away = distance.abs().clamp(min=middle - 1)  # in float32, step by step as models were trained: ceil is sensitive
    longest = torch.log(torch.tensor((farthest - 1) / middle))
    shrunk = torch.ceil(torch.log(away / middle) / longest * (middle - 1)) + middle
    return torch.where(away <= middle, distance, (shrunk * distance.sign()).long())


def disentangled(
    query: Tensor, key: Tensor, distance: Tensor, position_key: Tensor | None, position_query: Tensor | None
) -> Tensor:
    """Content to position, and position to content: what a query gives for a distance, and a distance for a key.

    query, key: (B, H, T, d). distance: (T, T) or larger, query column minus key column, or less for those far apart.
    position_key, position_query: (H, 2S, d), row p for distance p - S; the last and the first are for all beyond.
    Returns (B, H, T, T), scaled by 1/√d.
    Source: He et al. 2020 (arXiv 2006.03654).
    """
    B, H, T, d = query.shape
    bias = query.new_zeros(())
    for rows, table, sign in ((query, position_key, 1), (key, position_query, -1)):
        if table is not None:
            span = table.shape[1] // 2
            reach = T if span // 2 >= T else span  # distances below half of the buckets are themselves
            near = table[:, span - reach : span + reach]
            place = (sign * distance[:T, :T] + reach).clamp(0, 2 * reach - 1)  # for keys, (key column, query column)
            scores = (rows @ near.transpose(1, 2)).gather(-1, place.expand(B, H, T, T))
            bias = bias + (scores if sign == 1 else scores.transpose(-1, -2))
    return bias / d**0.5


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept is for passes that learn, too
def _places(grid: Grid, first: bool) -> Tensor:
    """The row of a table of distances for each pair of patches of a grid, (T · T,).

    The table has a row for each distance, (2h - 1) · (2w - 1), those down before those across. first: whether there is
    a class token, for which three rows follow: from it to patches, from patches to it, and to itself.
    """
    h, w = grid
    down, across = (torch.arange(side, device="cpu") for side in grid)
    down, across = down.repeat_interleave(w), across.repeat(h)
    apart = (down[:, None] - down + h - 1) * (2 * w - 1) + (across[:, None] - across + w - 1)
    if not first:
        return apart.flatten()
    distances = (2 * h - 1) * (2 * w - 1)
    whole = torch.empty(h * w + 1, h * w + 1, dtype=torch.long)
    whole[1:, 1:], whole[0, :], whole[:, 0], whole[0, 0] = apart, distances, distances + 1, distances + 2
    return whole.flatten()


def by_distance(table: Tensor, grid: Grid, first: bool = False) -> Tensor:
    """What is added to the scores of patches of a grid, (1, H, T, T), by how far they are apart.

    table: a row for each distance, a column for each head; first: see `_places`.
    """
    T = grid[0] * grid[1] + int(first)  # of a bool and a traced size there is no sum
    return table.index_select(0, _places(grid, first).to(table.device)).view(T, T, -1).permute(2, 0, 1)[None]


class PairBias:
    """What the scores of each two rows of a text gain by what both rows are; made once for all layers of a pass.

    make: from what rows are, (texts, T, k), to what is added, (texts, H, T, T).
    rows: k numbers of each row of `layout`.
    """

    def __init__(self, make: Callable[[Tensor], Tensor], rows: Tensor, layout: Layout) -> None:
        self.make, self.rows, self.layout = make, rows, layout

    @cached_property
    def whole(self) -> Tensor:
        """(1 or B, H, T, T) of whole batches; at padding it is whatever zeros give."""
        return self.make(self.layout.unpack(self.rows))

    @cached_property
    def of_spans(self) -> list[Tensor]:
        """(texts, H, length, length) of the texts of each span."""
        spans = self.layout.spans
        parts = self.rows.split([span.texts * span.new for span in spans])
        return [self.make(part.unflatten(0, (span.texts, -1))) for span, part in zip(spans, parts, strict=True)]
