"""Vectors, labels and scores that losses and evaluators of sentence-transformers were given."""

from __future__ import annotations

import zlib
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
        (f"Batch{kind}TripletLoss", {"distance_metric": f"BatchHardTripletLossDistanceFunction.{metric}", **margin}, 1,
         "class")
        for kind in ("All", "Hard", "SemiHard", "HardSoftMargin")
        for margin in ([{}] if kind == "HardSoftMargin" else [{"margin": 0.3}])
        for metric in ("euclidean_distance", "cosine_distance")
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


class FixedEncoder:
    """Vectors of few different numbers, so that some texts are equally near; evaluators call it."""

    similarity_fn_name = "cosine"

    def __init__(self) -> None:
        self.model_card_data = self  # what evaluators of sentence-transformers write to

    def set_evaluation_metrics(self, *args: Any) -> None:
        """Nothing."""

    def encode(self, sentences: list[str], convert_to_tensor: bool = False, **_: Any) -> Any:
        made = np.stack([np.random.default_rng(zlib.crc32(text.encode())).integers(-2, 3, 6) for text in sentences])
        made = made.astype(np.float32)
        made[:, 0] += 0.5
        return torch.from_numpy(made) if convert_to_tensor else made

    encode_query = encode_document = encode

    def similarity(self, a: Any, b: Any) -> Tensor:
        return torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T


class FixedRanker(FixedEncoder):
    """Scores of pairs, of which some are equal; of one label or of several."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels

    def predict(self, pairs: Any, **_: Any) -> Any:
        draws = [np.random.default_rng(zlib.crc32("|".join(pair).encode())) for pair in pairs]
        if self.num_labels > 1:
            return np.stack([draw.normal(size=self.num_labels) for draw in draws]).astype(np.float32)
        return np.array([draw.integers(0, 9) / 8 for draw in draws], np.float32)


_A, _B, _C = ([f"{letter}{i % 13}" for i in range(40)] for letter in "abc")
_PAIRS = [(a, b) for a, b in zip(_A, [f"{text}{i}" for i, text in enumerate(_B)], strict=True)]
_EVERY = ["cosine", "dot", "euclidean", "manhattan"]
_RANKED = [
    {"query": f"q{i}", "positive": [f"d{i}", f"d{i + 1}"], kind: [f"d{i + k}" for k in range(1 + more, 8)]}
    for i in range(9)
    for kind, more in ((("negative", 1), ("documents", 0))[i % 2],)
]
# the class, its arguments, and how many labels the model has; None for an encoder
EVALUATORS: list[tuple[str, list[Any], dict[str, Any], int | None]] = [
    ("EmbeddingSimilarityEvaluator", [_A, _B, [i % 7 for i in range(40)]], {"similarity_fn_names": _EVERY}, None),
    (
        "EmbeddingSimilarityEvaluator",
        [_A, _B, [i % 7 for i in range(40)]],
        {"main_similarity": "dot", "name": "d"},
        None,
    ),
    ("TripletEvaluator", [_A, _B, _C], {"similarity_fn_names": _EVERY, "margin": 0.1}, None),
    ("TripletEvaluator", [_A, _B, _C], {"name": "dev"}, None),
    ("BinaryClassificationEvaluator", [_A, _B, [i % 2 for i in range(40)]], {"similarity_fn_names": _EVERY}, None),
    ("BinaryClassificationEvaluator", [_A, _B, [i % 3 // 2 for i in range(40)]], {"name": "dev"}, None),
    (
        "InformationRetrievalEvaluator",
        [
            {f"q{i}": f"query {i}" for i in range(8)},
            {f"d{i}": f"document {i % 50}" for i in range(60)},
            {f"q{i}": [f"d{i * 7}", f"d{i + 30}"] for i in range(7)},
        ],
        {"corpus_chunk_size": 17, "map_at_k": [3, 100], "ndcg_at_k": [1, 10]},
        None,
    ),
    ("CrossEncoderCorrelationEvaluator", [_PAIRS, [i % 5 for i in range(40)]], {"name": "dev"}, 1),
    ("CrossEncoderClassificationEvaluator", [_PAIRS, [i % 2 for i in range(40)]], {}, 1),
    ("CrossEncoderClassificationEvaluator", [_PAIRS, [i % 3 for i in range(40)]], {"name": "dev"}, 3),
    *(("CrossEncoderRerankingEvaluator", [_RANKED[kind::2]], {"at_k": 3}, 1) for kind in (0, 1)),
    ("CrossEncoderRerankingEvaluator", [_RANKED[1::2]], {"always_rerank_positives": False}, 1),
]
