"""Constrained beams: of the continuations of a text, those that bring it nearer to what it must contain stay in view.

    bank 3   ███        candidates are sorted by the steps that they have done (banks), then by their scores; of each
    bank 2   ██████     bank the best goes on, then the second of each, until there are as many as beams
    bank 0   █████████

Source: Post and Vilar 2018 (arXiv 1804.06609). Letters: K beams, s generated columns, C candidates, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..logging import warn_once
from .constraints import Constraint, ConstraintListState
from .groups import Candidate

_BANK = 100.0  # between two banks, more than scores usually differ


class Banks:
    """How far the beams of all texts are. prompts: (B,) their tokens, which count too."""

    def __init__(self, constraints: Sequence[Constraint], prompts: Sequence[Tensor], beams: int) -> None:
        self.beams, self.states = beams, list[ConstraintListState]()
        for prompt in prompts:
            state = ConstraintListState(constraints)
            state.reset(prompt.tolist())
            self.states += [state.copy() for _ in range(beams)]

    def fulfilled(self, row: int) -> bool:
        """Whether the text of a row contains all."""
        return self.states[row].completed

    def advance(self, text: int, chosen: list[Candidate], tokens: Tensor, scores: Tensor) -> list[Candidate]:
        """K beams: of those chosen, and of continuations of the text's beams that are a step on. See groups.Guide."""
        first = text * self.beams
        begun = tokens.tolist()
        found = [(one, self._after(one)) for one in chosen]
        seen = set[tuple[int, ...]]()  # of these alone: one that was chosen too comes twice, as in Transformers
        for i in range(self.beams):
            state = self.states[first + i]
            for token in (None if state.completed else state.advance()) or ():
                if (*begun[i], token) not in seen:
                    seen.add((*begun[i], token))
                    one = (float(scores[i, token]), token, first + i)
                    found.append((one, self._after(one)))
        if len(found) > len(chosen):
            found = [found[i] for i in _order(found)[: self.beams]]
        self.states[first : first + self.beams] = [state for _, state in found]
        return [one for one, _ in found]

    def warn_of_lacking(self, prompts: Sequence[Tensor], texts: Sequence[Sequence[int]]) -> None:
        """Warn where one of the texts, as many of each prompt, does not contain all."""
        each, lacking = len(texts) // len(prompts), list[int]()
        for number, text in enumerate(texts):
            state = ConstraintListState(self.states[0].constraints)
            state.reset([*prompts[number // each].tolist(), *text])
            lacking += [] if state.completed else [number]
        if lacking:
            warn_once(
                f"{len(lacking)} of {len(texts)} texts, the first is number {lacking[0]}, do not contain all that they "
                "should: there was no room. Give more max_new_tokens or num_beams, or fewer num_return_sequences."
            )

    def _after(self, candidate: Candidate) -> ConstraintListState:
        state = self.states[candidate[2]].copy()
        state.add(candidate[1])
        return state


def _order(found: Sequence[tuple[Candidate, ConstraintListState]]) -> list[int]:
    """The best of each bank, then the second of each, and so on."""
    banks = [state.get_bank() for _, state in found]
    heights = torch.tensor(banks) * _BANK + torch.tensor([score for (score, _, _), _ in found])
    order = heights.sort(descending=True, stable=True).indices.tolist()
    places, place = [], 0
    for i, index in enumerate(order):
        place = place + 1 if i and banks[index] == banks[order[i - 1]] else 0
        places.append(place)
    return [order[i] for i in sorted(range(len(order)), key=places.__getitem__)]
