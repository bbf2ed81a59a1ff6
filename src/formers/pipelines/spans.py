"""Answers that are spans of a text: windows of it beside a question, and the spans that are most probable.

Source: Devlin et al. 2018 (arXiv 1810.04805), section 4.2.
Letters: T columns of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from .parts import PartsPipeline
from .text import no_head


class SpansPipeline(PartsPipeline):
    """A task whose model says for each token how likely an answer starts, and how likely it ends there.

    Items of `preprocess` have "notes", those of `notes_of`, one for each part.
    """

    per_token = True
    DIMENSIONS = 3

    def _logits(self, outputs: Any) -> Tensor:
        if isinstance(outputs, Mapping) and "start_logits" in outputs:
            outputs = {"logits": torch.stack([outputs["start_logits"], outputs["end_logits"]], dim=-1)}  # (B, T, 2)
        logits = super()._logits(outputs)
        if logits.shape[-1] != 2:  # of labels, or of words
            raise no_head(self.model, *self.NEEDS)
        return logits


class Room(NamedTuple):
    """What windows are made for: their longest, their overlap, both in tokens; what messages call the input, and its
    question."""

    limit: int
    stride: int
    name: str
    question: str


class Span(NamedTuple):
    """Tokens `start` to `end` of a window, with the probability that they are the answer."""

    score: float
    start: int
    end: int
    encoding: Any


def windows(encode: Callable[..., Any], own: int, room: Room) -> Any:
    """What `encode` makes of a question and a text, the text in as many windows as it needs.

    encode: a call of a tokenizer for a pair of lists of one; own: which of the two is the text that answers.

    Raises InputError where the question leaves no room for windows that overlap.
    """
    whole = encode()
    (row,) = whole.encodings
    if len(row.ids) <= room.limit:
        return whole
    left = room.limit - sum(of != own for of in row.sequence_ids)
    if left <= room.stride:
        raise InputError(
            f"{room.name}: the question {room.question[:40]!r} has {row.sequence_ids.count(1 - own)} tokens, which "
            f"leaves {max(left, 0)} of max_seq_len={room.limit} for the text that answers it: windows cannot overlap "
            f"by doc_stride={room.stride}. Use a smaller one, or a shorter question."
        )
    cut = {"truncation": "only_second" if own else "only_first", "max_length": room.limit, "stride": room.stride}
    return encode(**cut, return_overflowing_tokens=True)


def notes_of(encoding: Any, own: int, first: int | None) -> list[dict[str, Any]]:
    """Of each window its encoding, and at which tokens (T,) an answer may start or end: those of text number `own`, and
    the `first` token, which stands for no answer."""
    found = []
    for row in encoding.encodings:
        may = [of == own or number == first for of, number in zip(row.sequence_ids, row.ids, strict=True)]
        found.append({"encoding": row, "may": np.array(may)})
    return found


def best_spans(model_outputs: Mapping[str, Any], count: int, longest: int) -> tuple[list[Span], float]:
    """Of each window the `count` most probable spans of up to `longest` tokens; and the probability of no answer, the
    least of all windows."""
    none, found = 1.0, []
    for note, logits in zip(model_outputs["notes"], model_outputs["logits"], strict=True):
        may = note["may"]
        starts, ends = (_probabilities(column.numpy(), may) for column in logits.unbind(-1))
        none = min(none, float(starts[0] * ends[0]))
        starts[0] = ends[0] = 0.0
        scores = np.tril(np.triu(np.outer(starts, ends)), longest - 1)  # (T, T): start, end
        best = np.argsort(-scores, axis=None, kind="stable")[:count]
        for start, end in zip(*(x.tolist() for x in np.unravel_index(best, scores.shape)), strict=True):
            if may[start] and may[end] and start <= end < start + longest:
                found.append(Span(float(scores[start, end]), start, end, note["encoding"]))
    return found, none


def checked_counts(options: dict[str, Any]) -> dict[str, Any]:
    """The options themselves. Raises ArgumentError for a `top_k` or `max_answer_len` below 1."""
    for name in ("top_k", "max_answer_len"):
        if options.get(name, 1) < 1:
            raise ArgumentError(f"{name}={options[name]} is not possible: it should be 1 or more.")
    return options


def _probabilities(logits: np.ndarray, may: np.ndarray) -> np.ndarray:
    """(T,) softmax over the columns where an answer may be."""
    logits = np.where(may, logits, -10000.0)
    scores = np.exp(logits - logits.max())
    return np.asarray(scores / scores.sum())
