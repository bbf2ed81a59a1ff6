"""The evaluator of a search: which documents of a corpus come first for a query.

Letters: N queries, M documents, D width.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...errors import ArgumentError, InputError
from ..search import as_vectors
from .base import BaseEvaluator, Results

Score = Callable[[Tensor, Tensor], Tensor]
Hits = list[list[tuple[str, float]]]


class InformationRetrievalEvaluator(BaseEvaluator):
    """Accuracy, precision, recall, MRR, NDCG and MAP of the first k documents found for queries.

    Source: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", chapter 8.
    """

    def __init__(
        self,
        queries: Mapping[str, str],
        corpus: Mapping[str, str],
        relevant_docs: Mapping[str, set[str]],
        corpus_chunk_size: int = 50_000,
        mrr_at_k: Sequence[int] = (10,),
        ndcg_at_k: Sequence[int] = (10,),
        accuracy_at_k: Sequence[int] = (1, 3, 5, 10),
        precision_recall_at_k: Sequence[int] = (1, 3, 5, 10),
        map_at_k: Sequence[int] = (100,),
        show_progress_bar: bool = False,
        batch_size: int = 32,
        name: str = "",
        write_csv: bool = True,
        truncate_dim: int | None = None,
        score_functions: Mapping[str, Score] | None = None,
        main_score_function: Any = None,
        query_prompt: str | None = None,
        query_prompt_name: str | None = None,
        corpus_prompt: str | None = None,
        corpus_prompt_name: str | None = None,
        write_predictions: bool = False,
    ) -> None:
        """Args:
        queries, corpus: texts by their names; relevant_docs: the names of documents that answer a query, by its name.
            Queries that nothing answers are left out.
        corpus_chunk_size: how many documents are encoded and compared at a time.
        mrr_at_k, …: the ks of each measure.
        score_functions: {name: (N, D) and (M, D) to (N, M), larger is nearer}; that of the model, if left out.
        main_score_function: the one of them that models are compared by; the best, if left out.
        query_prompt, …: see `encode_query` and `encode_document`.
        write_predictions: whether what was found is written too, a line of JSON for each query.
        The others: see EmbeddingSimilarityEvaluator.
        """
        super().__init__()
        self.queries_ids = [one for one in queries if relevant_docs.get(one)]
        if not self.queries_ids or not corpus:
            raise InputError(
                "There is nothing to find: queries that relevant_docs has documents for, and a corpus, are needed."
            )
        for one in self.queries_ids:
            if missing := set(relevant_docs[one]) - corpus.keys():
                raise InputError(f"relevant_docs[{one!r}] has {min(missing)!r}, which is not in the corpus.")
        self.queries = [queries[one] for one in self.queries_ids]
        self.corpus_ids = sorted(corpus)  # of documents with equal scores the first by name comes first
        self.corpus = [corpus[one] for one in self.corpus_ids]
        self.relevant_docs, self.corpus_chunk_size = relevant_docs, corpus_chunk_size
        self.ks = {
            "accuracy": list(accuracy_at_k),
            "precision": list(precision_recall_at_k),
            "recall": list(precision_recall_at_k),
            "ndcg": list(ndcg_at_k),
            "mrr": list(mrr_at_k),
            "map": list(map_at_k),
        }
        if min((k for ks in self.ks.values() for k in ks), default=0) < 1 or not ndcg_at_k:
            raise ArgumentError(f"The ks of measures are 1 or more, and ndcg_at_k has one at least; got {self.ks}.")
        self.name, self.batch_size, self.show_progress_bar = name, batch_size, show_progress_bar
        self.write_csv, self.write_predictions, self.truncate_dim = write_csv, write_predictions, truncate_dim
        self.score_functions = score_functions
        self.main_score_function = getattr(main_score_function, "value", main_score_function)
        self._prompts = (query_prompt, query_prompt_name), (corpus_prompt, corpus_prompt_name)
        self._file = "_".join(part for part in ("Information-Retrieval_evaluation", name) if part)
        self.csv_file = f"{self._file}_results.csv"

    def __call__(
        self,
        model: Any,
        output_path: str | os.PathLike[str] | None = None,
        epoch: float = -1,
        steps: int = -1,
        corpus_model: Any = None,
        corpus_embeddings: Tensor | None = None,
    ) -> Results:
        """Returns cosine_accuracy@1, … of each score function.

        corpus_model: what encodes documents, if it is another; corpus_embeddings: their vectors (M, D), in the order of
        `corpus_ids`.
        """
        functions = self.score_functions or {model.similarity_fn_name: model.similarity}
        hits = self._search(model, corpus_model or model, corpus_embeddings, functions)
        found = {name: self._measured(hits[name]) for name in sorted(functions)}
        self._write_tables(output_path, epoch, steps, found, hits)
        most = max(self.ks["ndcg"])
        best = self.main_score_function or max(found, key=lambda name: found[name][f"ndcg@{most}"])
        if best not in found:
            raise ArgumentError(f"main_score_function={best!r} is not one of {', '.join(found)}.")
        if self.primary_metric is None:
            self.primary_metric = f"{best}_ndcg@{most}"
        whole = {f"{name}_{measure}": value for name, values in found.items() for measure, value in values.items()}
        return self._say(self.prefix_name_to_metrics(whole, self.name))

    def _vectors(self, encode: Any, texts: list[str], prompt: tuple[str | None, str | None]) -> Tensor:
        found: Tensor = encode(
            texts,
            prompt=prompt[0],
            prompt_name=prompt[1],
            batch_size=self.batch_size,
            show_progress_bar=self.show_progress_bar,
            convert_to_tensor=True,
            truncate_dim=self.truncate_dim,
        )
        return found

    def _search(self, model: Any, other: Any, known: Any, functions: Mapping[str, Score]) -> dict[str, Hits]:
        """For each score function and query the nearest documents, their names and scores, best first."""
        queries = self._vectors(model.encode_query, self.queries, self._prompts[0])
        most, empty = max(k for ks in self.ks.values() for k in ks), queries.new_empty(len(queries), 0)
        best = {name: (empty, empty.long()) for name in functions}
        starts = range(0, len(self.corpus), self.corpus_chunk_size)
        for start in tqdm(starts, desc="Corpus", disable=not self.show_progress_bar):
            end = start + self.corpus_chunk_size
            if known is None:
                documents = self._vectors(other.encode_document, self.corpus[start:end], self._prompts[1])
            else:
                documents = as_vectors(known[start:end]).to(queries)
            for name, function in functions.items():
                best[name] = _merged(best[name], function(queries, documents), start, most)
        return {
            name: [
                [(self.corpus_ids[place], score) for score, place in zip(row, ids, strict=True)]
                for row, ids in zip(scores.tolist(), places.tolist(), strict=True)
            ]
            for name, (scores, places) in best.items()
        }

    def _measured(self, hits: Hits) -> Results:
        """The mean over queries of each measure."""
        values: dict[str, list[float]] = {}
        for query, found in zip(self.queries_ids, hits, strict=True):
            relevant = self.relevant_docs[query]
            right = np.array([document in relevant for document, _ in found], dtype=np.float64)
            for measure, ks in self.ks.items():
                for k in ks:
                    values.setdefault(f"{measure}@{k}", []).append(_MEASURES[measure](right[:k], len(relevant), k))
        return {name: float(np.mean(column)) for name, column in values.items()}

    def _write_tables(
        self, folder: Any, epoch: float, steps: int, found: dict[str, Results], hits: dict[str, Hits]
    ) -> None:
        order = [
            *((f"accuracy@{k}", f"Accuracy@{k}") for k in self.ks["accuracy"]),
            *((f"{one.lower()}@{k}", f"{one}@{k}") for k in self.ks["recall"] for one in ("Precision", "Recall")),
            *((f"{one.lower()}@{k}", f"{one}@{k}") for one in ("MRR", "NDCG", "MAP") for k in self.ks[one.lower()]),
        ]
        self.csv_headers = ["epoch", "steps", *(f"{name}-{shown}" for name in found for _, shown in order)]
        self._write(folder, [epoch, steps, *(found[name][measure] for name in found for measure, _ in order)])
        if folder is None or not self.write_predictions:
            return
        os.makedirs(folder, exist_ok=True)
        for name, rows in hits.items():
            with open(os.path.join(folder, f"{self._file}_predictions_{name}.jsonl"), "w", encoding="utf-8") as file:
                for query, text, row in zip(self.queries_ids, self.queries, rows, strict=True):
                    results = [{"corpus_id": document, "score": score} for document, score in row]
                    file.write(json.dumps({"query_id": query, "query": text, "results": results}) + "\n")


def _merged(best: tuple[Tensor, Tensor], scores: Tensor, start: int, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of those so far and of a chunk's scores (N, M′), best first, equal ones by their place."""
    kept = scores.topk(min(count, scores.shape[1]), dim=1)
    places = kept.indices
    tied = (scores >= kept.values[:, -1:]).sum(1) > places.shape[1]  # topk may keep any of equal ones
    if bool(tied.any()):
        places[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, : places.shape[1]]
    places = places.sort(dim=1).values
    both = torch.cat([best[0], scores.gather(1, places)], dim=1)
    where = torch.cat([best[1], places + start], dim=1)
    order = where.argsort(dim=1)
    both, where = both.gather(1, order), where.gather(1, order)
    both, order = both.sort(dim=1, descending=True, stable=True)
    return both[:, :count], where.gather(1, order)[:, :count]


def _gain(right: np.ndarray) -> float:
    return float((right / np.log2(np.arange(2, len(right) + 2))).sum())


def _reciprocal(right: np.ndarray) -> float:
    return 1 / (int(right.argmax()) + 1) if right.any() else 0.0


def _average(right: np.ndarray, relevant: int, k: int) -> float:
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float((precision * right).sum() / min(k, relevant))


# of which of the first k documents are relevant, how many are in all, and k
_MEASURES: dict[str, Callable[[np.ndarray, int, int], float]] = {
    "accuracy": lambda right, relevant, k: float(right.any()),
    "precision": lambda right, relevant, k: float(right.sum() / k),
    "recall": lambda right, relevant, k: float(right.sum() / relevant),
    "ndcg": lambda right, relevant, k: _gain(right) / _gain(np.ones(min(relevant, k))),
    "mrr": lambda right, relevant, k: _reciprocal(right),
    "map": _average,
}
