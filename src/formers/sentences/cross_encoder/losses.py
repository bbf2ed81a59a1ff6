"""Losses that cross-encoders are trained with: `CrossEncoder.fit`. Each is called with columns of texts and labels.

Letters: B examples, C labels of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...errors import ArgumentError, InputError
from ..losses.base import Loss

Activation = Callable[[Tensor], Tensor]


class PairLoss(Loss):
    """A loss of the model's logits for pairs of texts.

    ONE: whether the model needs to have one label.
    """

    ONE: ClassVar[bool] = True

    def __init__(self, model: Any, activation_fn: Activation | None = None) -> None:
        """activation_fn: what is done to the logits before; nothing if left out."""
        super().__init__(model)
        if not hasattr(model, "logits"):
            raise ArgumentError(f"{type(self).__name__} needs a CrossEncoder; got a {type(model).__name__}.")
        if self.ONE and model.num_labels != 1:
            raise ArgumentError(
                f"{type(self).__name__} needs a model with one label, and this one has {model.num_labels}. Open it "
                "with num_labels=1."
            )
        self.activation_fn = nn.Identity() if activation_fn is None else activation_fn

    def forward(self, inputs: Sequence[Sequence[str]], labels: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The loss of columns of B texts and labels (B,) or (B, C)."""
        self.check(len(inputs), labels, lambda row: repr([column[row] for column in inputs])[:120])
        return self.of(self.activation_fn(self.model.logits(list(zip(*inputs, strict=True)))), labels)

    def of(self, scores: Tensor, labels: Any) -> Tensor:
        """The loss of scores (B, C)."""
        raise NotImplementedError


class BinaryCrossEntropyLoss(PairLoss):
    """The cross-entropy of whether a pair belongs together; labels from 0 to 1.

    Source: Nogueira and Cho 2019 (arXiv 1901.04085).
    """

    def __init__(
        self, model: Any, activation_fn: Activation | None = None, pos_weight: Tensor | None = None, **kwargs: Any
    ) -> None:
        """pos_weight: what pairs with label 1 count; kwargs: those of torch's BCEWithLogitsLoss."""
        super().__init__(model, activation_fn)
        self.loss_fct = nn.BCEWithLogitsLoss(pos_weight=pos_weight, **kwargs)

    def of(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores (B, 1), labels (B,)."""
        value: Tensor = self.loss_fct(scores.view(-1), labels.view(-1).float())
        return value


class CrossEntropyLoss(PairLoss):
    """The cross-entropy of a pair's class, or of a share of each class.

    Source: Reimers and Gurevych 2019 (arXiv 1908.10084), for natural language inference.
    """

    ONE = False

    def __init__(self, model: Any, activation_fn: Activation | None = None, **kwargs: Any) -> None:
        """kwargs: those of torch's CrossEntropyLoss."""
        super().__init__(model, activation_fn)
        self.loss_fct, self.num_labels = nn.CrossEntropyLoss(**kwargs), model.num_labels

    def check(self, columns: int, labels: Tensor | None, shown: Callable[[int], str] | None = None) -> None:
        """As of any loss; labels are classes, or (B, C) shares of each."""
        super().check(columns, None if labels is None else labels.reshape(len(labels), -1)[:, 0], shown)
        if labels is not None and labels.numel() == len(labels):
            self._check_classes(labels.reshape(-1), shown)

    def of(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores (B, C); labels (B,) or (B, C)."""
        value: Tensor = self.loss_fct(scores, labels if labels.shape == scores.shape else labels.view(-1).long())
        return value


class MSELoss(PairLoss):
    """The mean squared difference of the model's score from a teacher's.

    Source: Hofstätter et al. 2020 (arXiv 2010.02666).
    """

    def __init__(self, model: Any, activation_fn: Activation | None = None, **kwargs: Any) -> None:
        """kwargs: those of torch's MSELoss."""
        super().__init__(model, activation_fn)
        self.loss_fct = nn.MSELoss(**kwargs)

    def of(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores (B, 1), labels (B,)."""
        value: Tensor = self.loss_fct(scores.view(-1), labels.view(-1).float())
        return value


class MultipleNegativesRankingLoss(PairLoss):
    """The cross-entropy of finding a query's own answer among some of the other texts of the batch.

    Columns: queries, answers, and any number of texts that are none. All pairs are scored in one pass.
    Source: Henderson et al. 2017 (arXiv 1705.00652).
    """

    MOST, LABELS = None, None

    def __init__(
        self,
        model: Any,
        num_negatives: int | None = 4,
        scale: float = 10.0,
        activation_fn: Activation | None = torch.sigmoid,
    ) -> None:
        """num_negatives: how many texts of other examples are drawn for each query, None for all; scale: of scores."""
        super().__init__(model, activation_fn)
        self.num_negatives, self.scale = num_negatives, scale

    def forward(self, inputs: Sequence[Sequence[str]], labels: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The loss of columns of B texts."""
        self.check(len(inputs), labels)
        queries, size = inputs[0], len(inputs[0])
        drawn = self._drawn(size, len(inputs) - 1)  # (B, negatives)
        texts = [text for column in inputs[1:] for text in column]
        columns = [inputs[1], *([texts[i] for i in column] for column in drawn.T.tolist()), *inputs[2:]]
        pairs = [(query, text) for column in columns for query, text in zip(queries, column, strict=True)]
        scores = self.activation_fn(self.model.logits(pairs)[:, 0].view(len(columns), size).T) * (self.scale or 1)
        right = torch.zeros(size, dtype=torch.long, device=scores.device)
        return nn.functional.cross_entropy(scores, right)

    def _drawn(self, size: int, columns: int) -> Tensor:
        """(B, negatives) places of texts of other examples, in the columns one after the other."""
        others = ~torch.eye(size, dtype=torch.bool).repeat(1, columns)
        if self.num_negatives is not None and self.num_negatives < (size - 1) * columns:
            return torch.multinomial(others.float(), self.num_negatives)
        return torch.arange(size * columns).expand(size, -1)[others].view(size, -1)


class FunctionLoss(PairLoss):
    """A loss of torch's, called with logits, (B,) of a model with one label, else (B, C), and labels."""

    ONE = False

    def __init__(self, model: Any, loss_fct: Callable[..., Tensor], activation_fn: Activation | None = None) -> None:
        super().__init__(model, activation_fn)
        self.loss_fct = loss_fct

    def of(self, scores: Tensor, labels: Tensor) -> Tensor:
        """A number."""
        one = self.model.num_labels == 1
        value = self.loss_fct(scores.view(-1) if one else scores, labels.float() if one else labels.long())
        if not isinstance(value, Tensor):
            raise InputError(f"The loss gave a {type(value).__name__}; a tensor is needed.")
        return value
