"""Which rows are trained on, and which are held out."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

from ..errors import ArgumentError, InputError


def split(keys: Sequence[Hashable], strata: Sequence[Hashable], part: float, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of rows to train on, and of those held out, each in order.

    keys: rows of one key stay on one side. strata: of each kind of row, about `part` of them is held out, and never
    all. part: from 0 to 1, or from 1 on a number of rows. Errors: ArgumentError, and InputError for too few rows.
    """
    rows = len(keys)
    share = part if part < 1 else part / max(rows, 1)
    if not 0 < share < 1:
        raise ArgumentError(f"--held-out {part:g} of {rows:,} rows is not possible: give a part as 0.1, or fewer rows.")
    together: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        together.setdefault(key, []).append(row)
    kinds: dict[Hashable, list[list[int]]] = {}
    for group in together.values():
        kinds.setdefault(strata[group[0]], []).append(group)
    draw, held, owed = random.Random(seed), set[int](), 0.0
    for groups in kinds.values():
        draw.shuffle(groups)
        owed += share * sum(map(len, groups))  # what a small kind is too small for, the next one gives
        for group in groups[:-1]:
            if len(group) > 2 * owed:  # then none is nearer to what is owed than all of it
                continue
            held.update(group)
            owed -= len(group)
    if not held:
        raise InputError(
            f"{rows:,} rows with {len(together):,} different texts are too few to hold out {part:g} of them: give more "
            "rows, --dev FILE, or --held-out 0 to train without a measure."
        )
    return [row for row in range(rows) if row not in held], sorted(held)
