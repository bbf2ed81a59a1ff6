"""Losses of triplets: an anchor, what it is near to, and what it is not. Letters: B texts or triplets, D width.

Source: Hermans, Beyer and Leibe 2017 (arXiv 1703.07737); Schroff et al. 2015 (arXiv 1503.03832) for the semi-hard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..search import PAIRWISE, cos_sim
from .base import Loss

Distance = Callable[[Tensor, Tensor], Tensor]
Distances = Callable[[Tensor], Tensor]


class TripletDistanceMetric:
    """Distances of vectors (B, D) from those in their place: (B,)."""

    @staticmethod
    def COSINE(x: Tensor, y: Tensor) -> Tensor:
        """1 minus the cosine."""
        return 1 - PAIRWISE["cosine"](x, y)

    @staticmethod
    def EUCLIDEAN(x: Tensor, y: Tensor) -> Tensor:
        """The length of the difference."""
        return -PAIRWISE["euclidean"](x, y)

    @staticmethod
    def MANHATTAN(x: Tensor, y: Tensor) -> Tensor:
        """The sum of the sizes of the differences."""
        return -PAIRWISE["manhattan"](x, y)


class TripletLoss(Loss):
    """What the third text lacks of being farther from the first, by a margin, than the second.

    Source: Hermans, Beyer and Leibe 2017 (arXiv 1703.07737).
    """

    FEWEST, MOST, LABELS = 3, 3, None

    def __init__(
        self, model: Any, distance_metric: Distance = TripletDistanceMetric.EUCLIDEAN, triplet_margin: float = 5
    ) -> None:
        super().__init__(model)
        self.distance_metric, self.triplet_margin = distance_metric, triplet_margin

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """A number, of three columns (B, D)."""
        anchor, positive, negative = embeddings
        lacking = self.distance_metric(anchor, positive) - self.distance_metric(anchor, negative)
        return F.relu(lacking + self.triplet_margin).mean()


class BatchHardTripletLossDistanceFunction:
    """Distances of vectors (B, D) from each other: (B, B)."""

    @staticmethod
    def cosine_distance(embeddings: Tensor) -> Tensor:
        """1 minus the cosine."""
        return 1 - cos_sim(embeddings, embeddings)

    @staticmethod
    def euclidean_distance(embeddings: Tensor, squared: bool = False) -> Tensor:
        """The length of the difference; its gradient at 0 is 0."""
        products = embeddings.float() @ embeddings.float().T
        lengths = products.diag()
        distances = (lengths[None] - 2 * products + lengths[:, None]).clamp(min=0)
        if squared:
            return distances
        zero = distances == 0
        return distances.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)

    eucledian_distance = euclidean_distance


class _OfBatch(Loss):
    """A loss of texts with classes: each is an anchor, those of its class are near to it, and all others are not."""

    FEWEST, MOST, LABELS = 1, 1, "class"

    def __init__(
        self,
        model: Any,
        distance_metric: Distances = BatchHardTripletLossDistanceFunction.euclidean_distance,
        margin: float = 5,
    ) -> None:
        super().__init__(model)
        self.distance_metric, self.triplet_margin = distance_metric, margin

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A number, of one column (B, D) and labels (B,)."""
        labels = labels.view(-1)
        same = labels[:, None] == labels[None]
        own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        return self.of(self.distance_metric(embeddings[0]), same & ~own, ~same)

    def of(self, distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """The loss, of distances (B, B) and of which are of one class and of two."""
        raise NotImplementedError


class BatchAllTripletLoss(_OfBatch):
    """The mean of all triplets of a batch that are not yet as far apart as the margin.

    Source: Hermans, Beyer and Leibe 2017 (arXiv 1703.07737).
    """

    def of(self, distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """A number; 0 where no triplet is left."""
        anchors, positives = near.nonzero(as_tuple=True)
        losses = F.relu(distances[anchors, positives][:, None] - distances[anchors] + self.triplet_margin)
        losses = losses * far[anchors]  # (pairs of one class, B)
        return losses.sum() / (losses > 1e-16).sum().clamp(min=1)


class BatchHardTripletLoss(_OfBatch):
    """For each text, its farthest of the same class and its nearest of another.

    Source: Hermans, Beyer and Leibe 2017 (arXiv 1703.07737).
    """

    def of(self, distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """A number."""
        return F.relu(_hardest(distances, near, far) + self.triplet_margin).mean()


class BatchHardSoftMarginTripletLoss(_OfBatch):
    """As BatchHardTripletLoss, with a softplus in place of the margin.

    Source: Hermans, Beyer and Leibe 2017 (arXiv 1703.07737).
    """

    def __init__(
        self, model: Any, distance_metric: Distances = BatchHardTripletLossDistanceFunction.euclidean_distance
    ) -> None:
        super().__init__(model, distance_metric)

    def of(self, distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """A number."""
        return F.softplus(_hardest(distances, near, far)).mean()


class BatchSemiHardTripletLoss(_OfBatch):
    """For each pair of one class, the nearest text of another that is farther than it; else the farthest of another.

    Source: Schroff, Kalenichenko and Philbin 2015 (arXiv 1503.03832).
    """

    def of(self, distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """A number; 0 where no two texts are of one class."""
        anchors, positives = near.nonzero(as_tuple=True)
        to_positive, to_all = distances[anchors, positives][:, None], distances[anchors]
        outside = to_all.masked_fill(~far[anchors] | (to_all <= to_positive), torch.inf).amin(1)
        inside = to_all.masked_fill(~far[anchors], -torch.inf).amax(1)
        least = distances.amin(1)[anchors]  # what counts for a text that has none of another class
        inside = torch.where(inside.isfinite(), inside, least)
        negative = torch.where(outside.isfinite(), outside, inside)
        losses = F.relu(to_positive[:, 0] - negative + self.triplet_margin)
        return losses.sum() / max(1, len(losses))


def _hardest(distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """(B,) the distance of the farthest of the same class, minus that of the nearest of another."""
    farthest = (distances * near).amax(1)
    # where all are of one class, the farthest of them counts twice over, as in sentence-transformers
    beyond = distances.amax(1, keepdim=True) * ~far
    return farthest - (distances + beyond).amin(1)
