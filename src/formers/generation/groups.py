"""Beams in groups: each group is a search of its own, and is kept from the tokens that groups before it just took.

    beams      0 1 │ 2 3 │ 4 5      three groups of two
    step s     group 0 chooses, then group 1, which pays for tokens of group 0, then group 2, which pays for both

One group of a text that has to contain something is constrained search (constrained.py).
Source: Vijayakumar et al. 2016 (arXiv 1610.02424); the scores are those of Transformers 4.20 (scorers.py).
Letters: B texts, K beams of a text, G groups, S = K / G, s generated columns, C candidates, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .scorers import BeamHypotheses
from .writing import NOT_FINITE, whole

_NEVER = -1.0e9  # of a beam that is not there
Candidate = tuple[float, int, int]  # its log probabilities, its token, and the row that it goes on from


class Guide(Protocol):
    """Who says what texts must contain."""

    def fulfilled(self, row: int) -> bool:
        """Whether the text of a row contains it."""

    def advance(self, text: int, chosen: list[Candidate], tokens: Tensor, scores: Tensor) -> list[Candidate]:
        """Beams that go on: of those chosen, and of others that come nearer. tokens (K, s): of the text's beams;
        scores (K, V): of their continuations, without those of the tokens before, as Transformers 4.20 takes them."""


@dataclass(frozen=True)
class Search:
    """What a search is asked for. prompts, longest: (B,) tokens of each prompt, and how many new ones a text may get.

    stops: from generated tokens (B · K, s) to which rows are to end, (B · K,).
    returned: texts of each prompt.
    """

    beams: int
    groups: int
    prompts: list[int]
    longest: list[int]
    eos: list[int]
    stops: Callable[[Tensor], Tensor]
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    returned: int = 1
    guide: Guide | None = None


class Beams:
    """The beams of all texts: tokens, origins (B · K, s), and the sum of log probabilities of each, (B · K,)."""

    def __init__(self, asked: Search, device: torch.device) -> None:
        B, K, S = len(asked.prompts), asked.beams, asked.beams // asked.groups
        self.asked, self.size = asked, S
        self.tokens = torch.zeros(B * K, 0, dtype=torch.long, device=device)
        self.origins = self.tokens
        self.totals = torch.full((B * K,), _NEVER, device=device)
        self.totals[::S] = 0.0  # the beams of a group are alike at first
        self.kept = [
            BeamHypotheses(K, asked.length_penalty, asked.early_stopping, prompt + most)
            for prompt, most in zip(asked.prompts, asked.longest, strict=True)
        ]
        self.live = list(range(B))
        self.over: set[int] = set()  # texts that nothing can be added to

    def rows(self, group: int) -> list[int]:
        """The rows of a group, those of each text after another."""
        K, S = self.asked.beams, self.size
        return [b * K + group * S + i for b in range(len(self.asked.prompts)) for i in range(S)]

    def choose(self, group: int, scores: Tensor) -> list[Candidate]:
        """The S beams of each live text that go on in a group, from the scores (B · S, V) of its rows; what is at its
        end is kept."""
        asked, S, V = self.asked, self.size, scores.shape[1]
        at = torch.tensor(self.rows(group), device=scores.device)
        totals = scores + self.totals[at, None]
        count = min(max(2, 1 + len(asked.eos)) * S, S * V)
        values, index = totals.view(-1, S * V).topk(count)  # (B, C)
        found = []
        for b in self.live:
            if not float(values[b, 0]) > -torch.inf:
                raise InputError(NOT_FINITE)
            first = b * asked.beams + group * S
            rows, tokens = index[b] // V + first, index[b] % V
            candidates = list(zip(values[b].tolist(), tokens.tolist(), rows.tolist(), strict=True))
            found += self._going(b, first, candidates, scores[b * S : (b + 1) * S])
        return found

    def _going(self, b: int, first: int, candidates: list[Candidate], scores: Tensor) -> list[Candidate]:
        """The candidates of text b that go on."""
        asked, length = self.asked, self.asked.prompts[b] + self.tokens.shape[1]
        if b in self.over:  # by a group before, in this step
            return [(0.0, 0, first)] * self.size
        going: list[Candidate] = []
        for rank, (score, token, row) in enumerate(candidates):
            if token not in asked.eos:
                going.append((score, token, row))
            elif rank < self.size and (asked.guide is None or asked.guide.fulfilled(row)):
                self._keep(b, row, score, length, [token])
            if len(going) == self.size:
                break
        if asked.guide is not None:
            going = asked.guide.advance(b, going, self.tokens[first : first + self.size], scores)
        if self.kept[b].settled(candidates[0][0], max(length, 1)):
            self.over.add(b)
        return going

    def _keep(self, b: int, row: int, score: float, length: int, end: list[int]) -> None:
        tokens, origins = self.tokens[row].tolist() + end, self.origins[row].tolist() + [row] * len(end)
        self.kept[b].add(score, max(length, 1), tokens, origins)

    def add(self, chosen: dict[int, Candidate]) -> list[int]:
        """One more token of each live row; gives the rows that all go on from."""
        rows = [chosen[row][2] if row in chosen else row for row in range(len(self.totals))]
        at = torch.tensor(rows, device=self.tokens.device)
        tokens = [chosen[row][1] if row in chosen else 0 for row in range(len(rows))]
        self.totals = self.totals.new_tensor([chosen[row][0] if row in chosen else 0.0 for row in range(len(rows))])
        self.tokens = torch.cat([self.tokens[at], torch.tensor(tokens, device=at.device)[:, None]], 1)
        self.origins = torch.cat([self.origins[at], at[:, None]], 1)
        return rows

    def close(self, stopped: list[bool]) -> None:
        """End the texts that are over; what their beams have counts where there is no more time: stopped (B,)."""
        for b in self.live:
            if b not in self.over and stopped[b]:
                self._keep_rest(b)
                self.over.add(b)
        self.live = [b for b in self.live if b not in self.over]

    def _keep_rest(self, b: int) -> None:
        asked, length = self.asked, self.asked.prompts[b] + self.tokens.shape[1]
        rows = range(b * asked.beams, (b + 1) * asked.beams)
        right = [row for row in rows if asked.guide is None or asked.guide.fulfilled(row)]
        for row in right:
            self._keep(b, row, float(self.totals[row]), length, [])
        if len(self.kept[b].texts) < asked.returned:  # rather a text without what it must contain than none
            for row in rows:
                if row not in right:
                    self._keep(b, row, float(self.totals[row]), length, [])


def search(
    asked: Search,
    runner: Any,
    logits: Tensor,
    rules: Callable[[int, list[int], Tensor, Tensor, Tensor, list[int]], Tensor],
    stores: tuple[list[Tensor] | None, list[Tensor] | None] = (None, None),
    deadline: float | None = None,
) -> list[BeamHypotheses]:
    """The best texts of each prompt.

    runner: has computed the prompts of B · K rows, of which `logits` (B · K, V) are the last.
    rules: from a group, its rows, their tokens (B · S, s) and log probabilities (B · S, V), the tokens that were just
        taken (B · K,), and which of the rows go on, to scores.
    stores: lists that get the scores, and the logits, of each step, (B · K, V).
    """
    beams, K = Beams(asked, logits.device), asked.beams
    while True:
        live = [b * K + i for b in beams.live for i in range(K)]
        full = whole(logits, live, len(beams.totals))
        found, scores = full.log_softmax(-1), torch.zeros_like(full)
        chosen: dict[int, Candidate] = {}
        taken = torch.zeros(len(full), dtype=torch.long, device=full.device)
        for group in range(asked.groups):
            rows = beams.rows(group)
            at, going = torch.tensor(rows, device=full.device), [i for i, row in enumerate(rows) if row in set(live)]
            scores[at] = rules(group, rows, beams.tokens[at], found[at], taken, going)
            numbers = [rows[i] for i in going]
            chosen.update(zip(numbers, beams.choose(group, scores[at]), strict=True))
            taken[numbers] = torch.tensor([chosen[row][1] for row in numbers], device=full.device)
        for store, value in zip(stores, (scores, full), strict=True):
            if store is not None:
                store.append(value)
        moved = beams.add(chosen)
        late = deadline is not None and time.monotonic() >= deadline
        stop = asked.stops(beams.tokens).view(-1, K).all(1).tolist()
        beams.close([late or end or beams.tokens.shape[1] >= n for end, n in zip(stop, asked.longest, strict=True)])
        if not beams.live:
            return beams.kept
        logits = _step(runner, beams, moved)


def _step(runner: Any, beams: Beams, moved: list[int]) -> Tensor:
    """The logits after the new tokens of the live rows."""
    runner.move(moved)
    live = [b * beams.asked.beams + i for b in beams.live for i in range(beams.asked.beams)]
    if len(live) < len(runner.rows):
        runner.keep(live)
    last = beams.tokens[:, -1]
    logits: Tensor = runner.step(last[torch.tensor(sorted(runner.rows), device=last.device)])
    return logits if len(runner.rows) == len(live) else logits[torch.tensor(live, device=last.device)]
