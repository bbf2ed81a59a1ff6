"""Greedy search and sampling: one token a text and step.

Letters: B texts, T columns of prompts, s generated columns, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import sampling
from .chain import Rules


@dataclass
class Draft:
    """Texts being written.

    ids, real: (B, T + s) tokens, and which columns hold some. longest: (B,) how many new tokens each may get.
    ended: (B,) why a text ended: "eos", "length", "stop", "time"; "" while it goes on.
    """

    ids: Tensor
    real: Tensor
    longest: list[int]
    eos: list[int]
    pad: int
    ended: list[str] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    keep_scores: bool = False
    keep_logits: bool = False

    def __post_init__(self) -> None:
        self.ended = ["" if most > 0 else "length" for most in self.longest]
        self.prompt = self.ids.shape[1]

    @property
    def live(self) -> list[int]:
        """The texts that go on."""
        return [row for row, why in enumerate(self.ended) if not why]

    def add(self, tokens: Tensor) -> None:
        """A token (B,) for each text; those that ended get padding."""
        going = torch.tensor([not why for why in self.ended], device=tokens.device)
        tokens = torch.where(going, tokens, self.pad)
        self.ids = torch.cat([self.ids, tokens[:, None]], dim=1)
        self.real = torch.cat([self.real, going[:, None]], dim=1)
        new = self.ids.shape[1] - self.prompt
        for row, token in enumerate(tokens.tolist()):
            if not self.ended[row]:
                self.ended[row] = "eos" if token in self.eos else "length" if new >= self.longest[row] else ""

    def keep(self, scores: Tensor, logits: Tensor) -> None:
        """Keep what the caller wants back of a step, (B, V) each."""
        if self.keep_scores:
            self.scores.append(scores)
        if self.keep_logits:
            self.logits.append(logits)

    def kept(self) -> tuple[Tensor, ...] | None:
        """The scores of all steps, where they are kept: what stopping criteria get to see."""
        return tuple(self.scores) if self.keep_scores else None

    def stop(self, done: Sequence[bool], why: str) -> None:
        """End the texts that are `done`."""
        self.ended = [old or (why if now else "") for old, now in zip(self.ended, done, strict=True)]

    def check(self, criteria: Any, deadline: float | None) -> None:
        """End the texts that criteria say are done, and all of them after a deadline, of time.monotonic()."""
        if criteria:
            self.stop(criteria(self.ids, self.kept()).tolist(), "stop")
        if deadline is not None and time.monotonic() >= deadline:
            self.stop([True] * len(self.ended), "time")


def write(
    draft: Draft,
    runner: Any,
    logits: Tensor,
    rules: Rules,
    *,
    sample: bool = False,
    generators: Sequence[torch.Generator] | None = None,
    criteria: Any = None,
    deadline: float | None = None,
) -> Iterator[Tensor]:
    """Write until all texts have ended; yields the tokens (B,) of each step, padding for those that had ended.

    runner: has computed the prompts, of which `logits` (B, V) are the last. criteria: called with the texts so far.
    deadline: of time.monotonic(), after which texts end.
    """
    while live := draft.live:
        full = whole(logits, live, len(draft.ended))
        scores = rules(draft.ids, draft.real, full, live)
        draft.keep(scores, full)
        tokens = chosen(scores, live, sample, generators)
        draft.add(tokens)
        draft.check(criteria, deadline)
        yield draft.ids[:, -1]
        if not (going := draft.live):
            return
        if len(going) < len(runner.rows):
            runner.keep(going)
        logits = runner.step(draft.ids[torch.tensor(sorted(runner.rows), device=tokens.device), -1])
        if len(runner.rows) > len(going):
            logits = logits[torch.tensor(going, device=logits.device)]


def whole(logits: Tensor, rows: Sequence[int], count: int) -> Tensor:
    """(B, V) in float32, zeros for the texts that have ended."""
    logits = logits.float()
    if len(rows) == count:
        return logits
    whole = logits.new_zeros(count, logits.shape[1])
    whole[torch.tensor(rows, device=logits.device)] = logits
    return whole


def chosen(scores: Tensor, live: Sequence[int], sample: bool, generators: Sequence[torch.Generator] | None) -> Tensor:
    """(B,) the best token of each text, or one drawn."""
    if not sample:
        best, tokens = scores.max(dim=-1)
        if bool(best.isnan().any()) or bool((best == -torch.inf).any()):
            raise InputError(NOT_FINITE)
        return tokens
    if generators is None:
        return sampling.draw(scores)
    tokens = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    rows = torch.tensor(live, device=scores.device)
    tokens[rows] = sampling.draw(scores[rows], [generators[row] for row in live])
    return tokens


NOT_FINITE = (
    "The model's logits are not finite, or all tokens are ruled out: no token can be chosen. Look for weights that are "
    "not finite, or a type that is too short for them; remove_invalid_values=True replaces such logits."
)
