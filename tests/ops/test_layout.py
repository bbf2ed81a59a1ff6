"""Layout: packing loses nothing, and says rightly where rows are."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.errors import InputError
from formers.ops.checks import read_mask
from formers.ops.layout import Layout, carried, with_lengths

masks = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(st.integers(0, 1), min_size=columns, max_size=columns), min_size=1, max_size=4)
)


@given(masks, st.booleans())
@settings(max_examples=200, deadline=None)
def test_pack_and_unpack(mask: list[list[int]], reads_first: bool) -> None:
    keep = torch.tensor(mask)
    B, T = keep.shape
    layout = Layout.of(keep.bool(), B, T, reads_first=reads_first)
    x = torch.arange(1, B * T + 1).view(B, T)
    columns = torch.arange(T).expand(B, T)
    rows = layout.pack(x)
    back = layout.unpack(rows)
    assert torch.equal(back * keep, x * keep)
    if reads_first:
        first = layout.with_first(rows)
        assert torch.equal(first if first.dim() == 1 else first[:, 0], x[:, 0])
    last = [int(x[b][keep[b].bool()][-1]) if keep[b].any() else int(x[b, 0]) for b in range(B)]
    assert layout.last(rows).tolist() == last
    assert torch.equal(layout.unpacked(lambda part: part * 2, rows), back * 2)
    if layout.index is not None:  # packed: the real tokens alone, zeros where the padding was
        texts = sorted((x[b][keep[b].bool()].tolist() for b in range(B)), key=len)  # stable: else in batch order
        assert rows.tolist() == [*chain(*texts)]
        assert not back[keep == 0].any()
        assert torch.equal(layout.unpack(layout.positions(x.device)), columns * keep)
        assert [list(part) for part in rows.split([n * length for _, n, length, _ in layout.spans])] == [
            [*chain(*(t for t in texts if len(t) == length))] for _, _, length, _ in layout.spans
        ]
    else:
        assert keep.all() or not (keep[:, 0] if reads_first else keep.any(1)).all()
    visible = layout.visible()
    if visible is not None:
        assert torch.equal(visible.expand(B, 1, 1, T)[:, 0, 0], keep.bool())


@pytest.mark.parametrize("mask", [[[1, 1], [1, 0]], [[1, 1], [1, 1]]])
def test_one_row_stands_for_all(mask: list[list[int]]) -> None:
    keep = torch.tensor(mask)
    layout = Layout.of(keep.bool(), 2, 2)
    shared = layout.pack(torch.tensor([[5, 6]]))
    assert shared.tolist() == ([5, 5, 6] if layout.index is not None else [[5, 6]])


def test_what_keeps_the_padding() -> None:
    right, left = torch.tensor([[1, 1], [1, 0]]).bool(), torch.tensor([[1, 1], [0, 1]]).bool()
    assert Layout.of(right, 2, 2).index is not None
    assert Layout.of(right, 2, 2, keep_padding=True).index is None
    assert Layout.of(left, 2, 2).index is None  # column 0 is read by heads
    assert Layout.of(left, 2, 2, reads_first=False).index.tolist() == [3, 0, 1]
    empty = torch.tensor([[1, 1], [0, 0]]).bool()
    assert Layout.of(empty, 2, 2, reads_first=False).index is None  # a head may read a text that has no token
    per_query = torch.ones(2, 1, 2, 2).tril().bool()
    assert Layout.of(per_query, 2, 2).index is None
    assert Layout.of(per_query, 2, 2).visible() is per_query


def test_results_that_are_large_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formers.ops.layout._PART", 2)
    layout, sizes = Layout.of_lengths([3, 2, 5, 2]), []
    rows = torch.arange(12.0)[:, None]

    def compute(part: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        return part * 2

    with torch.no_grad():
        assert torch.equal(layout.unpacked(compute, rows), layout.unpack(rows * 2))
    assert sizes == [2] * 6
    layout.unpacked(compute, rows)
    assert sizes[6:] == [12]  # gradients are recorded once


def test_spans() -> None:
    layout = Layout.of_lengths([3, 2, 5, 2, 5, 5])
    assert layout.spans == ((0, 2, 2, 2), (4, 1, 3, 3), (7, 3, 5, 5))
    assert layout.with_first(layout.index).tolist() == [0, 5, 10, 15, 20, 25]
    assert layout.last(layout.index).tolist() == [2, 6, 14, 16, 24, 29]
    assert Layout.of(None, 4, 7).spans == ((0, 4, 7, 7),)
    assert Layout.of(torch.tensor([[1, 1], [0, 1]]).bool(), 2, 2).spans == ()  # padding is kept and hidden


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2))
def test_of_lengths(lengths: list[int], more: int) -> None:
    T = max(lengths) + more
    got = Layout.of_lengths(lengths, T)
    expected = Layout.of(torch.arange(T) < torch.tensor(lengths)[:, None], len(lengths), T)
    assert (got.batch, got.columns, got.lengths, got.spans) == (len(lengths), T, expected.lengths, expected.spans)
    assert got.index is expected.index or torch.equal(got.index, expected.index)


@pytest.mark.parametrize("lengths", [[], [2, 0], [2, 4]])
def test_impossible_lengths(lengths: list[int]) -> None:
    with pytest.raises(InputError, match="from 1 to 3 columns"):
        Layout.of_lengths(lengths, 3)


@given(masks, st.booleans())
@settings(max_examples=100, deadline=None)
def test_lengths_that_a_mask_carries(mask: list[list[int]], reads_first: bool) -> None:
    """The same layout, without a look at the device: what is on "meta" has no numbers to look at."""
    keep = torch.tensor(mask)
    B, T = keep.shape
    wanted = Layout.of(read_mask(keep, B, T), B, T, reads_first=reads_first)
    for moved in (with_lengths(keep, "meta"), with_lengths(keep.bool(), "meta")):
        found = Layout.of(read_mask(moved, B, T), B, T, reads_first=reads_first)
        assert (found.lengths, found.index is None) == (wanted.lengths, wanted.index is None)
        assert found.index is None or found.index.device.type == "meta"
    here = with_lengths(keep)
    assert here is keep
    with torch.inference_mode():
        found = Layout.of(read_mask(here, B, T), B, T, reads_first=reads_first)
    assert found.lengths == wanted.lengths
    assert found.index is None or torch.equal(found.index, wanted.index)


def test_lengths_of_a_mask_that_changed() -> None:
    mask = with_lengths(torch.tensor([[1, 1, 1], [1, 1, 0]]))
    assert carried(mask).tolist() == [[True, True, True], [True, True, False]]
    assert Layout.of(read_mask(mask, 2, 3), 2, 3).lengths == (3, 2)
    mask[0, 2] = 0
    assert carried(mask) is None
    assert Layout.of(read_mask(mask, 2, 3), 2, 3).lengths == (2, 2)
    for other in (torch.tensor([[2, 1]]), torch.ones(1, 1, 2, 2)):  # which read_mask has to look at
        assert carried(with_lengths(other)) is None
    assert carried(mask[:1]) is None
