"""The best few of many scores. Letters: B rows, V vocabulary, k how many, w scores in a group, G groups."""

from __future__ import annotations

import torch
from torch import Tensor

CUT = 1024  # how many of the best are looked at first, where a few usually hold the mass


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of scores (B, V), largest first, and their columns: (B, k) and (B, k).

    On a CPU, rows are split into groups, and only the k groups with the largest maxima are searched: nothing among the
    k largest is elsewhere. Of equal scores any may be taken, as by `torch.topk`.
    """
    B, V = scores.shape
    w = int((V / max(k, 1)) ** 0.5)  # then groups and candidates are about as many
    if w < 4 or scores.device.type != "cpu":
        return torch.topk(scores, k)
    G = V // w
    maxima = scores[:, : w * G].unflatten(1, (w, G)).amax(1)  # (B, G): columns g, g + G, g + 2G, … are group g
    groups = maxima.topk(k, sorted=False).indices  # (B, k)
    columns = (groups[:, None] + torch.arange(w)[:, None] * G).flatten(1)  # (B, w·k)
    columns = torch.cat([columns, torch.arange(w * G, V).expand(B, -1)], 1)
    values, places = scores.gather(1, columns).topk(k)
    return values, columns.gather(1, places)


def ordered(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same, with all scores that equal the k-th: (B, K) each, K ≥ k. Of equal scores the last column is first.

    Rows that have fewer such scores than another end in scores of -inf.
    """
    V = scores.shape[1]
    values, columns = largest(scores, k)
    if k < V:
        last = values[:, k - 1 : k]
        equal = (scores >= last).sum(1).masked_fill(last[:, 0] == -torch.inf, k)
        if (most := int(equal.max())) > k:
            values, columns = torch.topk(scores, most)
        values = values.masked_fill(values < last, -torch.inf)
    columns, places = columns.sort(descending=True)
    values, places = values.gather(1, places).sort(descending=True, stable=True)
    return values, columns.gather(1, places)


def best(scores: Tensor, count: Tensor, threshold: Tensor) -> Tensor:
    """Where the `count` (B, 1) largest of each row are, bool (B, V), the least of them being `threshold` (B, 1).

    Of equal scores the last columns are taken, as by a stable sort.
    """
    found = scores >= threshold
    surplus = found.sum(1, keepdim=True) - count
    if bool((surplus > 0).any()):
        equal = scores == threshold
        found &= ~(equal & (equal.cumsum(1) <= surplus))
    return found
