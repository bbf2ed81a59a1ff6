"""What is near what: search in vectors, pairs that mean the same, groups of neighbours.

Letters: N queries, M vectors that are searched, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ArgumentError, InputError

Score = Callable[[Tensor, Tensor], Tensor]


def as_vectors(value: Any, name: str = "embeddings") -> Tensor:
    """(N, D) of a tensor, an array, or a list of these; of one vector (1, D). Whole numbers become floats."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
        made = torch.stack(list(value))
    else:
        made = torch.as_tensor(np.asarray(value) if isinstance(value, list | tuple) else value)
    made = made if made.is_floating_point() else made.float()
    if not made.numel():
        return made.reshape(0, made.shape[-1] if made.ndim > 1 else 0)
    if made.ndim == 1:
        made = made[None]
    if made.ndim != 2:
        raise InputError(f"{name} have the shape {tuple(made.shape)}; vectors, (N, D), are needed.")
    return made


def cos_sim(a: Any, b: Any) -> Tensor:
    """The cosine of each of `a` (N, D) with each of `b` (M, D): (N, M)."""
    return F.normalize(as_vectors(a), dim=1) @ F.normalize(as_vectors(b), dim=1).T


def dot_score(a: Any, b: Any) -> Tensor:
    """The dot product of each of `a` (N, D) with each of `b` (M, D): (N, M)."""
    return as_vectors(a) @ as_vectors(b).T


def euclidean_sim(a: Any, b: Any) -> Tensor:
    """The distance of each of `a` (N, D) from each of `b` (M, D), with a minus: (N, M)."""
    return -torch.cdist(as_vectors(a), as_vectors(b))


def manhattan_sim(a: Any, b: Any) -> Tensor:
    """The sum of differences of each of `a` (N, D) from each of `b` (M, D), with a minus: (N, M)."""
    return -torch.cdist(as_vectors(a), as_vectors(b), p=1)


SIMILARITIES: dict[str, Score] = {
    "cosine": cos_sim,
    "dot": dot_score,
    "euclidean": euclidean_sim,
    "manhattan": manhattan_sim,
}
# the same of two vectors in one place: (N, D) and (N, D) to (N,)
PAIRWISE: dict[str, Score] = {
    "cosine": lambda a, b: (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1),
    "dot": lambda a, b: (a * b).sum(1),
    "euclidean": lambda a, b: -(a - b).norm(dim=1),
    "manhattan": lambda a, b: -(a - b).abs().sum(1),
}


class SimilarityFunction(str, Enum):
    """The names of similarities, where people write them so."""

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"  # noqa: PIE796 - both are written
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: Score = cos_sim,
) -> list[list[dict[str, Any]]]:
    """The nearest of `corpus_embeddings` (M, D) to each of `query_embeddings` (N, D).

    Args:
        query_embeddings, corpus_embeddings: tensors, arrays, or lists of vectors; the former are moved to the latter.
        query_chunk_size, corpus_chunk_size: how many are compared at a time.
        top_k: how many.
        score_function: (N, D) and (M, D) to (N, M), larger is nearer.

    Returns for each query [{"corpus_id": the place in `corpus_embeddings`, "score": float}, …], the nearest first.
    """
    _check(query_chunk_size=query_chunk_size, corpus_chunk_size=corpus_chunk_size, top_k=top_k)
    corpus = as_vectors(corpus_embeddings, "corpus_embeddings")
    queries = as_vectors(query_embeddings, "query_embeddings").to(corpus.device, corpus.dtype)
    found = []
    for chunk in queries.split(query_chunk_size):
        scores, places = _nearest(chunk, corpus, corpus_chunk_size, top_k, score_function)
        for row, ids in zip(scores.tolist(), places.tolist(), strict=True):
            found.append([{"corpus_id": place, "score": score} for place, score in zip(ids, row, strict=True)])
    return found


def paraphrase_mining(
    model: Any,
    sentences: list[str],
    show_progress_bar: bool = False,
    batch_size: int | None = None,
    query_chunk_size: int = 5_000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """The pairs of texts that mean much the same; see paraphrase_mining_embeddings.

    Args:
        model: a SentenceEncoder.
        sentences: the texts.
        show_progress_bar, batch_size, truncate_dim, prompt_name, prompt: see its `encode`.
    """
    embeddings = model.encode(
        sentences,
        show_progress_bar=show_progress_bar,
        batch_size=batch_size,
        convert_to_tensor=True,
        truncate_dim=truncate_dim,
        prompt_name=prompt_name,
        prompt=prompt,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Any,
    query_chunk_size: int = 5_000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
) -> list[list[float | int]]:
    """The pairs of vectors (N, D) that are nearest.

    Args:
        query_chunk_size, corpus_chunk_size: how many are compared at a time.
        max_pairs: how many pairs.
        top_k: how many neighbours of each vector are looked at.
        score_function: see semantic_search.

    Returns [[score, i, j], …] with i < j, the nearest first.
    """
    _check(query_chunk_size=query_chunk_size, corpus_chunk_size=corpus_chunk_size, top_k=top_k, max_pairs=max_pairs)
    if not len(embeddings):
        return []
    vectors = as_vectors(embeddings)
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(vectors), query_chunk_size):
        chunk = vectors[start : start + query_chunk_size]
        scores, places = _nearest(chunk, vectors, corpus_chunk_size, top_k + 1, score_function)  # itself among them
        for one, (row, ids) in enumerate(zip(scores.tolist(), places.tolist(), strict=True), start):
            others = [(other, score) for other, score in zip(ids, row, strict=True) if other != one]
            for other, score in others[:top_k]:
                pairs.setdefault((min(one, other), max(one, other)), score)
    best = sorted(pairs.items(), key=lambda pair: pair[1], reverse=True)[:max_pairs]
    return [[score, one, other] for (one, other), score in best]


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Groups of vectors (N, D) that are near a vector in their middle.

    Args:
        threshold: the least cosine to the middle.
        min_community_size: how many vectors a group has at least.
        batch_size: how many are compared at a time.
        show_progress_bar: accepted; no bar is shown.

    Returns the places of each group, its middle first, the largest group first; no place is in two.
    """
    _check(batch_size=batch_size, min_community_size=min_community_size)
    if len(embeddings) < min_community_size:
        return []
    vectors = F.normalize(as_vectors(embeddings), dim=1)
    groups: list[tuple[int, np.ndarray]] = []
    for start in range(0, len(vectors), batch_size):
        scores = vectors[start : start + batch_size] @ vectors.T
        near = scores >= threshold
        for row in (near.sum(1) >= min_community_size).nonzero()[:, 0].tolist():
            count = int(near[row].sum())
            groups.append((start + row, scores[row].topk(count).indices.cpu().numpy()))
    groups.sort(key=lambda group: len(group[1]), reverse=True)
    taken, found = np.zeros(len(vectors), dtype=bool), []
    for middle, group in groups:
        free = group[~taken[group]]
        if not taken[middle] and len(free) >= min_community_size:
            found.append([middle, *free[free != middle].tolist()])
            taken[found[-1]] = True
    return sorted(found, key=len, reverse=True)


def _nearest(queries: Tensor, corpus: Tensor, size: int, count: int, score: Score) -> tuple[Tensor, Tensor]:
    """The scores and the places of the `count` best of the corpus for each query, best first: (N, count) each."""
    best = queries.new_empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(corpus), size):
        scores = score(queries, corpus[start : start + size])
        ids = torch.arange(start, start + scores.shape[1], device=scores.device).expand(len(scores), -1)
        both = torch.cat([best, scores], dim=1)
        best, order = both.topk(min(count, both.shape[1]), dim=1)
        places = torch.cat([places, ids], dim=1).gather(1, order)
    return best, places


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise ArgumentError(f"{name}={number!r} is not possible: it should be 1 or more.")
