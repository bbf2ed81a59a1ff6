"""What turns a model's logits into scores of its labels."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from torch import Tensor


class ClassificationFunction(str, Enum):
    """What turns a model's logits into scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"


APPLY: dict[ClassificationFunction, Callable[[Tensor], Tensor]] = {
    ClassificationFunction.SIGMOID: torch.sigmoid,
    ClassificationFunction.SOFTMAX: lambda logits: logits.softmax(dim=-1),
    ClassificationFunction.NONE: lambda logits: logits,
}


def usual_function(config: Any) -> ClassificationFunction:
    """What a model's configuration means by its logits, where nobody says it."""
    if config.problem_type == "regression":  # a value has no bounds that a score should be within
        return ClassificationFunction.NONE
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return ClassificationFunction.SIGMOID
    return ClassificationFunction.SOFTMAX


def labelled(logits: Tensor, config: Any, function: ClassificationFunction | None = None) -> list[dict[str, Any]]:
    """The labels that logits (C,) are of, with their scores, the best first."""
    scores = APPLY[function or usual_function(config)](logits).tolist()
    labels = [{"label": config.id2label[i], "score": score} for i, score in enumerate(scores)]
    return sorted(labels, key=lambda label: label["score"], reverse=True)
