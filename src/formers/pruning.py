"""Changing the sizes of a model's weights: attention heads out, vocabulary rows in or out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .errors import InputError

_NARROW, _AT_ONCE = 1e-9, 64  # rows drawn in one step


def keep(layer: nn.Linear, index: Tensor, dim: int = 0) -> nn.Linear:
    """A Linear with only the outputs (dim 0) or inputs (dim 1) that `index` lists."""
    weight = layer.weight.detach().index_select(dim, index.to(layer.weight.device))
    new = nn.Linear(weight.shape[1], weight.shape[0], layer.bias is not None, device=weight.device, dtype=weight.dtype)
    new.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
    if layer.bias is not None:
        bias = layer.bias.detach()
        kept = bias.index_select(0, index.to(bias.device)) if dim == 0 else bias.clone()
        new.bias = nn.Parameter(kept, requires_grad=layer.bias.requires_grad)
    return new


def remaining(heads: Iterable[int], pruned: set[int], count: int, width: int) -> tuple[set[int], Tensor]:
    """What pruning `heads`, numbered as in the unpruned model, removes and leaves.

    pruned: heads that are gone already; count: heads that are there; width: of one head.
    Returns the heads that go now, and the columns (of those there now) that stay.
    """
    there = [h for h in range(count + len(pruned)) if h not in pruned]
    if wrong := [h for h in heads if not 0 <= h < count + len(pruned)]:
        raise InputError(f"head {wrong[0]} cannot be pruned: there are heads 0 to {count + len(pruned) - 1}.")
    going = set(heads) - pruned
    if len(going) == count:
        raise InputError("all heads of a layer cannot be pruned; leave at least one.")
    stay = [place * width + i for place, head in enumerate(there) if head not in going for i in range(width)]
    return going, torch.tensor(stay, device="cpu")  # real numbers, also for a model that has no memory yet


def resized(parameter: Tensor, old: int, new: int, std: float | None) -> Tensor:
    """`parameter` with `new` rows instead of `old`: those of weights drawn from N(0, std), of biases 0.

    With `std` None they are near the mean of the old rows, with their covariance times 10⁻⁹; biases are the mean.
    """
    rows = torch.zeros(new, *parameter.shape[1:], dtype=parameter.dtype, device=parameter.device)
    there = parameter.detach()
    if new > old:
        if std is None:
            rows[old:] = _near_mean(there.float(), new - old).to(rows.dtype)
        elif parameter.dim() > 1:
            rows[old:].normal_(std=std)
    rows[: min(old, new)] = there[:new]
    return rows


def _near_mean(rows: Tensor, count: int) -> Tensor:
    """`count` new rows from the normal distribution of `rows`, its covariance made _NARROW times as large.

    A sum of the centred rows with normal factors has their covariance, be it of full rank or not.
    """
    mean = rows.mean(0)
    if rows.dim() == 1:
        return mean.expand(count)
    centred, places = rows - mean, range(0, count, _AT_ONCE)
    drawn = [torch.randn(min(_AT_ONCE, count - i), len(rows), device=rows.device) @ centred for i in places]
    return mean + torch.cat(drawn) * (_NARROW / len(rows)) ** 0.5  # (count, V) · (V, D)
