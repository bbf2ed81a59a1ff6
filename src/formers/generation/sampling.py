"""Drawing tokens from scores. Letters: B texts, V vocabulary, K candidates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .largest import ordered
from .warpers import TopPLogitsWarper

Generators = torch.Generator | Sequence[torch.Generator] | None


def seeded(seed: int, rows: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """A generator a row, the first seeded with `seed`, the next with the number after it, and so on."""
    return [torch.Generator(device).manual_seed(seed + row) for row in range(rows)]


def draw(scores: Tensor, generators: Generators = None) -> Tensor:
    """A token for each row of scores (B, V), which are logits: (B,).

    generators: one for all rows, or one a row, so that what a row draws does not depend on its batch. Without any, the
    tokens are those of `torch.multinomial` after `torch.manual_seed`, which is what the reference draws.
    Errors: InputError for scores of which nothing can be drawn.
    """
    probabilities = scores.softmax(-1, dtype=torch.float32)
    return pick(probabilities, generators)


def pick(probabilities: Tensor, generators: Generators = None) -> Tensor:
    """A column for each row of probabilities (B, K), which need not add up to 1: (B,). As `draw` otherwise."""
    if generators is None:
        _check(probabilities.sum(-1))
        return torch.multinomial(probabilities, 1)[:, 0]
    heights = probabilities.cumsum(-1, dtype=torch.float64)  # (B, K): a column's share ends here
    total = heights[:, -1:].contiguous()
    _check(total[:, 0])
    at = _uniform(len(probabilities), generators).to(heights.device)[:, None] * total
    # one that rounding has put at the very end belongs to the last column that has a share
    return torch.minimum(torch.searchsorted(heights, at, right=True), torch.searchsorted(heights, total))[:, 0]


def _uniform(rows: int, generators: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    if isinstance(generators, torch.Generator):
        return torch.rand(rows, generator=generators, dtype=torch.float64, device=generators.device)
    if len(generators) != rows:
        raise InputError(f"{len(generators)} generators for {rows} texts: give one a text, or one for all.")
    return torch.cat([torch.rand(1, generator=g, dtype=torch.float64, device=g.device) for g in generators])


def _check(totals: Tensor) -> None:
    wrong = ~((totals > 0) & totals.isfinite())
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise InputError(
            f"No token can be drawn for text {row}: its scores are not numbers, or all are -inf. Look at the model's "
            "logits and at what the processors suppress; remove_invalid_values=True replaces what is not a number."
        )


def fused(
    scores: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_tokens_to_keep: int = 1
) -> tuple[Tensor, Tensor]:
    """Temperature, then top-k, then top-p on logits (B, V), without a pass over them all for each.

    Gives token ids (B, K) in any order and their float32 probabilities (B, K), 0 for what was cut off: the distribution
    that TemperatureLogitsWarper, TopKLogitsWarper and TopPLogitsWarper leave. top_k=0 and top_p=1 cut nothing.
    `pick` draws from it: `ids.gather(1, pick(probabilities, generators)[:, None])`.
    """
    V = scores.shape[1]
    if 0 < top_k < V:
        scores, ids = ordered(scores, min(max(top_k, min_tokens_to_keep), V))
    else:
        ids = torch.arange(V, device=scores.device).expand_as(scores)
    scores = scores / temperature
    probabilities = scores.softmax(-1, dtype=torch.float32)
    if top_p >= 1:
        return ids, probabilities
    if ids.shape[1] < V:  # best first
        before = probabilities.cumsum(-1, dtype=torch.float64) - probabilities
        before[:, :min_tokens_to_keep] = -1
        kept = before < top_p
    else:
        kept = TopPLogitsWarper(top_p, min_tokens_to_keep=min_tokens_to_keep).kept(scores)
    probabilities = probabilities.masked_fill(~kept, 0)
    return ids, probabilities / probabilities.sum(-1, keepdim=True)
