"""The plan of a pass: every text is in one span, with its like."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from formers.ops.spans import Span, order, plan


def test_one_token_each_on_pasts_of_about_one_length() -> None:
    assert plan([1, 3, 1, 0, 1], [40, 0, 44, 7, 100]) == (Span(0, 2, 1, 45), Span(2, 1, 1, 101), Span(3, 1, 3, 3))


def test_several_tokens_on_pasts_of_one_length_alone() -> None:
    assert plan([2, 2, 2], [8, 8, 9]) == (Span(0, 2, 2, 10), Span(4, 1, 2, 11))


texts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=12)


@given(texts)
@settings(max_examples=200, deadline=None)
def test_spans_are_the_rows_in_order(texts: list[tuple[int, int]]) -> None:
    new, past = [n for n, _ in texts], [p for _, p in texts]
    placed, row = [b for b in order(new, past) if new[b]], 0
    for span in plan(new, past):
        assert span.start == row and span.texts >= 1
        mine, placed = placed[: span.texts], placed[span.texts :]
        keys = [new[b] + past[b] for b in mine]
        assert {new[b] for b in mine} == {span.new} and span.keys == max(keys)
        assert max(keys) <= 1.25 * min(keys) and (span.new == 1 or min(keys) == max(keys))
        row += span.texts * span.new
    assert not placed and row == sum(new)
