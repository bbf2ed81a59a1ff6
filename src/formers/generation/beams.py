"""Beam search: the best few continuations of each text are kept, and go on together.

Source: Graves 2012 (arXiv 1211.3711), Wu et al. 2016 (arXiv 1609.08144) for the length penalty.
Letters: B texts, K beams, C candidates, s generated columns, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .largest import largest
from .writing import NOT_FINITE

_NEVER = -1.0e9  # of a beam that is not there


@dataclass
class Hypotheses:
    """Beams of a kind: tokens (B, K, s), scores (B, K), and for each token the row that it came from, (B, K, s)."""

    tokens: Tensor
    scores: Tensor
    origins: Tensor

    def at(self, index: Tensor) -> Hypotheses:
        """Those of index (B, n)."""
        wide = index[..., None].expand(*index.shape, self.tokens.shape[2])
        return Hypotheses(self.tokens.gather(1, wide), self.scores.gather(1, index), self.origins.gather(1, wide))

    def of(self, texts: Tensor) -> Hypotheses:
        """Those of these texts (n,)."""
        return Hypotheses(self.tokens[texts], self.scores[texts], self.origins[texts])

    def beside(self, other: Hypotheses) -> Hypotheses:
        """Both, one after the other."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("tokens", "scores", "origins"))
        return Hypotheses(*(torch.cat(pair, dim=1) for pair in pairs))


@dataclass(frozen=True)
class Search:
    """What a search is asked for.

    stops: from candidates' tokens (B, C, s) and the numbers of their texts to which of them are at their end, (B, C).
    longest: new tokens at most. leave: whether a text that no beam can better is written no further; else its rows stay
    among the others, which what is drawn or kept of them may be about.
    """

    beams: int
    longest: int
    ends: int
    stops: Callable[[Tensor, Tensor], Tensor]
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    sample: bool = False
    pad: int = 0
    leave: bool = False


def search(
    asked: Search,
    runner: Any,
    logits: Tensor,
    rules: Callable[[Tensor, Tensor, Tensor], Tensor],
    kept: tuple[list[Tensor] | None, list[Tensor] | None] = (None, None),
    deadline: float | None = None,
) -> Hypotheses:
    """The best K beams of each text, finished ones first to last by score.

    runner: has computed the prompts of B · K rows, of which `logits` (B · K, V) are the last.
    rules: from generated tokens (n · K, s), log probabilities and the numbers of n texts to scores.
    kept: lists that get the scores, and the logits, of each step.
    """
    K, rows = asked.beams, logits.shape[0]
    B, device = rows // K, logits.device
    texts, over = torch.arange(B, device=device), list[tuple[Tensor, Hypotheses]]()
    running = _empty(B, K, device)
    running.scores[:, 1:] = _NEVER  # all beams of a text are alike at first
    done, open_ = _empty(B, K, device), torch.ones(B, 1, dtype=torch.bool, device=device)
    done.scores[:] = _NEVER
    full = torch.zeros(B, K, dtype=torch.bool, device=device)
    while True:
        scores = rules(running.tokens.flatten(0, 1), logits.float().log_softmax(-1), texts)
        for store, value in zip(kept, (scores, logits), strict=True):
            if store is not None:
                store.append(value)
        found = _candidates(asked, running, scores, texts)
        best = found.scores.amax(1)  # NaN where any is
        if bool((open_[:, 0] & (best.isnan() | (best == -torch.inf))).any()):
            raise InputError(NOT_FINITE)
        length = found.tokens.shape[2]
        ends = asked.stops(found.tokens, texts)
        late = deadline is not None and time.monotonic() >= deadline
        ends = torch.ones_like(ends) if late else ends
        running = found.at((found.scores + ends * _NEVER).topk(K)[1])
        done, full = _finished(asked, done, full, found, ends, open_, length)
        most = asked.longest if asked.early_stopping == "never" and asked.length_penalty > 0 else length
        reach = running.scores[:, :1] / most**asked.length_penalty
        worst = torch.where(full, done.scores.min(dim=1, keepdim=True)[0], _NEVER)
        open_ = open_ & (reach > worst).any(dim=-1, keepdim=True)
        if bool(ends.all()) or not bool(open_.any()) or (asked.early_stopping is True and bool(full.all())):
            return _together([*over, (texts, done)], asked.pad)
        if asked.leave and not bool(open_.all()):
            shut, going = (each.nonzero()[:, 0] for each in (~open_[:, 0], open_[:, 0]))
            over.append((texts[shut], done.of(shut)))
            texts, running, done, full, open_ = (
                texts[going],
                running.of(going),
                done.of(going),
                full[going],
                open_[going],
            )
        numbers = rows_of(texts, K)
        if len(numbers) < len(runner.rows):
            runner.keep(numbers)
        origins = dict(zip(numbers, running.origins[:, :, -1].flatten().tolist(), strict=True))
        runner.move([origins.get(row, row) for row in range(rows)])
        runner.written = dict(zip(numbers, running.tokens.flatten(0, 1), strict=True))
        logits = runner.step(running.tokens[:, :, -1].flatten())


def rows_of(texts: Tensor, beams: int) -> list[int]:
    """The rows of these texts."""
    return (texts[:, None] * beams + torch.arange(beams, device=texts.device)).flatten().tolist()


def _together(parts: list[tuple[Tensor, Hypotheses]], pad: int) -> Hypotheses:
    """What was found of all texts, (n,) of which each part has some."""
    longest, order = (
        max(found.tokens.shape[2] for _, found in parts),
        torch.cat([texts for texts, _ in parts]).argsort(),
    )

    def joined(name: str, value: int) -> Tensor:
        whole = [getattr(found, name) for _, found in parts]
        padded = [torch.nn.functional.pad(x, (0, longest - x.shape[2]), value=value) for x in whole]
        return torch.cat(padded)[order]

    return Hypotheses(
        joined("tokens", pad), torch.cat([found.scores for _, found in parts])[order], joined("origins", -1)
    )


def _empty(B: int, K: int, device: torch.device) -> Hypotheses:
    none = torch.zeros(B, K, 0, dtype=torch.long, device=device)
    return Hypotheses(none, torch.zeros(B, K, device=device), none)


def _candidates(asked: Search, running: Hypotheses, scores: Tensor, texts: Tensor) -> Hypotheses:
    """The best continuations of each text, (B, C): enough for K to go on if others are at their end."""
    (B, K), V = running.scores.shape, scores.shape[1]
    count = max(2, 1 + asked.ends) * K
    if asked.sample:
        whole = (scores.view(B, K, V) + running.scores[..., None]).flatten(1)
        if not bool(whole.amax(1).isfinite().all()):
            raise InputError(NOT_FINITE)
        index = torch.multinomial(whole.softmax(-1), count)
        values = whole.gather(1, index)
    else:
        few, tokens = largest(scores, min(count, V))  # of each beam, since no more of one are wanted
        values, at = (few.view(B, K, -1) + running.scores[..., None]).flatten(1).topk(count)
        index = at // few.shape[1] * V + tokens.view(B, -1).gather(1, at)
    beam, token = index // V, index % V
    chosen = running.at(beam)
    origin = beam + texts[:, None] * K
    tokens = torch.cat([chosen.tokens, token[..., None]], dim=2)
    return Hypotheses(tokens, values, torch.cat([chosen.origins, origin[..., None]], dim=2))


def _finished(
    asked: Search, done: Hypotheses, full: Tensor, found: Hypotheses, ends: Tensor, open_: Tensor, length: int
) -> tuple[Hypotheses, Tensor]:
    """The best K of what was finished before and what is now, of the first K candidates; and which are there."""
    K = asked.beams
    ends = ends & (torch.arange(ends.shape[1], device=ends.device) < K)
    scores = found.scores / length**asked.length_penalty
    shut = full.all(dim=-1, keepdim=True) & (asked.early_stopping is True)
    scores = scores + shut * _NEVER + ~open_ * _NEVER + ~ends * _NEVER
    pad = length - done.tokens.shape[2]
    done = Hypotheses(
        torch.nn.functional.pad(done.tokens, (0, pad), value=asked.pad),
        done.scores,
        torch.nn.functional.pad(done.origins, (0, pad), value=-1),
    )
    merged = done.beside(Hypotheses(found.tokens, scores, found.origins))
    index = merged.scores.topk(K)[1]
    return merged.at(index), torch.cat([full, ends], dim=1).gather(1, index)
