"""Losses of pairs of texts with a label. Letters: B pairs, D width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ArgumentError, InputError
from ..search import PAIRWISE
from .base import Loss

Distance = Callable[[Tensor, Tensor], Tensor]


class SiameseDistanceMetric:
    """Distances of vectors (B, D) from those in their place: (B,)."""

    @staticmethod
    def EUCLIDEAN(x: Tensor, y: Tensor) -> Tensor:
        """The length of the difference, to each part of which 1e-6 is added."""
        return F.pairwise_distance(x, y)

    @staticmethod
    def MANHATTAN(x: Tensor, y: Tensor) -> Tensor:
        """The sum of the sizes of the differences, as above."""
        return F.pairwise_distance(x, y, p=1)

    @staticmethod
    def COSINE_DISTANCE(x: Tensor, y: Tensor) -> Tensor:
        """1 minus the cosine."""
        return 1 - F.cosine_similarity(x, y)


class CosineSimilarityLoss(Loss):
    """How far the cosine of a pair is from its label.

    Source: Reimers and Gurevych 2019 (arXiv 1908.10084).
    """

    def __init__(
        self, model: Any, loss_fct: nn.Module | None = None, cos_score_transformation: nn.Module | None = None
    ) -> None:
        """loss_fct: of cosines and labels, the mean squared error if left out; cos_score_transformation: of cosines."""
        super().__init__(model)
        self.loss_fct = nn.MSELoss() if loss_fct is None else loss_fct
        self.cos_score_transformation = nn.Identity() if cos_score_transformation is None else cos_score_transformation

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of two columns (B, D) and labels (B,)."""
        cosines = self.cos_score_transformation(torch.cosine_similarity(embeddings[0], embeddings[1]))
        value: Tensor = self.loss_fct(cosines, labels.float().view(-1))
        return value


class ContrastiveLoss(Loss):
    """Squared distances of pairs with label 1, and what those with label 0 lack of a margin, squared.

    Source: Hadsell, Chopra and LeCun 2006 (doi 10.1109/CVPR.2006.100).
    """

    def __init__(
        self,
        model: Any,
        distance_metric: Distance = SiameseDistanceMetric.COSINE_DISTANCE,
        margin: float = 0.5,
        size_average: bool = True,
    ) -> None:
        """size_average: whether the mean of the pairs is taken, not their sum."""
        super().__init__(model)
        self.distance_metric, self.margin, self.size_average = distance_metric, margin, size_average

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of two columns (B, D) and labels (B,), which may lie between 0 and 1."""
        same, distances = labels.float().view(-1), self.distance_metric(*embeddings)
        losses = (same * distances.square() + (1 - same) * F.relu(self.margin - distances).square()) / 2
        return losses.mean() if self.size_average else losses.sum()


class OnlineContrastiveLoss(Loss):
    """As ContrastiveLoss, of the hard pairs of a batch alone: the positive ones farther apart than the nearest negative
    one, and the negative ones nearer than the farthest positive one. Their sum.

    Source: Hadsell, Chopra and LeCun 2006 (doi 10.1109/CVPR.2006.100); the choice is that of sentence-transformers.
    """

    LABELS = "class"
    num_labels = 2

    def __init__(
        self, model: Any, distance_metric: Distance = SiameseDistanceMetric.COSINE_DISTANCE, margin: float = 0.5
    ) -> None:
        super().__init__(model)
        self.distance_metric, self.margin = distance_metric, margin

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of two columns (B, D) and labels (B,), 0 or 1."""
        distances, labels = self.distance_metric(*embeddings), labels.view(-1)
        apart, near = distances[labels == 0], distances[labels == 1]
        most = near.max() if len(near) else apart.mean()
        least = apart.min() if len(apart) else near.mean()
        return near[near > least].square().sum() + F.relu(self.margin - apart[apart < most]).square().sum()


class CoSENTLoss(Loss):
    """The log of 1 and the sum of exp(scale · (s_j − s_i)) over all pairs i whose label is above that of pair j.

    Source: Huang et al. 2024, "CoSENT" (doi 10.1109/TASLP.2024.3402087).
    """

    def __init__(self, model: Any, scale: float = 20.0, similarity_fct: Distance = PAIRWISE["cosine"]) -> None:
        """similarity_fct: (B, D) and (B, D) to (B,), larger is nearer."""
        super().__init__(model)
        self.scale, self.similarity_fct = scale, similarity_fct

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of two columns (B, D) and labels (B,)."""
        scores = self.similarity_fct(embeddings[0], embeddings[1]).float() * self.scale
        labels = labels.view(-1)
        above = labels[:, None] < labels[None]  # (B, B): whether the second of two should be the nearer
        gaps = (scores[:, None] - scores[None])[above]
        return torch.cat([scores.new_zeros(1), gaps]).logsumexp(0)


def angle_similarity(x: Tensor, y: Tensor) -> Tensor:
    """The halves of vectors as real and imaginary parts: |real + imaginary part| of the quotient's sum, (B,)."""
    if x.shape[1] % 2:
        x, y = F.pad(x, (0, 1)), F.pad(y, (0, 1))
    x, y = F.normalize(x), F.normalize(y)
    (a, b), (c, d) = x.chunk(2, dim=1), y.chunk(2, dim=1)
    return (a * c + b * d + b * c - a * d).sum(1).abs()


class AnglELoss(CoSENTLoss):
    """CoSENTLoss of the angles between complex vectors. Columns after the second are texts that the first is not near.

    Source: Li and Li 2023 (arXiv 2309.12871).
    """

    MOST = None

    def __init__(self, model: Any, scale: float = 20.0) -> None:
        super().__init__(model, scale, angle_similarity)

    def check(self, columns: int, labels: Tensor | None, shown: Callable[[int], str] | None = None) -> None:
        """As of any loss; with negatives there may be no labels."""
        super().check(columns, torch.ones(1) if labels is None and columns > 2 else labels, shown)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """A number, of two columns (B, D) or more and labels (B,)."""
        anchor, *others = embeddings
        labels = anchor.new_ones(len(anchor)) if labels is None else labels.view(-1)
        all_labels = torch.cat([labels] + [1 - labels] * (len(others) - 1))
        return super().compute_loss_from_embeddings([anchor.repeat(len(others), 1), torch.cat(others)], all_labels)


class SoftmaxLoss(Loss):
    """A classifier of pairs, of their vectors u and v, |u − v| and u · v, which is trained too, and thrown away.

    Source: Reimers and Gurevych 2019 (arXiv 1908.10084), after Conneau et al. 2017 (arXiv 1705.02364).
    """

    LABELS = "class"

    def __init__(
        self,
        model: Any,
        sentence_embedding_dimension: int | None = None,
        num_labels: int | None = None,
        concatenation_sent_rep: bool = True,
        concatenation_sent_difference: bool = True,
        concatenation_sent_multiplication: bool = False,
        loss_fct: nn.Module | None = None,
        *,
        embedding_dimension: int | None = None,
    ) -> None:
        """sentence_embedding_dimension: D, `embedding_dimension` in newer releases; concatenation_…: what is read."""
        super().__init__(model)
        width = sentence_embedding_dimension or embedding_dimension or model.get_embedding_dimension()
        if num_labels is None:
            raise ArgumentError("SoftmaxLoss needs num_labels: how many classes there are.")
        self.num_labels = num_labels
        self.parts = (concatenation_sent_rep, concatenation_sent_difference, concatenation_sent_multiplication)
        if not any(self.parts):
            raise ArgumentError("SoftmaxLoss reads nothing: set one of its concatenation_… to True.")
        times = 2 * self.parts[0] + self.parts[1] + self.parts[2]
        self.classifier = nn.Linear(times * width, num_labels, device=model.device)
        self.loss_fct = nn.CrossEntropyLoss() if loss_fct is None else loss_fct

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of two columns (B, D) and labels (B,)."""
        u, v = embeddings
        vectors, difference, product = self.parts
        read = [*([u, v] if vectors else []), *([(u - v).abs()] if difference else []), *([u * v] if product else [])]
        value: Tensor = self.loss_fct(self.classifier(torch.cat(read, dim=1)), labels.view(-1).long())
        return value


class MSELoss(Loss):
    """The mean squared difference from a teacher's vectors, which are the labels.

    Source: Reimers and Gurevych 2020 (arXiv 2004.09813).
    """

    FEWEST, MOST, LABELS = 1, None, "vector"

    def __init__(self, model: Any, projection_dim: int | None = None) -> None:
        """projection_dim: the width of the teacher's vectors, for a linear layer that is trained too, and not saved."""
        super().__init__(model)
        width = model.get_embedding_dimension() if projection_dim else 0
        self.projection = nn.Linear(width, projection_dim, device=model.device) if projection_dim else None

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of C columns (B, D) and labels (B, D), the same for all of them, or (B, C, D)."""
        if labels.ndim == 3 and labels.shape[1] != len(embeddings):
            raise InputError(f"The labels are of {labels.shape[1]} texts an example, which has {len(embeddings)}.")
        if labels.ndim not in (2, 3):
            raise InputError(f"MSELoss needs a vector as the label of each example; got {tuple(labels.shape)}.")
        wanted = labels.unbind(1) if labels.ndim == 3 else [labels] * len(embeddings)
        made = [vectors if self.projection is None else self.projection(vectors) for vectors in embeddings]
        if made[0].shape != wanted[0].shape:
            raise InputError(
                f"The teacher's vectors have {wanted[0].shape[-1]} numbers and the model's {made[0].shape[-1]}; "
                f"projection_dim={wanted[0].shape[-1]} brings these to that width."
            )
        pairs = zip(made, wanted, strict=True)
        return torch.stack([F.mse_loss(own, teacher.to(own.dtype)) for own, teacher in pairs]).mean()
