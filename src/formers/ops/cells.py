"""Choosing cells of a table: what its tokens say of each cell, and losses for what is chosen and computed from it.

Source: Herzig et al. 2020 (arXiv 2004.02349), sections 2 and 3, appendix D.
Letters: B batch, T columns of tokens, R rows and C columns of a table, A aggregations, of which 0 is none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import RelaxedBernoulli, RelaxedOneHotCategorical

_EPSILON, LOG_ZERO = 1e-10, -10000.0


class Cells:
    """The cells (R, C) of B tables, and the T tokens in each. Row 0 has the headers; cell (0, 0) is the question.

    row, column: (B, T) of each token; those past the last row or column count as in it.
    real: (B, T) which tokens are no padding.
    """

    def __init__(self, row: Tensor, column: Tensor, real: Tensor, size: tuple[int, int]) -> None:
        self.size, self.column = size, column.clamp(max=size[1] - 1)
        self.index = row.clamp(max=size[0] - 1) * size[1] + self.column  # (B, T)
        self.there = self.mean(real.to(torch.float32))  # (B, R, C) which cells have tokens

    def mean(self, values: Tensor) -> Tensor:
        """(B, T) to (B, R, C), the mean of each cell's tokens; 0 where it has none."""
        return self._reduced(values, "mean")

    def most(self, values: Tensor) -> Tensor:
        """(B, T) to (B, R, C), the largest of each cell's tokens; 0 where it has none."""
        return self._reduced(values, "amax")

    def _reduced(self, values: Tensor, how: str) -> Tensor:
        found = values.new_zeros(len(values), self.size[0] * self.size[1])
        return found.scatter_reduce(1, self.index, values, how, include_self=False).unflatten(1, self.size)

    def spread(self, values: Tensor) -> Tensor:
        """(B, R, C) to (B, T), each token with its cell's."""
        return values.flatten(1).gather(1, self.index)

    def column_logits(self, logits: Tensor, may_be_none: bool) -> Tensor:
        """(B, T) logits of tokens to (B, C), the means of cells; column 0 stands for no column."""
        count = self.there.sum(1)
        found = (self.mean(logits) * self.there).sum(1) / (count + _EPSILON)
        absent = count < 0.5
        absent[:, 0] = not may_be_none
        return found + LOG_ZERO * absent

    def of_best_column(self, logits: Tensor, columns: Tensor) -> Tensor:
        """(B, T) the means of each cell's logits, with cells outside of the likeliest column as good as ruled out."""
        best = columns.argmax(-1, keepdim=True)
        chosen = F.one_hot(best, self.size[1]) * (best != 0)[..., None]  # (B, 1, C)
        return self.spread(self.mean(logits) + LOG_ZERO * (1 - self.there * chosen))

    def column_loss(self, logits: Tensor, columns: Tensor, labels: Tensor) -> Tensor:
        """(B,) the losses of the column with most labels, and of its cells: labels (B, T) are 1 in the answer."""
        labels = labels.to(torch.float32)
        count = labels.new_zeros(len(labels), self.size[1]).scatter_add(1, self.column, labels)
        wanted = count.argmax(-1).where(count.amax(-1) > 0, 0)
        weight = F.one_hot(wanted, self.size[1])[:, None] * self.there  # (B, R, C)
        each = F.binary_cross_entropy_with_logits(self.mean(logits), self.most(labels), reduction="none")
        of_cells = (each * weight).sum((1, 2)) / (weight.sum((1, 2)) + _EPSILON)
        return F.cross_entropy(columns, wanted, reduction="none") + of_cells.where(count.amax(-1) > 0, 0)


def token_loss(logits: Tensor, labels: Tensor, real: Tensor, positive: float) -> Tensor:
    """(B,) the mean loss of tokens (B, T), where those in the answer weigh `positive`."""
    each = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    weight = torch.where(labels == 0, 1.0, positive) * real
    return (each * weight).sum(1) / (real.sum(1) + _EPSILON)


def aggregates(answer: Tensor, logits: Tensor, labels: Tensor, preference: float) -> Tensor:
    """(B,) 1 where the answer is to be computed: it is a number (else NaN), and not in the table, or the model's
    probability of any aggregation, from `logits` (B, A), is over `preference`."""
    likely = logits.softmax(-1)[:, 1:].sum(1)
    selects = (likely <= preference) & (labels.sum(1) > 0)
    return (~answer.isnan() & ~selects).to(logits.dtype).detach()


def some_aggregation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """(B,) from logits (B, A): the loss of none where `mask` is 0, and of any one where it is 1."""
    log = logits.log_softmax(-1)
    return -log[:, 0] * (1 - mask) - logits.softmax(-1)[:, 1:].sum(1).log() * mask


def answers(
    logits: Tensor,
    values: Tensor,
    scale: Tensor,
    table: Tensor,
    average: Callable[[Tensor, Tensor], Tensor],
    temperature: float | None,
) -> Tensor:
    """(B, 3) the sum, average and count of cells that are chosen with the probabilities of logits (B, T).

    values: (B, T) numbers, NaN where there is none. scale: (B, T) the tokens of each token's cell.
    table: (B, T) 1 for tokens of cells. temperature: that of a sample instead of probabilities.
    """
    if temperature is None:
        chosen = logits.sigmoid()
    else:  # the logits are divided by it already
        chosen = RelaxedBernoulli(torch.tensor(temperature), logits=logits * temperature).sample()
    chosen = chosen / scale * table
    values = values.nan_to_num(0.0, torch.inf, -torch.inf)
    return torch.stack([(chosen * values).sum(1), average(chosen, values), chosen.sum(1)], dim=1)


def _ratio(chosen: Tensor, values: Tensor) -> Tensor:
    return (chosen * values).sum(1) / (chosen.sum(1) + _EPSILON)


def _first_order(chosen: Tensor, values: Tensor) -> Tensor:
    return (values * chosen / (chosen.sum(1, keepdim=True) - chosen + 1)).sum(1)


def _second_order(chosen: Tensor, values: Tensor) -> Tensor:
    others, variance = chosen.sum(1, keepdim=True) - chosen + 1, chosen * (1 - chosen)
    spread = variance.sum(1, keepdim=True) - variance
    return (values * chosen * (spread / others**2 + 1) / others).sum(1)


AVERAGES = {"ratio": _ratio, "first_order": _first_order, "second_order": _second_order}


def expected(results: Tensor, logits: Tensor, temperature: float, samples: bool) -> Tensor:
    """(B,) of results (B, 3), by the probabilities of their aggregations, from logits (B, A)."""
    if samples:
        chosen = RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits[:, 1:]).sample()
    else:
        chosen = (logits[:, 1:] / temperature).softmax(-1)
    return (results * chosen).sum(1)


def answer_loss(found: Tensor, answer: Tensor, mask: Tensor, delta: float | None) -> Tensor:
    """(B,) Huber losses where `mask` is 1. delta: where they become linear; None for losses relative to the larger."""
    answer = answer.nan_to_num(0.0)
    if delta is None:
        larger = (torch.maximum(found.abs(), answer.abs()) + _EPSILON).detach()
        found, answer, delta = found / larger, answer / larger, 1.0
    return F.huber_loss(found * mask, answer * mask, reduction="none", delta=delta)
