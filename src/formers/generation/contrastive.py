"""Contrastive search: of the k likeliest tokens the one whose state is least like those before it.

    chance      0.5   0.3   0.1        (1 - α) · chance - α · the largest cosine with the states of the text so far
    likeness    0.9   0.4   0.3        the candidates of all texts are one pass; the chosen ones go on

Source: Su et al. 2022 (arXiv 2202.06417). Letters: B texts, k candidates, T tokens so far, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .chain import Rules
from .runner import Runner
from .writing import NOT_FINITE, Draft, whole


class States:
    """A model whose passes leave the last hidden states of their texts, (B, T, D) padded on the right, in `found`."""

    def __init__(self, model: Any) -> None:
        self.model, self.found = model, torch.empty(0)

    def next_logits(self, inputs: dict[str, Any], layout: Any, cache: Any, every: bool = False) -> Tensor:
        """As the model's own."""
        body = self.model.base_model(**inputs, layout=layout, past_key_values=cache, return_dict=True)
        rows = body.last_hidden_state
        self.found = layout.unpack(rows)
        logits: Tensor = self.model.compute_logits(rows.flatten(0, -2) if every else layout.last(rows))
        return logits

    def of_prompts(self, runner: Runner) -> list[Tensor]:
        """(B,) the states (t, D) of each prompt, after the pass that computed them."""
        slots = sorted(range(len(runner.rows)), key=runner.rows.__getitem__)
        return [_unit(self.found[slot, : runner.cache.lengths[slot]]) for slot in slots]


def contrastive(
    draft: Draft,
    runner: Runner,
    states: States,
    logits: Tensor,
    rules: Rules,
    config: Any,
    criteria: Any = None,
    deadline: float | None = None,
) -> Iterator[Tensor]:
    """Write until all texts have ended; yields the tokens (B,) of each step.

    runner: of `states`, has just computed the prompts, of which `logits` (B, V) are the last.
    """
    k, alpha = int(config.top_k), float(config.penalty_alpha)
    before = states.of_prompts(runner)
    while live := draft.live:
        full = whole(logits, live, len(draft.ended))
        scores = rules(draft.ids, draft.real, full, live)
        draft.keep(scores, full)
        at = torch.tensor(live, device=scores.device)
        chances, tokens = scores[at].softmax(-1).topk(min(k, scores.shape[1]))  # (b, k) of the b texts that go on
        if bool(chances.isnan().any()):
            raise InputError(NOT_FINITE)
        logits, rows = _tried(runner, states, tokens)
        likeness = torch.stack([(before[b] @ _unit(rows[i]).T).amax(0) for i, b in enumerate(live)])  # (b, k)
        best = ((1 - alpha) * chances - alpha * likeness).argmax(-1)  # (b,)
        texts = torch.arange(len(live), device=best.device)
        logits, rows = logits[texts, best], rows[texts, best]
        _settle(runner, live, best.tolist(), tokens.shape[1])
        for i, b in enumerate(live):
            before[b] = torch.cat([before[b], _unit(rows[i : i + 1])])
        draft.add(draft.ids.new_zeros(len(draft.ended)).index_copy(0, at, tokens[texts, best]))
        draft.check(criteria, deadline)
        yield draft.ids[:, -1]
        going = draft.live
        if going and len(going) < len(live):
            runner.keep(going)
            logits = logits[[live.index(b) for b in going]]


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=-1)


def _tried(runner: Runner, states: States, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (b, k, V) and states (b, k, D) after each candidate (b, k)."""
    numbers, (b, k) = sorted(runner.rows), tokens.shape
    runner.rows = [numbers.index(row) for row in runner.rows]  # their places among the texts that go on
    runner.repeat(k)
    logits = runner.step(tokens.flatten())
    slots = sorted(range(b * k), key=runner.rows.__getitem__)
    return logits.view(b, k, -1), states.found[torch.tensor(slots, device=tokens.device), 0].view(b, k, -1)


def _settle(runner: Runner, live: Sequence[int], best: Sequence[int], k: int) -> None:
    """Go on from the best candidate of each text, under the text's number."""
    runner.keep([i * k + choice for i, choice in enumerate(best)])
    runner.rows = [live[row // k] for row in runner.rows]
