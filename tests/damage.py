"""Files that a disk or a connection broke, for hypothesis to draw."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st


def flipped(data: bytes, places: Sequence[int] | None = None, most: int = 4) -> st.SearchStrategy[bytes]:
    """`data` with up to `most` other bytes, at any of `places` (anywhere)."""
    place = st.integers(0, len(data) - 1) if places is None else st.sampled_from(places)
    return st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=most).map(lambda x: _with(data, x))


def _with(data: bytes, flips: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for position, value in flips:
        changed[position] = value
    return bytes(changed)


def patched(data: bytes, first: int = 0, most: int = 20) -> st.SearchStrategy[bytes]:
    """`data` with up to 40 bytes cut out somewhere from `first` on, and up to `most` put in there."""
    parts = st.tuples(st.integers(first, len(data)), st.integers(0, 40), st.binary(max_size=most))
    return parts.map(lambda x: data[: x[0]] + x[2] + data[x[0] + x[1] :])
