"""Rows that hold several texts back to back: which text of its row each column is of, (B, T), from 0 up.

input_ids       7 8 9 5 6 4        position_ids    0 1 2 0 1 0
cu_seq_lens_q   0 3 5 6            pieces          0 0 0 1 1 2
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, NotTensorError
from .layout import is_tracing


def pieces_of(positions: Tensor) -> Tensor | None:
    """From positions (B, T): another text begins where they do not go on by one. None where they do everywhere."""
    border = torch.zeros_like(positions, dtype=torch.bool)
    border[:, 1:] = positions.diff(dim=1) != 1
    return border.cumsum(1) if is_tracing() or bool(border.any()) else None


def places_in(pieces: Tensor) -> Tensor:
    """(B, T) the position of each column in its text, from 0 up."""
    column = torch.arange(pieces.shape[1], device=pieces.device).expand_as(pieces)
    first = torch.zeros_like(column)
    first[:, 1:] = column[:, 1:] * (pieces.diff(dim=1) != 0)
    return column - first.cummax(1).values


def pieces_told(given: Mapping[str, Any], batch: int, columns: int, device: torch.device) -> Tensor | None:
    """From the arguments that say where texts begin, checked to say the same; None where none of them does.

    cu_seq_lens_q, cu_seq_lens_k: (texts + 1,) where each text of one row begins, and the last ends. max_length_q,
    max_length_k: the length of the longest. seq_idx: (B, T) the number of each token's text.
    """
    found = None
    for name in ("cu_seq_lens_q", "cu_seq_lens_k"):
        if (ends := given.get(name)) is None:
            continue
        if not isinstance(ends, Tensor):
            raise NotTensorError(f"{name} is a {type(ends).__name__}, not a tensor; torch.tensor(…) makes one.")
        places = ends.flatten().tolist()
        lengths = [end - start for start, end in pairwise(places)]
        if batch != 1 or ends.dim() != 1 or not lengths or places[0] or places[-1] != columns or min(lengths) < 1:
            raise InputError(
                f"{name} is {places}, but the batch is ({batch}, {columns}): it should go up from 0 to the length of "
                "the one row, where each text begins and the last ends."
            )
        told = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)[None]
        found = same(found, told, name)
        if (longest := given.get(f"max_length_{name[-1]}")) is not None and int(longest) != max(lengths):
            raise InputError(f"max_length_{name[-1]} is {longest}, but the longest text of {name} has {max(lengths)}.")
    if (index := given.get("seq_idx")) is not None:
        if not isinstance(index, Tensor) or tuple(index.shape) != (batch, columns):
            raise InputError(f"seq_idx should be a tensor ({batch}, {columns}): the number of each token's text.")
        border = torch.zeros_like(index, dtype=torch.bool)
        border[:, 1:] = index.diff(dim=1) != 0
        found = same(found, border.cumsum(1), "seq_idx")
    return found


def same(pieces: Tensor | None, others: Tensor | None, name: str) -> Tensor | None:
    """The one that is there. Errors: InputError where both are and differ, with what `name`, of the others, says."""
    if pieces is None or others is None or is_tracing():
        return others if pieces is None else pieces
    if wrong := (pieces.to(others.device) != others).nonzero().tolist():
        row, column = wrong[0]
        raise InputError(
            f"At column {column} of row {row} is text {int(pieces[row, column])} of its row, but by {name} it is text "
            f"{int(others[row, column])}: cu_seq_lens_q, seq_idx and position_ids should tell of the same texts."
        )
    return pieces
