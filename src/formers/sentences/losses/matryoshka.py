"""Losses of vectors that are good when they are cut short. Letters: B examples, D width.

Source: Kusupati et al. 2022 (arXiv 2205.13147).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ArgumentError
from ...logging import logger
from .base import Features, Loss, embed_columns
from .cached import Cached


class MatryoshkaLoss(Loss):
    """A loss of the vectors' first numbers alone, at length 1, for several widths: the weighted sum.

    Source: Kusupati et al. 2022 (arXiv 2205.13147).
    """

    def __init__(
        self,
        model: Any,
        loss: nn.Module,
        matryoshka_dims: Sequence[int],
        matryoshka_weights: Sequence[float] | None = None,
        n_dims_per_step: int = -1,
    ) -> None:
        """Args:
        model: a SentenceEncoder, the one of `loss`.
        loss: any of the losses here, or one of one's own that has compute_loss_from_embeddings(embeddings, labels).
        matryoshka_dims: the widths.
        matryoshka_weights: a factor for each; 1 if left out.
        n_dims_per_step: how many widths are drawn for each batch; -1 for all.
        """
        super().__init__(model)
        width = model.get_embedding_dimension()
        weights = [1.0] * len(matryoshka_dims) if matryoshka_weights is None else list(matryoshka_weights)
        if not matryoshka_dims or len(weights) != len(matryoshka_dims):
            raise ArgumentError(
                f"matryoshka_dims={list(matryoshka_dims)} needs a width or more, and a weight for each; got {weights}."
            )
        for dim in matryoshka_dims:
            if not 0 < dim <= width:
                raise ArgumentError(f"matryoshka_dims has {dim}; vectors of this model have 1 to {width} numbers.")
        if width not in matryoshka_dims:
            logger.warning(f"matryoshka_dims has no {width}, the width of the model: whole vectors are not trained.")
        if not hasattr(loss, "compute_loss_from_embeddings"):
            raise ArgumentError(
                f"{type(loss).__name__} has no compute_loss_from_embeddings(embeddings, labels), which MatryoshkaLoss "
                "calls with the vectors of each column, cut short."
            )
        self.loss, self.width, self.n_dims_per_step = loss, width, n_dims_per_step
        # the widest first
        pairs = sorted(zip(matryoshka_dims, weights, strict=True), key=lambda pair: -pair[0])
        self.matryoshka_dims = tuple(dim for dim, _ in pairs)
        self.matryoshka_weights = tuple(weight for _, weight in pairs)

    def check(self, columns: int, labels: Tensor | None, shown: Callable[[int], str] | None = None) -> None:
        """As of the loss that it is around."""
        if isinstance(self.loss, Loss):
            self.loss.check(columns, labels, shown)

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """As of the loss that it is around."""
        features = list(sentence_features)
        self.check(len(features), labels)
        if isinstance(self.loss, Cached):
            return self.loss.cached(features, labels, self.compute_loss_from_embeddings)
        return self.compute_loss_from_embeddings(embed_columns(self.model, features), labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Any) -> Tensor:
        """A number, of columns (B, D)."""
        chosen = range(len(self.matryoshka_dims))
        if 0 < self.n_dims_per_step < len(chosen):
            chosen = sorted(random.sample(chosen, self.n_dims_per_step))  # type: ignore[assignment]
        whole = embeddings[0].new_zeros(())
        for number in chosen:
            dim, wanted = self.matryoshka_dims[number], labels
            if isinstance(labels, Tensor) and labels.ndim in (2, 3) and labels.shape[-1] == self.width:
                wanted = labels[..., :dim]  # vectors of a teacher
            cut = [F.normalize(vectors[:, :dim], dim=1) for vectors in embeddings]
            whole = whole + self.matryoshka_weights[number] * self.loss.compute_loss_from_embeddings(cut, wanted)  # type: ignore[operator]
        return whole
