"""Layout: packing loses nothing, and says rightly where rows are."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.errors import InputError
from formers.ops.layout import Layout

masks = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(st.integers(0, 1), min_size=columns, max_size=columns), min_size=1, max_size=4)
)


@given(masks)
@settings(max_examples=200, deadline=None)
def test_pack_and_unpack(mask: list[list[int]]) -> None:
    keep = torch.tensor(mask)
    B, T = keep.shape
    layout = Layout.of(keep, B, T)
    x = torch.arange(1, B * T + 1).view(B, T)
    columns = torch.arange(T).expand(B, T)
    rows = layout.pack(x)
    back = layout.unpack(rows)
    assert torch.equal(back * keep, x * keep)
    assert torch.equal(layout.first(rows), x[:, 0])
    if layout.index is not None:  # packed: the real tokens alone, zeros where the padding was
        texts = sorted((x[b][keep[b].bool()].tolist() for b in range(B)), key=len)  # stable: else in batch order
        assert rows.tolist() == [*chain(*texts)]
        assert not back[keep == 0].any()
        assert torch.equal(layout.unpack(layout.positions(x.device)), columns * keep)
        assert [list(part) for part in rows.split([n * length for _, n, length in layout.runs])] == [
            [*chain(*(t for t in texts if len(t) == length))] for _, _, length in layout.runs
        ]
    else:
        assert keep.all() or not keep[:, 0].all()
    visible = layout.visible()
    if visible is not None:
        assert torch.equal(visible.expand(B, 1, 1, T)[:, 0, 0], keep.bool())


@pytest.mark.parametrize("mask", [[[1, 1], [1, 0]], [[1, 1], [1, 1]]])
def test_one_row_stands_for_all(mask: list[list[int]]) -> None:
    keep = torch.tensor(mask)
    layout = Layout.of(keep, 2, 2)
    shared = layout.pack(torch.tensor([[5, 6]]))
    assert shared.tolist() == ([5, 5, 6] if layout.index is not None else [[5, 6]])


def test_what_keeps_the_padding() -> None:
    right, left = torch.tensor([[1, 1], [1, 0]]), torch.tensor([[1, 1], [0, 1]])
    assert Layout.of(right, 2, 2).index is not None
    assert Layout.of(right, 2, 2, keep_padding=True).index is None
    assert Layout.of(left, 2, 2).index is None  # column 0 is read by heads
    per_query = torch.ones(2, 2, 2).tril()
    assert Layout.of(per_query, 2, 2).index is None
    assert Layout.of(per_query[:, None], 2, 2).visible().shape == (2, 1, 2, 2)


def test_a_query_that_sees_nothing() -> None:
    left = torch.tensor([[1, 1], [0, 1]])
    assert not Layout.of(left, 2, 2).blind()
    assert Layout.of(left, 2, 2).blind(causal=True)
    assert Layout.of(torch.tensor([[1, 1], [0, 0]]), 2, 2).blind()
    assert not Layout.of(torch.tensor([[1, 1], [1, 0]]), 2, 2).blind(causal=True)


def test_runs() -> None:
    layout = Layout.of_lengths([3, 2, 5, 2, 5, 5])
    assert layout.runs == ((0, 2, 2), (4, 1, 3), (7, 3, 5))
    assert layout.first(layout.index).tolist() == [0, 5, 10, 15, 20, 25]
    assert Layout.of(None, 4, 7).runs == ((0, 4, 7),)
    assert Layout.of(torch.tensor([[1, 1], [0, 1]]), 2, 2).runs == ()  # padding is kept and hidden


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2))
def test_of_lengths(lengths: list[int], more: int) -> None:
    T = max(lengths) + more
    got = Layout.of_lengths(lengths, T)
    expected = Layout.of((torch.arange(T) < torch.tensor(lengths)[:, None]).long(), len(lengths), T)
    assert (got.batch, got.columns, got.lengths, got.runs) == (len(lengths), T, expected.lengths, expected.runs)
    assert got.index is expected.index or torch.equal(got.index, expected.index)


@pytest.mark.parametrize("lengths", [[], [2, 0], [2, 4]])
def test_impossible_lengths(lengths: list[int]) -> None:
    with pytest.raises(InputError, match="from 1 to 3 columns"):
        Layout.of_lengths(lengths, 3)
