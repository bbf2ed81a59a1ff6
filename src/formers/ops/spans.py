"""Spans: which rows attend together, and how many keys they see; one plan serves all layers of a pass.

    text  past  new       rows of the pass       spans
     a      0    3        b c a a a              b and c: a query each, 45 keys at most
     b     40    1                               a: 3 queries, 3 keys
     c     44    1

A text has `new` rows in this pass, after `past` tokens that earlier passes computed. Texts that have equally many new
rows, and pasts of about one length, are neighbours: a (texts, new, …) view of their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# how much longer the longest past of a span may be than the shortest: more texts at once against keys that are hidden
_WASTE = 1.25


class Span(NamedTuple):
    """Neighbouring texts: `texts · new` rows from row `start` on, text by text; the longest has `keys` keys."""

    start: int
    texts: int
    new: int
    keys: int


def order(new: Sequence[int], past: Sequence[int] | None = None) -> list[int]:
    """The texts in the order of their rows: by the number of their new tokens, then of their earlier ones."""
    return sorted(range(len(new)), key=lambda b: (new[b], past[b] if past else 0))


def plan(new: Sequence[int], past: Sequence[int] | None = None) -> tuple[Span, ...]:
    """The spans of a pass in which text b has `new[b]` rows on top of `past[b]` earlier tokens, in `order`.

    A text without new tokens is in no span. Texts with several new tokens share a span when their pasts are equal, as
    all are in prefill; those with one also when the longest is within a quarter of the shortest.
    """
    spans: list[Span] = []
    start, first = 0, 0  # the first row of the next text; the keys of the first text of the last span
    for b in order(new, past):
        if not new[b]:
            continue
        keys = new[b] + (past[b] if past else 0)
        last = spans[-1] if spans else None
        if last and last.new == new[b] and (keys == first or (new[b] == 1 and keys <= _WASTE * first)):
            spans[-1] = last._replace(texts=last.texts + 1, keys=keys)
        else:
            spans.append(Span(start, 1, new[b], keys))
            first = keys
        start += new[b]
    return tuple(spans)
