"""Search, paraphrases and communities, as sentence-transformers finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import goldens
import numpy as np
import pytest
import torch
from goldens import encoders

import formers
from formers.errors import ArgumentError, InputError
from formers.sentences import (
    community_detection,
    dot_score,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)

GOLDENS = json.loads((Path(goldens.__file__).parent / "encoders.json").read_text(encoding="utf-8"))["searched"]
VECTORS = encoders.vectors()


@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 2, "corpus_chunk_size": 7}])
@pytest.mark.parametrize(("name", "score"), [("search", {}), ("dots", {"score_function": dot_score})])
def test_semantic_search(name: str, score: dict[str, Any], sizes: dict[str, int]) -> None:
    found = semantic_search(VECTORS[:5], torch.from_numpy(VECTORS), top_k=4, **score, **sizes)
    for mine, other in zip(found, GOLDENS[name], strict=True):
        assert [row["corpus_id"] for row in mine] == [row["corpus_id"] for row in other]
        assert [row["score"] for row in mine] == pytest.approx([row["score"] for row in other], abs=1e-5)


def test_forms_of_searches() -> None:
    whole = semantic_search(VECTORS[:2], VECTORS, top_k=3)
    for found in (
        semantic_search(VECTORS[0], list(VECTORS), top_k=3),
        semantic_search([torch.from_numpy(row) for row in VECTORS[:2]], VECTORS, top_k=3),
    ):
        for mine, other in zip(found, whole, strict=False):
            assert [row["corpus_id"] for row in mine] == [row["corpus_id"] for row in other]
            assert [row["score"] for row in mine] == pytest.approx([row["score"] for row in other])
    assert [len(rows) for rows in semantic_search(VECTORS[:2], VECTORS[:3])] == [3, 3]
    assert semantic_search(VECTORS[:2], []) == [[], []]
    assert semantic_search(np.ones((1, 4), np.int8), np.eye(4, dtype=np.int8))[0][0]["score"] == pytest.approx(0.5)
    for options in ({"top_k": 0}, {"query_chunk_size": 0}, {"corpus_chunk_size": -1}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            semantic_search(VECTORS, VECTORS, **options)
    with pytest.raises(InputError, match=r"query_embeddings have the shape \(1, 1, 2\)"):
        semantic_search(np.ones((1, 1, 2)), VECTORS)


@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 3, "corpus_chunk_size": 11}])
def test_paraphrases(sizes: dict[str, int]) -> None:
    found = paraphrase_mining_embeddings(VECTORS, top_k=3, max_pairs=20, **sizes)
    assert [row[1:] for row in found] == [row[1:] for row in GOLDENS["pairs"]]
    assert [row[0] for row in found] == pytest.approx([row[0] for row in GOLDENS["pairs"]], abs=1e-5)
    assert paraphrase_mining_embeddings(VECTORS[:1]) == paraphrase_mining_embeddings([]) == []


def test_paraphrases_of_texts(tmp_path: Path) -> None:
    encoders.folder(tmp_path, formers, encoders.STEPS["dropout"])
    encoder = formers.SentenceEncoder.from_pretrained(tmp_path)
    texts = ["a good film", "where is Paris", "A GOOD FILM", "it"]
    best = paraphrase_mining(encoder, texts)[0]
    assert best[1:] == [0, 2] and best[0] == pytest.approx(1, abs=1e-5)
    assert paraphrase_mining(encoder, []) == []


@pytest.mark.parametrize("size", [1024, 7])
def test_communities(size: int) -> None:
    found = community_detection(VECTORS, threshold=0.8, min_community_size=3, batch_size=size)
    assert [group[0] for group in found] == [group[0] for group in GOLDENS["communities"]]
    assert [sorted(group) for group in found] == [sorted(group) for group in GOLDENS["communities"]]
    assert community_detection(VECTORS[:2], min_community_size=3) == community_detection([]) == []
    assert community_detection(torch.ones(3, 2), min_community_size=2) == [[0, 1, 2]]
