"""Figures that say how good predictions are, in NumPy. Letters: B examples, C labels."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any
_MARKS = ("B", "I", "E", "S", "L", "U")


def confusion(predicted: Array, labels: Array, count: int) -> Array:
    """(C, C): how often a label of each row was predicted as each column's. predicted, labels: (B,) ids."""
    found = np.zeros((count, count), np.int64)
    np.add.at(found, (np.asarray(labels), np.asarray(predicted)), 1)
    return found


def f1(hits: Array, predicted: Array, real: Array) -> Array:
    """2PR / (P + R) of counts, 0 where nothing was found nor to be found."""
    total = np.asarray(predicted) + np.asarray(real)
    return np.where(total > 0, 2 * np.asarray(hits) / np.maximum(total, 1), 0.0)


def single_label(matrix: Array, names: Sequence[str]) -> dict[str, float]:
    """Accuracy, and F1 of each label and their mean over the labels that occur or were predicted; of a confusion."""
    hits = np.diag(matrix)
    predicted, real = matrix.sum(0), matrix.sum(1)
    each = f1(hits, predicted, real)
    known = (predicted + real) > 0
    found = {"accuracy": float(hits.sum() / max(matrix.sum(), 1)), "f1_macro": float(each[known].mean())}
    return found | {f"f1_{name}": float(value) for name, value in zip(names, each, strict=True)}


def several_labels(predicted: Array, labels: Array, names: Sequence[str]) -> dict[str, float]:
    """F1 over all decisions, its mean over labels, F1 of each, and the share of rows without any error.

    predicted, labels: (B, C) of true and false.
    """
    hits, found, real = (predicted & labels).sum(0), predicted.sum(0), labels.sum(0)
    each = f1(hits, found, real)
    known = (found + real) > 0
    metrics = {
        "f1_micro": float(f1(hits.sum(), found.sum(), real.sum())),
        "f1_macro": float(each[known].mean()) if known.any() else 0.0,
        "exact_match": float((predicted == labels).all(1).mean()),
    }
    return metrics | {f"f1_{name}": float(value) for name, value in zip(names, each, strict=True)}


def regression(predicted: Array, labels: Array) -> dict[str, float]:
    """Mean squared error, and the correlations of Pearson and Spearman: NaN where one side is all the same."""
    predicted, labels = np.asarray(predicted, np.float64), np.asarray(labels, np.float64)
    return {
        "mse": float(((predicted - labels) ** 2).mean()),
        "pearson": _correlation(predicted, labels),
        "spearman": _correlation(_ranks(predicted), _ranks(labels)),
    }


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / scale) if scale > 0 else float("nan")


def _ranks(values: Array) -> Array:
    """The rank of each, the mean of their ranks for equal ones."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[where]


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(kind, first word, last word) of the entities in the tags of one sentence, as "B-PER", "I-PER" and "O".

    One begins at B-, at a tag of another kind than before, and after O; S- is one alone, and E- ends one. A tag without
    such a mark is of the kind that it names. As conlleval does: Tjong Kim Sang and De Meulder 2003 (arXiv cs/0306050).
    """
    found, kind, start = set(), "", 0
    for i, tag in enumerate([*tags, "O"]):
        mark, dash, rest = tag.partition("-")
        marked = bool(dash) and mark in _MARKS
        own = "" if tag == "O" else rest if marked else tag
        if kind and (own != kind or (marked and mark in "BSU")):
            found.add((kind, start, i - 1))
            kind = ""
        if own and not kind:
            kind, start = own, i
        if kind and marked and mark in "ESLU":
            found.add((kind, start, i))
            kind = ""
    return found


def entity_scores(predicted: Sequence[Sequence[str]], real: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 of entities, whose words and kind must all be right; F1 of each kind; and the share of
    words with the right tag."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("hits", "predicted", "real")}
    right = words = 0
    for guess, truth in zip(predicted, real, strict=True):
        ours, theirs = entities(guess), entities(truth)
        for name, some in (("hits", ours & theirs), ("predicted", ours), ("real", theirs)):
            counts[name].update(kind for kind, _, _ in some)
        right += sum(a == b for a, b in zip(guess, truth, strict=True))
        words += len(truth)
    hits, found, all_ = (sum(counts[name].values()) for name in ("hits", "predicted", "real"))
    metrics = {
        "f1": float(f1(hits, found, all_)),
        "precision": hits / found if found else 0.0,
        "recall": hits / all_ if all_ else 0.0,
        "accuracy": right / max(words, 1),
    }
    kinds = sorted(counts["predicted"].keys() | counts["real"].keys())
    return metrics | {f"f1_{k}": float(f1(*(counts[n][k] for n in ("hits", "predicted", "real")))) for k in kinds}


def normalized(answer: str) -> list[str]:
    """The words of an answer as SQuAD compares them: small letters, without punctuation and articles."""
    plain = "".join(c for c in answer.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def answer_scores(predicted: Sequence[str], real: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match and F1 of words, of the nearest of each question's right answers. Source: arXiv 1606.05250."""
    exact, overlap = [], []
    for guess, truths in zip(predicted, real, strict=True):
        words = normalized(guess)
        exact.append(max(float(words == normalized(truth)) for truth in truths))
        overlap.append(max(_overlap(words, normalized(truth)) for truth in truths))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(overlap))}


def _overlap(one: list[str], other: list[str]) -> float:
    if not one or not other:
        return float(one == other)
    return float(f1(sum((Counter(one) & Counter(other)).values()), len(one), len(other)))


def rouge_l(predicted: Sequence[str], real: Sequence[str]) -> float:
    """The mean F1 of the longest common subsequence of words, in small letters. Source: Lin 2004, "ROUGE"."""
    scores = []
    for guess, truth in zip(predicted, real, strict=True):
        one, other = (re.findall(r"\w+", text.lower()) for text in (guess, truth))
        scores.append(float(f1(_common(one, other), len(one), len(other))))
    return float(np.mean(scores))


def _common(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for j, candidate in enumerate(other, 1):
            before, row[j] = row[j], before + 1 if word == candidate else max(row[j], row[j - 1])
    return row[-1]


def chrf(predicted: Sequence[str], real: Sequence[str], order: int = 6, beta: float = 2.0) -> float:
    """The F score of runs of 1 to `order` characters, recall weighing `beta` times; 0 to 1, over the whole corpus.

    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation".
    """
    scores = []
    for n in range(1, order + 1):
        hits = found = all_ = 0
        for guess, truth in zip(predicted, real, strict=True):
            ours, theirs = _runs(guess, n), _runs(truth, n)
            hits += sum((ours & theirs).values())
            found, all_ = found + sum(ours.values()), all_ + sum(theirs.values())
        if found and all_:
            precision, recall = hits / found, hits / all_
            weighed = beta**2 * precision + recall
            scores.append((1 + beta**2) * precision * recall / weighed if weighed else 0.0)
    return float(np.mean(scores)) if scores else 0.0


def _runs(text: str, n: int) -> Counter[str]:
    plain = "".join(text.split())
    return Counter(plain[i : i + n] for i in range(len(plain) - n + 1))
