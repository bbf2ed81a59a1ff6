"""One vector a text from those of its tokens. Letters: B texts, T columns, D width.

Source: Reimers and Gurevych 2019 (arXiv 1908.10084); Muennighoff 2022 (arXiv 2202.08904) for weights by position.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError, near

# in the order in which vectors of several kinds stand side by side
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken")


def pooled(hidden: Tensor, mask: Tensor | None, kind: str) -> Tensor:
    """(B, T, D) and 1 at the tokens that count (B, T), or None where all do, to (B, D).

    The kinds: the first of these tokens ("cls") or the last; the largest value of each column; their mean; their sum
    over the square root of their number; their mean with weights 1, 2, … by column.
    Raises ConfigError for a kind that is none of POOLINGS.
    """
    if kind not in POOLINGS:
        raise ConfigError(
            f"The pooling {kind!r} is not known.{near(kind, POOLINGS)} It is one of {', '.join(POOLINGS)}."
        )
    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2])
    real, rows = mask[..., None].to(hidden.dtype), torch.arange(len(hidden), device=hidden.device)
    if kind == "cls":
        return hidden[rows, real[..., 0].argmax(1)]
    if kind == "lasttoken":
        last = hidden.shape[1] - 1 - real[..., 0].flip(1).argmax(1)
        return hidden[rows, last] * real[rows, last]
    if kind == "max":
        return hidden.masked_fill(real == 0, -1e9).amax(1)
    if kind == "weightedmean":
        real = real * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)[:, None]
    count = real.sum(1).clamp(min=1e-9)
    return (hidden * real).sum(1) / (count.sqrt() if kind == "mean_sqrt_len" else count)
