"""The losses of the tasks. Letters: B batch, N tokens, C labels.

`items`, in each: how many labels there are in all the batches whose gradients are added up, a number or a tensor of
one; the sum of the losses is divided by it. None: by the number of labels here, the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError, RangeError

Items = Tensor | int | None
IGNORED = -100
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


def tokens(logits: Tensor, labels: Tensor, items: Items = None, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of (N, C) logits against (N,) labels in [0, C), over the labels that are not -100.

    smoothing: the part of a label's weight that all C share. Source: Szegedy et al. 2016 (arXiv 1512.00567), section 7.
    """
    return _cross_entropy(logits, labels, "labels", items, smoothing)


def choice(logits: Tensor, labels: Tensor, name: str = "labels", items: Items = None) -> Tensor:
    """Mean cross entropy of (B, C) logits against labels in [0, C) of any shape with B elements."""
    if labels.numel() != logits.shape[0]:
        raise InputError(
            f"{name} has {labels.numel()} elements (shape {tuple(labels.shape)}) for {logits.shape[0]} rows; "
            "give one label a row."
        )
    return _cross_entropy(logits, labels.reshape(-1), name, items)


def span(start_logits: Tensor, end_logits: Tensor, starts: Tensor, ends: Tensor, items: Items = None) -> Tensor:
    """Mean of the cross entropies of the start and end columns, (B, T) logits; a position ≥ T is left out."""
    last = start_logits.shape[1]
    losses = []
    for logits, positions, name in ((start_logits, starts, "start_positions"), (end_logits, ends, "end_positions")):
        positions = positions.reshape(-1).clamp(0, last)
        losses.append(choice(logits, positions.masked_fill(positions == last, IGNORED), name, items))
    return (losses[0] + losses[1]) / 2


def replaced(logits: Tensor, labels: Tensor, mask: Tensor | None, items: Items = None) -> Tensor:
    """Mean binary cross entropy of (B, T) logits against labels 1 and 0, where `mask` (B, T) is 1."""
    if labels.shape != logits.shape:
        raise InputError(
            f"labels has shape {tuple(labels.shape)}; give one label a token, {tuple(logits.shape)}: "
            "1 where it was replaced, else 0."
        )
    if mask is not None:
        real = mask.view_as(logits) == 1
        logits, labels = logits[real], labels[real]
    return _divided(F.binary_cross_entropy_with_logits, logits, labels.to(logits.dtype), items)


def problem_type(num_labels: int, labels: Tensor) -> str:
    """The kind of classification that `labels` speak of when the configuration does not say."""
    if num_labels == 1:
        return "regression"
    return "multi_label_classification" if labels.is_floating_point() else "single_label_classification"


def classification(logits: Tensor, labels: Tensor, kind: str, items: Items = None) -> Tensor:
    """The loss of (B, C) logits: mean squares, cross entropy, or binary cross entropy per label.

    kind: one of PROBLEM_TYPES. labels: (B,) or (B, C) numbers for regression, (B,) label ids for a single label,
    (B, C) floats in [0, 1] for several.
    """
    if kind == "regression":
        targets = labels.to(logits.dtype)
        if targets.numel() != logits.numel():
            raise InputError(
                f"labels has shape {tuple(labels.shape)}, but regression with num_labels={logits.shape[-1]} "
                f"needs {tuple(logits.shape)} numbers."
            )
        return _divided(F.mse_loss, logits, targets.view_as(logits), items)
    if kind == "single_label_classification":
        if labels.is_floating_point():
            raise InputError(
                f"labels are {labels.dtype}, but problem_type='single_label_classification' needs integers; "
                "give label ids, or set config.problem_type to 'multi_label_classification' or 'regression'."
            )
        return choice(logits, labels, items=items)
    if kind == "multi_label_classification":
        if labels.shape != logits.shape or not labels.is_floating_point():
            raise InputError(
                f"labels has shape {tuple(labels.shape)} and dtype {labels.dtype}, but multi_label_classification "
                f"needs floats of shape {tuple(logits.shape)}: 1.0 for each label that holds."
            )
        return _divided(F.binary_cross_entropy_with_logits, logits, labels.to(logits.dtype), items)
    raise InputError(f"config.problem_type={kind!r} is unknown; it is one of {', '.join(PROBLEM_TYPES)}.")


def _divided(loss: Callable[..., Tensor], logits: Tensor, labels: Tensor, items: Items) -> Tensor:
    """The mean of the losses, or their sum divided by `items`."""
    if items is None:
        return loss(logits, labels)
    return loss(logits, labels, reduction="sum") / (items.to(logits.device) if isinstance(items, Tensor) else items)


def _cross_entropy(logits: Tensor, labels: Tensor, name: str, items: Items, smoothing: float = 0.0) -> Tensor:
    if labels.is_floating_point():
        raise InputError(f"{name} is {labels.dtype}; it should be label ids, integers.")
    loss = partial(F.cross_entropy, ignore_index=IGNORED, label_smoothing=smoothing)
    # a label out of range stops a GPU process for good, so there it is looked for beforehand
    if labels.device.type == "cpu":
        try:
            return _divided(loss, logits, labels.long(), items)
        except IndexError:
            pass
    _check_range(labels, logits.shape[-1], name)
    return _divided(loss, logits, labels.long(), items)


def _check_range(labels: Tensor, count: int, name: str) -> None:
    bad = ((labels < 0) | (labels >= count)) & (labels != IGNORED)
    if not torch.compiler.is_compiling() and bool(bad.any()):
        place = int(bad.flatten().nonzero()[0])
        error = RangeError(
            f"{name} holds {int(labels.flatten()[place])} (element {place}), but the model has {count} labels: "
            f"0 to {count - 1}, or {IGNORED} to leave an element out. Load it with num_labels= as many as you need."
        )
        error.labels = name, count
        raise error


def balance(logits: Sequence[Tensor], chosen: int, real: Tensor | None = None) -> Tensor:
    """How unevenly tokens choose `chosen` of E experts, from the routers' logits, (N, E) for each layer.

    real: (N,) 1 for tokens, 0 for padding; None where there is none. The least is `chosen`.
    Source: Fedus et al. 2021 (arXiv 2101.03961), equations 4 to 6.
    """
    shares = torch.cat([x.softmax(-1).float() for x in logits])  # (L · N, E)
    counted = shares.new_ones(len(shares)) if real is None else real.flatten().float().repeat(len(logits))
    experts = shares.topk(chosen, dim=-1).indices.flatten()
    load = shares.new_zeros(shares.shape[1]).scatter_add(0, experts, counted.repeat_interleave(chosen))
    mean = (shares * counted[:, None]).sum(0)
    return shares.shape[1] * (load * mean).sum() / counted.sum().square()


def pairs(logits: Tensor) -> Tensor:
    """How badly pictures find their texts, and texts their pictures: the mean of both cross entropies.

    logits: (B, B) of texts and pictures, of which those of one number belong together.
    Source: Radford et al. 2021 (arXiv 2103.00020), figure 3.
    """
    own = torch.arange(_square(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def pairs_apart(logits: Tensor) -> Tensor:
    """How badly each text and picture (B, B) is told to belong together, or not: summed over pictures, mean of texts.

    Source: Zhai et al. 2023 (arXiv 2303.15343), algorithm 1.
    """
    own = 2 * torch.eye(_square(logits), dtype=logits.dtype, device=logits.device) - 1
    return -F.logsigmoid(own * logits).sum(-1).mean()


def _square(logits: Tensor) -> int:
    texts, pictures = logits.shape
    if texts != pictures:
        raise InputError(f"return_loss=True with {texts} texts and {pictures} pictures: the loss is of pairs of both.")
    return texts
