"""Maps cut into windows, and joined again."""

from __future__ import annotations

import pytest
import torch

from formers.ops.windows import Windows

CASES = [((4, 6), 2, 0), ((4, 6), 2, 1), ((3, 5), 2, 1), ((7, 7), 4, 2), ((2, 9), 3, 0)]


@pytest.mark.parametrize(("grid", "side", "shift"), CASES)
def test_joined_again(grid: tuple[int, int], side: int, shift: int) -> None:
    rows = torch.randn(2, grid[0] * grid[1], 5)
    windows = Windows(grid, side, shift)
    parts = windows.split(rows)
    assert parts.shape == (2 * (windows.whole[0] // side) * (windows.whole[1] // side), side**2, 5)
    assert torch.equal(windows.join(parts), rows)


def test_which_rows_are_of_a_window() -> None:
    rows = torch.arange(15.0).view(1, 15, 1)
    parts = Windows((3, 5), 2).split(rows, torch.tensor([-1.0]))[..., 0]
    assert parts.tolist() == [
        [0, 1, 5, 6],
        [2, 3, 7, 8],
        [4, -1, 9, -1],
        [10, 11, -1, -1],
        [12, 13, -1, -1],
        [14, -1, -1, -1],
    ]


@pytest.mark.parametrize(("grid", "side", "shift"), [((6, 6), 3, 1), ((8, 12), 4, 2), ((5, 7), 3, 1)])
def test_who_is_apart(grid: tuple[int, int], side: int, shift: int) -> None:
    """Where there are several windows each way: rows of one window that its side does not span before the shift."""
    windows = Windows(grid, side, shift)
    whole = Windows(windows.whole, side, shift)
    H, W = windows.whole
    places = torch.stack(torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij"), -1).view(1, H * W, 2)
    where = whole.split(places)  # (n, s², 2)
    far = ((where[:, :, None] - where[:, None]).abs() >= side).any(-1)
    apart = windows.apart()
    assert apart is not None and torch.equal(apart, far) and far.any()
    assert Windows(grid, side).apart() is None


def test_maps_no_larger_than_a_window() -> None:
    assert Windows.of((3, 5), 4, 2) == Windows((3, 5), 3)
    assert Windows.of((4, 9), 4, 2) == Windows((4, 9), 4)
    assert Windows.of((5, 9), 4, 2) == Windows((5, 9), 4, 2)
