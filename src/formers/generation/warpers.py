"""What is left to draw from: scores of tokens that are not are set to `filter_value`. Calls: see processors.py.

Letters: B rows, V vocabulary. `min_tokens_to_keep`: of each row's best, that many stay whatever the rule says.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .largest import best, largest, nucleus
from .processors import LogitsProcessor, positive, whole

_FIRST = 1024  # how many are looked at before all are


class LogitsWarper(LogitsProcessor):
    """Base of the processors that only drawing needs."""


class _Filter(LogitsWarper):
    """What warpers share that take some tokens out."""

    def __init__(self, filter_value: float, min_tokens_to_keep: int) -> None:
        self.filter_value = filter_value
        self.min_tokens_to_keep = whole("min_tokens_to_keep", min_tokens_to_keep, 1)

    def _with_best(self, scores: Tensor, kept: Tensor) -> Tensor:
        """`kept` (B, V), and each row's best that have to stay."""
        return kept | (scores >= largest(scores, min(self.min_tokens_to_keep, scores.shape[1]))[0][:, -1:])


def _share(name: str, value: Any, rule: str, fits: bool) -> float:
    if not fits:
        raise InputError(f"{name}={value!r}: give a number {rule}.")
    return float(value)


class TemperatureLogitsWarper(LogitsWarper):
    """Scores divided by `temperature`: below 1 the best gain, above it the others do."""

    def __init__(self, temperature: float) -> None:
        if temperature == 0:
            raise InputError("temperature=0: scores cannot be divided by 0. For the best token, set do_sample=False.")
        self.temperature = positive("temperature", temperature)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores / self.temperature


class TopKLogitsWarper(_Filter):
    """The `top_k` best, and what equals the last of them."""

    def __init__(self, top_k: int, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.top_k = max(whole("top_k", top_k, 1), min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        last = largest(scores, min(self.top_k, scores.shape[1]))[0][:, -1:]
        return scores.masked_fill(scores < last, self.filter_value)


class TopPLogitsWarper(_Filter):
    """The fewest that have `top_p` of the probability together. Source: Holtzman et al. 2019 (arXiv 1904.09751)."""

    def __init__(self, top_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.top_p = _share("top_p", top_p, "above 0, at most 1", 0 <= float(top_p) <= 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.masked_fill(~self.kept(scores), self.filter_value)

    def kept(self, scores: Tensor) -> Tensor:
        """Which of scores (B, V) stay, bool (B, V)."""
        if self.top_p == 1:
            return scores.softmax(1) > 0
        count, last = nucleus(scores, self.top_p)
        if (least := min(self.min_tokens_to_keep, scores.shape[1])) > 1:
            count, last = count.clamp(min=least), last.minimum(largest(scores, least)[0][:, -1:])
        return best(scores, count, last)


class TopHLogitsWarper(LogitsWarper):
    """Of the 100 best, as many of the first as have `top_h` of the entropy.

    Source: Potraghloo et al. 2025 (arXiv 2509.02510).
    """

    def __init__(self, top_h: float, filter_value: float = -math.inf) -> None:
        self.top_h = _share("top_h", top_h, "above 0, at most 1", 0 < top_h <= 1)
        self.top_n, self.filter_value = 100, filter_value

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        values, columns = largest(scores, min(self.top_n, scores.shape[1]))
        logs = values - values.logsumexp(1, keepdim=True)
        shares = logs.softmax(1)
        kept = (-shares * shares.log()).cumsum(1) <= _entropy(
            logs
        ) * self.top_h  # NaN, not kept, from the first share of 0 on
        kept[:, 0] = True
        out = torch.full_like(scores, self.filter_value)
        return out.scatter(1, columns, values.masked_fill(~kept, self.filter_value))


def _entropy(logs: Tensor) -> Tensor:
    """The entropy of each row (B, 1) of log probabilities (B, V), some of which may be -inf."""
    return -(logs.softmax(1) * logs.clamp(min=torch.finfo(logs.dtype).min)).sum(1, keepdim=True)


class MinPLogitsWarper(_Filter):
    """What has at least `min_p` of the probability of the best. Source: Nguyen et al. 2024 (arXiv 2407.01082)."""

    def __init__(self, min_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.min_p = _share("min_p", min_p, "from 0 to 1", 0 <= min_p <= 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if not self.min_p:
            return scores
        kept = scores >= scores.amax(1, keepdim=True) + math.log(self.min_p)
        if self.min_tokens_to_keep > 1:
            columns = largest(scores, min(self.min_tokens_to_keep, scores.shape[1]))[1]
            kept = kept.scatter(1, columns, True)
        return scores.masked_fill(~kept, self.filter_value)


class TypicalLogitsWarper(_Filter):
    """What is as surprising as the average, `mass` of the probability together.

    Source: Meister et al. 2022 (arXiv 2202.00666).
    """

    def __init__(self, mass: float = 0.9, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.mass = _share("typical_p", mass, "above 0 and below 1", 0 < float(mass) < 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logs = scores.log_softmax(1)
        shares = logs.exp()
        distance = (logs + (-shares * logs).nansum(1, keepdim=True)).abs()  # (B, V), of each to the average surprise
        for size in (min(_FIRST, scores.shape[1]), scores.shape[1]):
            near, columns = largest(-distance, size)
            count = (shares.gather(1, columns).cumsum(1) < self.mass).sum(1, keepdim=True)
            if size == scores.shape[1] or bool((count < size).all()):
                break
        count = count.clamp(min(self.min_tokens_to_keep, size) - 1, size - 1)
        return scores.masked_fill(distance > -near.gather(1, count), self.filter_value)


class EpsilonLogitsWarper(_Filter):
    """What has a probability of at least `epsilon`. Source: Hewitt et al. 2022 (arXiv 2210.15191)."""

    def __init__(self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.epsilon = _share("epsilon_cutoff", epsilon, "above 0 and below 1", 0 < float(epsilon) < 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        kept = scores >= scores.logsumexp(1, keepdim=True) + math.log(self.epsilon)
        return scores.masked_fill(~self._with_best(scores, kept), self.filter_value)


class EtaLogitsWarper(_Filter):
    """The same with an `epsilon` that is smaller where the entropy is large: √epsilon·exp(-entropy)."""

    def __init__(
        self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1, device: Any = "cpu"
    ) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.epsilon = _share("eta_cutoff", epsilon, "above 0 and below 1", 0 < float(epsilon) < 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logs = scores.log_softmax(1)
        least = (0.5 * math.log(self.epsilon) - _entropy(logs)).clamp(max=math.log(self.epsilon))
        return scores.masked_fill(~self._with_best(scores, logs >= least), self.filter_value)


def top_k_top_p_filtering(
    logits: Tensor, top_k: int = 0, top_p: float = 1.0, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
) -> Tensor:
    """Logits (B, V) with `filter_value` in the place of all but the best: by their number, then by the sum of their
    probabilities. 0 and 1.0 cut nothing. A name of 4.20."""
    if top_k > 0:
        logits = TopKLogitsWarper(top_k, filter_value, min_tokens_to_keep)(logits, logits)
    if top_p < 1.0:
        logits = TopPLogitsWarper(top_p, filter_value, min_tokens_to_keep)(logits, logits)
    return logits
