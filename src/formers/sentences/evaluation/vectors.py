"""Evaluators of vectors of pairs and triplets of texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ArgumentError, InputError
from ..search import PAIRWISE, SIMILARITIES
from . import metrics
from .base import BaseEvaluator, Results, same_length, similarity_names

_MEASURES = ("accuracy", "accuracy_threshold", "f1", "precision", "recall", "f1_threshold", "ap", "mcc")


class _OfVectors(BaseEvaluator):
    """An evaluator that encodes texts.

    similarity_fn_names: which similarities are measured; that of the model, if left out.
    """

    def _set(self, name: str, batch_size: int, bar: bool, write_csv: bool, truncate_dim: int | None) -> None:
        self.name, self.batch_size, self.show_progress_bar = name, batch_size, bar
        self.write_csv, self.truncate_dim = write_csv, truncate_dim

    def _vectors(self, model: Any, texts: Sequence[str], encode: str = "encode", **options: Any) -> Tensor:
        found = getattr(model, encode)(
            list(texts),
            batch_size=self.batch_size,
            show_progress_bar=self.show_progress_bar,
            truncate_dim=self.truncate_dim,
            **options,
        )
        return torch.as_tensor(found)

    def _chosen(self, model: Any) -> list[str]:
        self.similarity_fn_names: list[str] = self.similarity_fn_names or [model.similarity_fn_name]
        return self.similarity_fn_names


class EmbeddingSimilarityEvaluator(_OfVectors):
    """How similarities of pairs go with scores: correlations, Pearson's and Spearman's, of each similarity.

    Source: Cer et al. 2017 (doi 10.18653/v1/S17-2001).
    """

    def __init__(
        self,
        sentences1: Sequence[str],
        sentences2: Sequence[str],
        scores: Sequence[float],
        batch_size: int = 16,
        main_similarity: Any = None,
        similarity_fn_names: Sequence[str] | None = None,
        name: str = "",
        show_progress_bar: bool = False,
        write_csv: bool = True,
        precision: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        """Args:
        sentences1, sentences2, scores: pairs, and how near they should be.
        main_similarity: the similarity that models are compared by; similarity_fn_names: those that are measured.
        name: what results and the table are called after.
        batch_size, show_progress_bar, precision, truncate_dim: see `encode`.
        write_csv: whether a table is written.
        """
        super().__init__()
        same_length(sentences1=sentences1, sentences2=sentences2, scores=scores)
        self._set(name, batch_size, show_progress_bar, write_csv, truncate_dim)
        self.sentences1, self.sentences2, self.scores = sentences1, sentences2, scores
        self.similarity_fn_names, self.precision = similarity_names(main_similarity, similarity_fn_names), precision
        self.main_similarity = getattr(main_similarity, "value", main_similarity)
        parts = [part for part in ("similarity_evaluation", name, precision, "results.csv") if part]
        self.csv_file = "_".join(parts)

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> EmbeddingSimilarityEvaluator:
        """Of examples of two texts and a label."""
        return cls(*_columns(examples, 2), **kwargs)

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns pearson_cosine, spearman_cosine, … and, of several similarities, the largest of each."""
        names = self._chosen(model)
        first, second = self._both(model)
        found = {}
        for name in names:
            similar = PAIRWISE[name](first, second).cpu().numpy()
            found[f"pearson_{name}"] = metrics.pearson(self.scores, similar)
            found[f"spearman_{name}"] = metrics.spearman(self.scores, similar)
        kinds = ("pearson", "spearman")
        self.csv_headers = ["epoch", "steps", *(f"{name}_{kind}" for name in names for kind in kinds)]
        self._write(output_path, [epoch, steps, *found.values()])
        if len(names) > 1:
            found.update({f"{kind}_max": max(found[f"{kind}_{name}"] for name in names) for kind in kinds})
        self.primary_metric = f"spearman_{self.main_similarity or (names[0] if len(names) == 1 else 'max')}"
        return self._say(self.prefix_name_to_metrics(found, self.name))

    def _both(self, model: Any) -> tuple[Tensor, Tensor]:
        """Vectors of both columns, as floats; in fewer bits they share their ranges."""
        options: dict[str, Any] = {"precision": self.precision, "normalize_embeddings": bool(self.precision)}
        whole = self._vectors(model, [*self.sentences1, *self.sentences2], **options)
        if self.precision in ("binary", "ubinary"):
            bits = whole.numpy().astype(np.int16) + (128 if self.precision == "binary" else 0)
            whole = torch.from_numpy(np.unpackbits(bits.astype(np.uint8), axis=1))
        first, second = whole.float().split(len(self.sentences1))
        return first, second


class TripletEvaluator(_OfVectors):
    """The share of triplets whose anchor is nearer to the positive than to the negative."""

    def __init__(
        self,
        anchors: Sequence[str],
        positives: Sequence[str],
        negatives: Sequence[str],
        main_similarity_function: Any = None,
        margin: float | Mapping[str, float] | None = None,
        name: str = "",
        batch_size: int = 16,
        show_progress_bar: bool = False,
        write_csv: bool = True,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
        main_distance_function: Any = None,
    ) -> None:
        """Args:
        anchors, positives, negatives: the triplets.
        main_similarity_function: the similarity that models are compared by; main_distance_function: its older name.
        margin: by how much nearer; one for all similarities, or {similarity: margin}.
        The others: see EmbeddingSimilarityEvaluator.
        """
        super().__init__()
        same_length(anchors=anchors, positives=positives, negatives=negatives)
        self._set(name, batch_size, show_progress_bar, write_csv, truncate_dim)
        self.anchors, self.positives, self.negatives = anchors, positives, negatives
        main = main_distance_function if main_similarity_function is None else main_similarity_function
        self.main_similarity = getattr(main, "value", main)
        self.similarity_fn_names = similarity_names(main, similarity_fn_names)
        given = margin if isinstance(margin, Mapping) else dict.fromkeys(SIMILARITIES, margin or 0)
        if unknown := given.keys() - SIMILARITIES.keys():
            raise ArgumentError(f"margin has {min(unknown)!r}, which is not one of {', '.join(SIMILARITIES)}.")
        self.margin = {**dict.fromkeys(SIMILARITIES, 0), **given}
        self.csv_file = "_".join(part for part in ("triplet_evaluation", name, "results.csv") if part)

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> TripletEvaluator:
        """Of examples of three texts."""
        return cls(*_columns(examples, 3)[:3], **kwargs)

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns cosine_accuracy, … and, of several similarities, max_accuracy."""
        names = self._chosen(model)
        anchor = self._vectors(model, self.anchors, "encode_query")
        positive, negative = (
            self._vectors(model, texts, "encode_document") for texts in (self.positives, self.negatives)
        )
        found = {}
        for name in names:
            near, far = PAIRWISE[name](anchor, positive), PAIRWISE[name](anchor, negative)
            found[f"{name}_accuracy"] = (near > far + self.margin[name]).float().mean().item()
        self.csv_headers = ["epoch", "steps", *(f"accuracy_{name}" for name in names)]
        self._write(output_path, [epoch, steps, *found.values()])
        if len(names) > 1:
            found["max_accuracy"] = max(found.values())
        self.primary_metric = f"{self.main_similarity or (names[0] if len(names) == 1 else 'max')}_accuracy"
        return self._say(self.prefix_name_to_metrics(found, self.name))


class BinaryClassificationEvaluator(_OfVectors):
    """How well one threshold of the similarity tells pairs with label 1 from pairs with label 0."""

    def __init__(
        self,
        sentences1: Sequence[str],
        sentences2: Sequence[str],
        labels: Sequence[int],
        name: str = "",
        batch_size: int = 32,
        show_progress_bar: bool = False,
        write_csv: bool = True,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
    ) -> None:
        """sentences1, sentences2, labels: pairs, 0 or 1 each. The others: see EmbeddingSimilarityEvaluator."""
        super().__init__()
        same_length(sentences1=sentences1, sentences2=sentences2, labels=labels)
        for index, label in enumerate(labels):
            if label not in (0, 1):
                raise InputError(f"labels[{index}] is {label!r:.60}; 0 or 1 is needed.")
        self._set(name, batch_size, show_progress_bar, write_csv, truncate_dim)
        self.sentences1, self.sentences2, self.labels = sentences1, sentences2, np.asarray(labels)
        self.similarity_fn_names = similarity_names(None, similarity_fn_names)
        self.csv_file = "_".join(part for part in ("binary_classification_evaluation", name, "results.csv") if part)

    @classmethod
    def from_input_examples(cls, examples: Iterable[Any], **kwargs: Any) -> BinaryClassificationEvaluator:
        """Of examples of two texts and a label."""
        return cls(*_columns(examples, 2), **kwargs)

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns cosine_accuracy, cosine_accuracy_threshold, … and, of several similarities, the largest."""
        names = self._chosen(model)
        texts = list(dict.fromkeys([*self.sentences1, *self.sentences2]))
        rows = {text: row for row, text in enumerate(texts)}
        vectors = self._vectors(model, texts)
        first, second = (vectors[[rows[text] for text in column]] for column in (self.sentences1, self.sentences2))
        found = {name: self._measured(PAIRWISE[name](first, second).cpu().numpy(), name) for name in names}
        self.csv_headers = ["epoch", "steps", *(f"{name}_{one}" for name in names for one in _MEASURES)]
        self._write(output_path, [epoch, steps, *(found[name][one] for name in names for one in _MEASURES)])
        whole = {f"{name}_{one}": value for name, values in found.items() for one, value in values.items()}
        if len(names) > 1:
            whole.update({f"max_{one}": max(found[name][one] for name in names) for one in found[names[0]]})
        self.primary_metric = f"{names[0] if len(names) == 1 else 'max'}_ap"
        return self._say(self.prefix_name_to_metrics(whole, self.name))

    def _measured(self, similar: np.ndarray, name: str) -> Results:
        """Of a similarity that is minus a distance, thresholds are distances."""
        high = name in ("cosine", "dot")
        scores = similar if high else -similar
        accuracy, threshold = metrics.best_accuracy(scores, self.labels, high)
        f1, precision, recall, f1_threshold = metrics.best_f1(scores, self.labels, high)
        limit = np.asarray(f1_threshold, scores.dtype)
        return {
            "accuracy": accuracy,
            "accuracy_threshold": threshold,
            "f1": f1,
            "f1_threshold": f1_threshold,
            "precision": precision,
            "recall": recall,
            "ap": metrics.average_precision(self.labels, similar),
            "mcc": metrics.matthews(self.labels, scores >= limit if high else scores <= limit),
        }


class MSEEvaluator(_OfVectors):
    """The mean squared difference from a teacher's vectors, times 100, with a minus.

    Source: Reimers and Gurevych 2020 (arXiv 2004.09813).
    """

    def __init__(
        self,
        source_sentences: Sequence[str],
        target_sentences: Sequence[str],
        teacher_model: Any = None,
        show_progress_bar: bool = False,
        batch_size: int = 32,
        name: str = "",
        write_csv: bool = True,
        truncate_dim: int | None = None,
    ) -> None:
        """source_sentences: what the teacher encodes, now; target_sentences: what the model encodes, the same texts in
        another language. The others: see EmbeddingSimilarityEvaluator."""
        super().__init__()
        same_length(source_sentences=source_sentences, target_sentences=target_sentences)
        if teacher_model is None:
            raise ArgumentError("MSEEvaluator needs a teacher_model, which encodes source_sentences.")
        self._set(name, batch_size, show_progress_bar, write_csv, truncate_dim)
        self.target_sentences, self.primary_metric = target_sentences, "negative_mse"
        self.csv_file, self.csv_headers = f"mse_evaluation_{name}_results.csv", ["epoch", "steps", "MSE"]
        self.source_embeddings = self._vectors(teacher_model, source_sentences)

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """Returns negative_mse."""
        found = self._vectors(model, self.target_sentences)
        error = (self.source_embeddings - found).square().mean().item() * 100
        self._write(output_path, [epoch, steps, error])
        return self._say(self.prefix_name_to_metrics({"negative_mse": -error}, self.name))


def _columns(examples: Iterable[Any], width: int) -> list[Any]:
    """The texts of each column, and the labels."""
    rows = list(examples)
    for index, row in enumerate(rows):
        if len(row.texts) < width:
            raise InputError(f"examples[{index}] has {len(row.texts)} texts; {width} are needed.")
    return [*([row.texts[column] for row in rows] for column in range(width)), [row.label for row in rows]]
