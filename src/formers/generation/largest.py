"""The best of many scores, without sorting them all.

Letters: B rows, V vocabulary, k how many, w scores in a group, G groups, K at most so many of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST = 1024  # how many are looked at first, where a few usually have the mass
_BINS, _SPAN = 4096, 30.0  # bins of probability, and how far below the best the last one begins, in logits


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


def nucleus(scores: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """How many of each row's best bring their probabilities to `top_p`, and the score of the last: (B, 1) each."""
    shares = scores.softmax(1, dtype=torch.float32)
    total = shares.sum(1, keepdim=True, dtype=torch.float64)
    values, columns = largest(scores, min(_FIRST, scores.shape[1]))
    parts = shares.gather(1, columns).double()
    # one is kept while it and all that are worse have more than what may be cut off
    count = (total - parts.cumsum(1) + parts > 1 - top_p).sum(1, keepdim=True).clamp(min=1)
    last = values.gather(1, count - 1)
    if scores.shape[1] > _FIRST and bool((short := count[:, 0] == _FIRST).any()):
        count[short], last[short] = _in_bins(scores[short], shares[short], total[short], 1 - top_p)
    return count, last


def _in_bins(scores: Tensor, shares: Tensor, total: Tensor, rest: float) -> tuple[Tensor, Tensor]:
    """The same where many are kept: scores are counted in bins, and only those of the last bin are sorted."""
    B = len(scores)
    bins = ((scores.amax(1, keepdim=True) - scores) * (_BINS / _SPAN)).nan_to_num(0.0).clamp(max=_BINS - 1).long()
    places = (bins + torch.arange(B, device=bins.device)[:, None] * _BINS).flatten()
    counts = torch.bincount(places, minlength=B * _BINS).view(B, _BINS)
    masses = torch.bincount(places, shares.double().flatten(), B * _BINS).view(B, _BINS)
    left = total - masses.cumsum(1) + masses  # (B, bins): of a bin and those after it
    edge = ((left > rest).sum(1, keepdim=True) - 1).clamp(min=0)
    edge = edge.minimum(bins.amax(1, keepdim=True))  # (B, 1): a bin that has scores
    values, columns = largest(scores.masked_fill(bins != edge, -torch.inf), int(counts.gather(1, edge).max()))  # (B, K)
    here = values > -torch.inf
    parts = shares.gather(1, columns).double() * here
    kept = here & (left.gather(1, edge) - parts.cumsum(1) + parts > rest)
    inside = kept.sum(1, keepdim=True).clamp(min=1)
    return (counts.cumsum(1) - counts).gather(1, edge) + inside, values.gather(1, inside - 1)
