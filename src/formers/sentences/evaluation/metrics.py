"""Measures of scores beside what they should be. Numbers alone; the same as those of scipy and scikit-learn.

Letters: N pairs or documents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def pearson(x: Any, y: Any) -> float:
    """The correlation of (N,) and (N,); NaN where all of one are equal."""
    a, b = (np.asarray(one, np.float64) - np.mean(np.asarray(one, np.float64)) for one in (x, y))
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else float("nan")


def ranks(x: Any) -> Array:
    """The place of each number (N,) in their order, from 1; equal ones share the mean of theirs."""
    _, places, counts = np.unique(np.asarray(x, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places.reshape(-1)], np.float64)


def spearman(x: Any, y: Any) -> float:
    """The correlation of ranks. Source: Spearman 1904 (doi 10.2307/1412159)."""
    return pearson(ranks(x), ranks(y))


def _ends(scores: Array, labels: Any, high: bool) -> tuple[Array, Array, Array]:
    """Best first: where each run of equal scores ends; the scores; how many positives come up to there."""
    order = np.argsort(-scores if high else scores, kind="stable")
    scores, found = scores[order], np.cumsum(np.asarray(labels)[order] == 1)
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    return ends, scores, found[ends]


def _between(scores: Array, end: int) -> Any:
    """A threshold after the score at `end`: half way to the next, if a number is there."""
    if end + 1 == len(scores):
        return scores[end]
    middle = (scores[end] + scores[end + 1]) / 2
    return scores[end] if middle == scores[end + 1] else middle


def best_accuracy(scores: Array, labels: Any, high: bool = True) -> tuple[float, float]:
    """The best accuracy (N,) scores give labels 0 and 1 with one threshold, and that threshold.

    high: whether pairs with label 1 have the higher scores.
    """
    ends, ordered, found = _ends(scores, labels, high)
    negatives = len(scores) - found[-1]
    right = found + negatives - (ends + 1 - found)
    best = int(right.argmax())
    if right[best] <= negatives:  # nothing is better than to call none alike
        beyond = np.inf if high else -np.inf
        return float(negatives / len(scores)), float(np.nextafter(ordered[0], np.asarray(beyond, ordered.dtype)))
    return float(right[best] / len(scores)), float(_between(ordered, int(ends[best])))


def best_f1(scores: Array, labels: Any, high: bool = True) -> tuple[float, float, float, float]:
    """As best_accuracy, of F1: the best, its precision and recall, and the threshold. Zeros without a label 1."""
    ends, ordered, found = _ends(scores, labels, high)
    if not found[-1]:
        return 0.0, 0.0, 0.0, 0.0
    precision, recall = found / (ends + 1), found / found[-1]
    f1 = np.divide(2 * precision * recall, precision + recall, out=np.zeros_like(recall), where=found > 0)
    best = int(f1.argmax())
    return float(f1[best]), float(precision[best]), float(recall[best]), float(_between(ordered, int(ends[best])))


def average_precision(labels: Any, scores: Any) -> float:
    """The mean precision over the recall, of scores (N,) of which higher is better; 0 without a label 1."""
    ends, _, found = _ends(np.asarray(scores), labels, True)
    if not found[-1]:
        return 0.0
    gained = np.diff(found, prepend=0) / found[-1]
    return float((gained * found / (ends + 1)).sum())


def matthews(labels: Any, predicted: Any) -> float:
    """The correlation of two columns of 0 and 1; 0 where all of one are equal. Source: Matthews 1975."""
    found = pearson(labels, predicted)
    return 0.0 if np.isnan(found) else found


def f1_of_classes(labels: Any, predicted: Any) -> tuple[float, float, float]:
    """F1 of classes: their mean, that of all decisions together, and the mean weighted by how many there are."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    classes = np.union1d(labels, predicted)
    right = np.array([((labels == one) & (predicted == one)).sum() for one in classes])
    truly = np.array([(labels == one).sum() for one in classes])
    called = np.array([(predicted == one).sum() for one in classes])
    f1 = 2 * right / np.maximum(truly + called, 1)
    return float(f1.mean()), float((labels == predicted).mean()), float((f1 * truly).sum() / truly.sum())


def ndcg(relevant: Any, scores: Any, k: int) -> float:
    """Discounted gain of the best `k` over what could be had; equal scores share the mean of their places' gains.

    Source: Järvelin and Kekäläinen 2002 (doi 10.1145/582415.582418).
    """
    relevant, scores = np.asarray(relevant, np.float64), np.asarray(scores)
    places = np.arange(len(scores))
    discount = np.where(places < k, 1 / np.log2(places + 2), 0)
    most = np.sort(relevant)[::-1] @ discount
    _, runs, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    discounts = np.diff(np.cumsum(discount)[ends - 1], prepend=0)
    gains = np.bincount(runs.reshape(-1), relevant) / counts
    return float(gains @ discounts / most) if most else 0.0
