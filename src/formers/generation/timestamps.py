"""Times among the tokens of speech: what rules they follow, and the segments that they mark.

    <|0.00|> Ever tried. <|1.90|><|1.90|> Ever failed. <|3.20|>        times come in pairs: an end, and a beginning

Source: Radford et al. 2022 (arXiv 2212.04356), section 3.8.
Letters: B texts, T columns, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .processors import LogitsProcessor

SECONDS = 0.02  # from one token of time to the next


class WhisperTimeStampLogitsProcessor(LogitsProcessor):
    """Tokens of time come first, in pairs, and never go back; and one comes where all of them together are more likely
    than any word.

    begin: the first token of time; end: the one that ends a text, which is above all words. begin_index: the columns
    before what is written. most_first: how many steps of 0.02 s the first time may be, None for any.
    """

    def __init__(self, begin: int, end: int, begin_index: int, most_first: int | None = None) -> None:
        self.begin, self.end, self.begin_index, self.most_first = begin, end, begin_index, most_first

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores, begin = scores.clone(), self.begin
        scores[:, begin - 1] = -torch.inf  # <|notimestamps|>
        new = input_ids[:, self.begin_index :]
        if not new.shape[1]:
            scores[:, :begin] = -torch.inf
            if self.most_first is not None:
                scores[:, begin + self.most_first + 1 :] = -torch.inf
            return scores
        times = new >= begin
        last = times[:, -1]
        paired = last & (times[:, -2] if new.shape[1] > 1 else torch.ones_like(last))
        columns = torch.arange(scores.shape[1], device=scores.device)
        at = torch.arange(new.shape[1], device=new.device)
        latest = new.gather(1, (times * at).argmax(1, keepdim=True))  # (B, 1)
        least = torch.where(times.any(1, keepdim=True), latest + (~(last & ~paired))[:, None], begin)
        hidden = (columns >= begin) & (columns < least)
        hidden |= paired[:, None] & (columns >= begin)
        hidden |= (last & ~paired)[:, None] & (columns < self.end)
        scores.masked_fill_(hidden, -torch.inf)
        likely = scores[:, begin:].float().logsumexp(1) > scores[:, :begin].float().max(1).values
        scores[:, :begin].masked_fill_(likely[:, None], -torch.inf)
        return scores


@dataclass(frozen=True)
class Segment:
    """A stretch of what was written: tokens start to end (without) of it, from one second to another of the window."""

    start: int
    end: int
    begins: float
    ends: float


def segments(tokens: list[int], begin: int, frames: int, stride: int) -> tuple[list[Segment], int]:
    """The segments of the tokens of a window of `frames`, and how many frames they end after.

    begin: the first token of time; stride: frames to a step of time. What comes after the last whole segment is left
    for the next window.
    """
    times = [token >= begin for token in tokens]
    cuts = [i + 1 for i in range(len(times) - 1) if times[i] and times[i + 1]]
    if not cuts:
        marked = [token for token in tokens if token >= begin]
        steps = marked[-1] - begin if marked and marked[-1] != begin else frames // stride
        return [Segment(0, len(tokens), 0.0, steps * SECONDS)], frames
    closed = times[-2:] == [False, True]  # nothing is said after the last time
    if closed:
        cuts.append(len(tokens))
    else:
        cuts[-1] += 1  # which shows that it was no single one
    found, start = [], 0
    for end in cuts:
        last = tokens[end - 2] if end == cuts[-1] and not closed else tokens[end - 1]
        found.append(Segment(start, end, (tokens[start] - begin) * SECONDS, (last - begin) * SECONDS))
        start = end
    return found, frames if closed else (tokens[start - 2] - begin) * stride
