"""Vectors, labels and scores that losses and evaluators of sentence-transformers were given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROWS, WIDTH = 6, 5
LABELS = {
    "score": torch.tensor([0.1, 0.9, 0.5, 0.5, 1.0, 0.0]),
    "binary": torch.tensor([1, 0, 0, 1, 1, 0]),
    "class": torch.tensor([0, 2, 1, 1, 0, 2]),
    "vector": torch.from_numpy(np.random.default_rng(5).normal(size=(ROWS, WIDTH)).astype(np.float32)),
    "vectors": torch.from_numpy(np.random.default_rng(6).normal(size=(ROWS, 2, WIDTH)).astype(np.float32)),
    "shares": torch.tensor([[0.5, 0.5, 0.0]] * ROWS),
    None: None,
}
_MNRL, _CACHED = "MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"
_ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
_HARD = [{"hardness_mode": f"{mode}_negatives", "hardness_strength": 3.0} for mode in ("in_batch", "hard", "all")]
# the class, its arguments, how many columns, which labels; values that are "Class.NAME" are attributes of the library
LOSSES: list[tuple[str, dict[str, Any], int, str | None]] = [
    ("CosineSimilarityLoss", {}, 2, "score"),
    *(
        (name, {"distance_metric": f"SiameseDistanceMetric.{metric}", "margin": 4.0}, 2, "binary")
        for name in ("ContrastiveLoss", "OnlineContrastiveLoss")
        for metric in ("EUCLIDEAN", "MANHATTAN", "COSINE_DISTANCE")
    ),
    ("ContrastiveLoss", {"size_average": False}, 2, "score"),
    *(
        ("TripletLoss", {"distance_metric": f"TripletDistanceMetric.{metric}", "triplet_margin": 0.7}, 3, None)
        for metric in ("EUCLIDEAN", "MANHATTAN", "COSINE")
    ),
    ("TripletLoss", {}, 3, None),
    ("CoSENTLoss", {"scale": 3.0}, 2, "score"),
    ("AnglELoss", {"scale": 3.0}, 2, "score"),
    ("AnglELoss", {"scale": 3.0}, 4, None),
    ("MSELoss", {}, 1, "vector"),
    ("MSELoss", {}, 2, "vectors"),
    *((name, {"scale": 3.0}, columns, None) for name in (_MNRL, _CACHED) for columns in (2, 4)),
    *((name, {"scale": 3.0, "directions": _ALL, **hard}, 3, None) for name in (_MNRL, _CACHED) for hard in _HARD),
    ("MultipleNegativesSymmetricRankingLoss", {"scale": 3.0}, 3, None),
    *(
        (f"Batch{kind}TripletLoss", {"distance_metric": f"BatchHardTripletLossDistanceFunction.{metric}", **margin}, 1, of)
        for kind, margin in (("All", {"margin": 0.3}), ("Hard", {"margin": 0.3}), ("SemiHard", {"margin": 0.3}),
                             ("HardSoftMargin", {}))
        for metric in ("euclidean_distance", "cosine_distance")
        for of in ("class",)
    ),
]  # fmt: skip


def vectors(count: int, rows: int = ROWS, width: int = WIDTH) -> list[Tensor]:
    """Columns of vectors."""
    draw = np.random.default_rng(7)
    made = [torch.from_numpy(draw.normal(size=(rows, width)).astype(np.float32)) for _ in range(count)]
    return [column.requires_grad_() for column in made]


def resolved(options: dict[str, Any], library: Any) -> dict[str, Any]:
    """The arguments of a loss with what is named looked up in the library."""

    def one(value: Any) -> Any:
        if not isinstance(value, str) or "." not in value:
            return value
        kind, name = value.split(".")
        return getattr(getattr(library, kind), name)

    return {key: one(value) for key, value in options.items()}


class NoEncoder(nn.Module):
    """What losses ask of an encoder before they are called."""

    device = torch.device("cpu")

    def get_embedding_dimension(self) -> int:
        return WIDTH

    def __getitem__(self, index: int) -> Any:
        return nn.Identity()
