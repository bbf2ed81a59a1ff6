"""What is measured of cross-encoders. Letters: N pairs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import InputError
from ..evaluation import metrics
from ..evaluation.base import BaseEvaluator, Results, same_length

Pairs = Sequence[Sequence[str]]


class _OfPairs(BaseEvaluator):
    """An evaluator that scores pairs."""

    def _set(
        self, name: str, prompt_name: str | None, batch_size: int, bar: bool | None, write_csv: bool, more: str = ""
    ) -> None:
        self.name, self.prompt_name, self.batch_size = name, prompt_name, batch_size
        self.show_progress_bar, self.write_csv = bar, write_csv
        parts = (type(self).__name__, name, f"results{more}.csv")
        self.csv_file = "_".join(part for part in parts if part)

    def _scores(self, model: Any, pairs: Pairs) -> np.ndarray:
        found: np.ndarray = model.predict(
            [tuple(pair) for pair in pairs],
            prompt_name=self.prompt_name,
            batch_size=self.batch_size,
            show_progress_bar=self.show_progress_bar,
        )
        return found


class CrossEncoderCorrelationEvaluator(_OfPairs):
    """How scores of pairs go with what they should be: Pearson's and Spearman's correlation."""

    def __init__(
        self,
        sentence_pairs: Pairs,
        scores: Sequence[float],
        name: str = "",
        prompt_name: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        write_csv: bool = True,
    ) -> None:
        """sentence_pairs, scores: pairs, and how near they should be. name: what results and the table are called.
        prompt_name, batch_size, show_progress_bar: see `predict`. write_csv: whether a table is written."""
        super().__init__()
        same_length(sentence_pairs=sentence_pairs, scores=scores)
        self._set(name, prompt_name, batch_size, show_progress_bar, write_csv)
        self.sentence_pairs, self.scores, self.primary_metric = sentence_pairs, scores, "spearman"
        self.csv_headers = ["epoch", "steps", "Pearson_Correlation", "Spearman_Correlation"]

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> CrossEncoderCorrelationEvaluator:
        """Of examples of two texts and a label."""
        rows = list(examples)
        return cls([row.texts for row in rows], [row.label for row in rows], **kwargs)

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns pearson and spearman."""
        scores = self._scores(model, self.sentence_pairs)
        if scores.ndim > 1:
            raise InputError(f"The model has {scores.shape[1]} labels; one is needed, to go with scores.")
        found = {"pearson": metrics.pearson(self.scores, scores), "spearman": metrics.spearman(self.scores, scores)}
        self._write(output_path, [epoch, steps, *found.values()])
        return self._say(self.prefix_name_to_metrics(found, self.name))


class CrossEncoderClassificationEvaluator(_OfPairs):
    """How well classes of pairs are told: by the best threshold of a single score, or by F1 of several classes."""

    def __init__(
        self,
        sentence_pairs: Pairs,
        labels: Sequence[int],
        *,
        name: str = "",
        prompt_name: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        write_csv: bool = True,
    ) -> None:
        """sentence_pairs, labels: pairs, and the class of each. The others: see CrossEncoderCorrelationEvaluator."""
        super().__init__()
        same_length(sentence_pairs=sentence_pairs, labels=labels)
        self._set(name, prompt_name, batch_size, show_progress_bar, write_csv)
        self.sentence_pairs, self.labels = sentence_pairs, np.asarray(labels)

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns accuracy, f1, … and average_precision; of several classes f1_macro, f1_micro and f1_weighted."""
        scores = self._scores(model, self.sentence_pairs)
        found = self._of_one(scores) if model.num_labels == 1 else self._of_several(scores)
        self._write(output_path, [epoch, steps, *found.values()])
        return self._say(self.prefix_name_to_metrics(found, self.name))

    def _of_one(self, scores: np.ndarray) -> Results:
        self.primary_metric = "average_precision"
        names = ("Accuracy", "Accuracy_Threshold", "F1", "F1_Threshold", "Precision", "Recall", "Average_Precision")
        self.csv_headers = ["epoch", "steps", *names]
        accuracy, threshold = metrics.best_accuracy(scores, self.labels)
        f1, precision, recall, f1_threshold = metrics.best_f1(scores, self.labels)
        average = metrics.average_precision(self.labels, scores)
        values = (accuracy, threshold, f1, f1_threshold, precision, recall, average)
        return dict(zip(map(str.lower, names), values, strict=True))

    def _of_several(self, scores: np.ndarray) -> Results:
        self.primary_metric = "f1_macro"
        self.csv_headers = ["epoch", "steps", "Macro_F1", "Micro_F1", "Weighted_F1"]
        macro, micro, weighted = metrics.f1_of_classes(self.labels, scores.argmax(1))
        return {"f1_macro": macro, "f1_micro": micro, "f1_weighted": weighted}


class CrossEncoderRerankingEvaluator(_OfPairs):
    """MAP, and MRR and NDCG of the first documents, of the order in which scores put each query's documents."""

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]],
        at_k: int = 10,
        always_rerank_positives: bool = True,
        name: str = "",
        prompt_name: str | None = None,
        batch_size: int = 64,
        show_progress_bar: bool = False,
        write_csv: bool = True,
        mrr_at_k: int | None = None,
    ) -> None:
        """Args:
        samples: {"query": text, "positive": texts that answer it, "negative": texts that do not} each; or in place of
            the latter "documents": what a search found, in its order, which is measured too.
        at_k: how many documents count for MRR and NDCG; `mrr_at_k` is its older name.
        always_rerank_positives: whether answers that the search did not find are scored too.
        The others: see CrossEncoderCorrelationEvaluator.
        """
        super().__init__()
        self.samples = list(samples.values()) if isinstance(samples, Mapping) else list(samples)
        self.at_k, self.always_rerank_positives = mrr_at_k or at_k, always_rerank_positives
        self._set(name, prompt_name, batch_size, show_progress_bar, write_csv, f"_@{self.at_k}")
        same_length(samples=self.samples)
        for index, one in enumerate(self.samples):
            if not {"query", "positive"} <= one.keys() or ("negative" in one) == ("documents" in one):
                raise InputError(
                    f"samples[{index}] needs a query, positive, and negative or documents; has {list(one)}."
                )
        self.primary_metric = f"ndcg@{self.at_k}"
        self.csv_headers = ["epoch", "steps", "MAP", f"MRR@{self.at_k}", f"NDCG@{self.at_k}"]

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns map, mrr@10 and ndcg@10; with documents base_map, … of the order that they came in."""
        read = [self._documents(one) for one in self.samples]
        wanted = [(query, text) for query, texts, right in read for text in texts if any(right)]
        scores = self._scores(model, wanted) if wanted else np.empty(0)
        rows, start = [], 0
        for _, texts, right in read:
            if not any(right):
                rows.append((0.0, 0.0, 0.0))
                continue
            rows.append(self._measured(right, scores[start : start + len(texts)]))
            start += len(texts)
        names = ("map", f"mrr@{self.at_k}", f"ndcg@{self.at_k}")
        found = dict(zip(names, np.mean(rows, axis=0), strict=True))
        self._write(output_path, [epoch, steps, *found.values()])
        if base := [self._base(one) for one in self.samples if one.get("documents")]:
            found.update({f"base_{name}": value for name, value in zip(names, np.mean(base, axis=0), strict=True)})
        return self._say(self.prefix_name_to_metrics(found, self.name))

    def _documents(self, sample: Mapping[str, Any]) -> tuple[str, list[str], list[int]]:
        """The query, what is put in order, and which of it answers the query."""
        answers, found = _answers(sample), sample.get("documents")
        if found and not self.always_rerank_positives:
            return sample["query"], list(found), [int(text in answers) for text in found]
        others = [text for text in found if text not in answers] if found else list(sample.get("negative") or [])
        return sample["query"], answers + others, [1] * len(answers) + [0] * len(others)

    def _base(self, sample: Mapping[str, Any]) -> tuple[float, float, float]:
        """As _measured, of the order of the documents; answers that are not among them come last."""
        answers = _answers(sample)
        right = [int(text in answers) for text in sample["documents"]]
        if not any(right):
            return 0.0, 0.0, 0.0
        right += [1] * (len(answers) - sum(right))
        return self._measured(right, np.arange(len(right), 0, -1))

    def _measured(self, right: list[int], scores: np.ndarray) -> tuple[float, float, float]:
        """MAP, MRR and NDCG of one query's documents."""
        first = np.asarray(right)[np.argsort(scores)[::-1]][: self.at_k]
        reciprocal = 1 / (int(first.argmax()) + 1) if first.any() else 0.0
        return metrics.average_precision(right, scores), reciprocal, metrics.ndcg(right, scores, self.at_k)


def _answers(sample: Mapping[str, Any]) -> list[str]:
    positive = sample["positive"]
    return [positive] if isinstance(positive, str) else list(positive)
