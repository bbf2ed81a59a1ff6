"""Windows: squares of a map whose rows attend to each other alone.

    grid (h, w) = (3, 5), side 2:    a a b b c        each letter a window; where the grid does not divide by the side,
                                     a a b b c        windows go on below it and to its right, and `.` is filled
                                     d d e e f  .
                                     . . . . .  .
    shift 1: the map is rolled up and to the left first, so that windows lie across the borders of the others. The last
    ones then hold what comes from both ends of the map, which `apart` keeps from attending to each other.

Letters: B batch, h and w height and width of a map, D width, s side, n windows of a picture.
Source: Liu et al. 2021 (arXiv 2103.14030).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .bias import Grid


@dataclass(frozen=True)
class Windows:
    """How the rows of a map (B, h · w, D) become those of windows, (B · n, s², D), and back."""

    grid: Grid
    side: int
    shift: int = 0

    @classmethod
    def of(cls, grid: Grid, side: int, shift: int) -> Windows:
        """Of a map; one that is no larger than a window in some direction is cut to windows of that size, unshifted."""
        return cls(grid, min(grid), 0) if min(grid) <= side else cls(grid, side, shift)

    @property
    def whole(self) -> Grid:
        """Height and width of all windows together."""
        h, w = (-(-side // self.side) * self.side for side in self.grid)
        return h, w

    def split(self, rows: Tensor, filler: Tensor | None = None) -> Tensor:
        """(B, h · w, D) to (B · n, s², D). filler: what is where the map is not, (D,); zeros without it."""
        (h, w), (H, W), s = self.grid, self.whole, self.side
        x = rows.unflatten(1, self.grid)
        if self.whole != self.grid:
            empty = x.new_zeros(x.shape[3]) if filler is None else filler.to(x.dtype)
            x = torch.cat([x, empty.expand(len(x), h, W - w, -1)], dim=2)
            x = torch.cat([x, empty.expand(len(x), H - h, W, -1)], dim=1)
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        x = x.unflatten(2, (W // s, s)).unflatten(1, (H // s, s))  # (B, H/s, s, W/s, s, D)
        return x.transpose(2, 3).reshape(-1, s * s, x.shape[-1])

    def join(self, rows: Tensor) -> Tensor:
        """(B · n, s², D) to (B, h · w, D), without what was filled."""
        (h, w), (H, W), s = self.grid, self.whole, self.side
        x = rows.unflatten(0, (-1, H // s, W // s)).unflatten(3, (s, s))
        x = x.transpose(2, 3).reshape(-1, H, W, rows.shape[-1])
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :h, :w].flatten(1, 2)

    def apart(self) -> Tensor | None:
        """Which rows of a window come from other ends of the map, (n, s², s²); None where none do."""
        return _apart(self) if self.shift else None


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept is for passes that learn, too
def _apart(windows: Windows) -> Tensor:
    rolled = [
        torch.arange(side, device="cpu") >= side - windows.shift for side in windows.whole
    ]  # to the end, from the beginning
    ends = rolled[0][:, None] * 2 + rolled[1]
    of_windows = Windows(windows.whole, windows.side).split(ends.flatten()[None, :, None])[..., 0]  # (n, s²)
    return of_windows[:, :, None] != of_windows[:, None]
