"""The tasks that tables train: how rows become features, what collates them, and what predictions are worth.

rows of a table ─ examples ─▶ checked values ─ features ─▶ the model's inputs ─ collator ─▶ batch
                                                   predictions ─ metrics, report ─▶ figures, a confusion, errors
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError, InputError, near
from . import metrics
from .collators import DataCollatorWithPadding
from .tables import Table

Example = dict[str, Any]
_MOST_LABELS = 1000
ERRORS = 5  # wrong predictions that a card shows


@dataclass(frozen=True)
class Columns:
    """The columns that a training reads, None for the task's own names.

    label_separator: what stands between the labels of a row. label_names: {label: what the model calls it}.
    task_type: one of TextClassification.TYPES.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    target: str | None = None
    label_separator: str | None = None
    task_type: str | None = None
    label_names: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What is shown of predictions: a confusion matrix with its names, and wrong ones as rows of a table."""

    names: list[str] = field(default_factory=list)
    matrix: Any = None
    errors: list[dict[str, str]] = field(default_factory=list)


class TableTask:
    """A task. Its methods are called in the order in which they stand here.

    AUTO: the Auto class of its models. WATCHED: the metric by which the best weights are chosen, and HIGHER whether
    more of it is better. USES: the columns that it reads.
    """

    AUTO: ClassVar[str]
    WATCHED: str = "loss"
    HIGHER: bool = False
    USES: ClassVar[tuple[str, ...]] = ("text",)
    LONGEST: ClassVar[int | None] = None  # tokens of a text, where the user does not say; None: what the model reads
    WRITES: ClassVar[bool] = False  # whether predictions are texts that the model writes

    def __init__(self, name: str, columns: Columns) -> None:
        self.name, self.columns = name, columns
        self.labels: list[str] = []
        self.cut = 0  # texts that were longer than the limit
        self.longest_target = 0  # tokens of what is to be written
        given = [n for n in ("text_pair", "label", "target") if getattr(columns, n) is not None and n not in self.USES]
        if given:
            raise ArgumentError(f"{name} takes no --{given[0].replace('_', '-')}.")
        if type(self).USES and "label" not in self.USES and (columns.label_separator or columns.task_type):
            raise ArgumentError(f"{name} takes no --label-separator and no --task-type.")
        if columns.label_names and name != "text-classification":
            raise ArgumentError(f"{name} takes no --label-names.")

    def examples(self, table: Table) -> list[Example]:
        """The values of each row, checked."""
        raise NotImplementedError

    def is_empty(self, example: Example) -> bool:
        """Whether a row has nothing to read."""
        return not example["text"].strip()

    def key(self, example: Example) -> Hashable:
        """What makes two rows one text."""
        return (example["text"], example.get("pair"))

    def group(self, example: Example) -> Hashable:
        """What rows share that are not to be on both sides of a split."""
        return self.key(example)

    def truth(self, example: Example) -> Hashable:
        """What is right of a row: of equal texts it should be equal."""
        return None

    def stratum(self, example: Example) -> Hashable:
        """Of what kind a row is."""
        return self.truth(example)

    def learn(self, examples: list[Example], table: Table, known: Sequence[str]) -> list[str]:
        """Find the labels in the rows of the training file; returns what is to be said. known: labels the model has."""
        return []

    def check(self, examples: list[Example], table: Table) -> None:
        """Errors: InputError for held-out rows that nothing was learned about."""

    def options(self) -> dict[str, Any]:
        """What the model is loaded with."""
        return {}

    def arguments(self) -> dict[str, Any]:
        """What TrainingArguments say where the user does not."""
        return {}

    def ready(self, tokenizer: Any, model: Any, limit: int | None) -> None:
        """The tokenizer and the model, and how many tokens a text has at most."""
        self.tokenizer, self.model, self.limit = tokenizer, model, limit

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        """The model's inputs of the rows."""
        raise NotImplementedError

    def collator(self) -> Any:
        """What makes a batch of features."""
        return DataCollatorWithPadding(self.tokenizer)

    @staticmethod
    def reduce(logits: Any, labels: Any) -> Any:
        """What is kept of what a model gives for a batch: of several things the logits, which come first."""
        return logits[0] if isinstance(logits, tuple) else logits

    def metrics(self, found: Any) -> dict[str, float]:
        """Figures, of an EvalPrediction of the held-out rows."""
        raise NotImplementedError

    def report(self, predictions: Any, labels: Any) -> Report:
        """What is shown of the predictions for the held-out rows."""
        return Report()

    def _encoded(self, *texts: Any, **more: Any) -> Any:
        """What the tokenizer makes of all texts, and pairs, cut to the limit; those that were cut are counted."""
        long = {"truncation": True, "max_length": self.limit} if self.limit else {}
        encoding = self.tokenizer(*texts, verbose=False, **{**long, **more})
        self.cut += sum(bool(row.overflowing) for row in encoding.encodings)
        return encoding


def rows_of(encoding: Any) -> list[dict[str, Any]]:
    """The columns of an encoding as a feature a text."""
    names = list(encoding)
    return [dict(zip(names, row, strict=True)) for row in zip(*(encoding[name] for name in names), strict=True)]


def sorted_labels(values: set[str]) -> list[str]:
    """Labels in order: numbers by their size, else texts as they sort."""
    try:
        return sorted(values, key=lambda value: (float(value), value))
    except ValueError:
        return sorted(values)


def in_models_order(labels: list[str], known: Sequence[str]) -> list[str]:
    """The labels in the order in which the model has them, where it has just these: its head knows them already."""
    return list(known) if sorted(known) == sorted(labels) else labels


def check_known(labels: Sequence[Sequence[str]], known: Sequence[str], table: Table, column: str) -> None:
    """Errors: InputError for labels of the held-out part that the training part has not."""
    unknown = {label: i for i, own in reversed(list(enumerate(labels))) for label in own if label not in known}
    if unknown:
        label = sorted(unknown)[0]
        rows = [i for i, own in enumerate(labels) if label in own]
        raise InputError(
            f"{table.listed(rows)}: the {column} {label!r} is not among the labels of the training part, "
            f"{', '.join(known[:20])}{', …' * (len(known) > 20)}.{near(label, known)}"
        )


class TextClassification(TableTask):
    """Labels of texts or pairs: one each, several each, or a number."""

    AUTO = "AutoModelForSequenceClassification"
    USES = ("text", "text_pair", "label")
    TYPES = ("single-label", "multi-label", "regression")

    def __init__(self, name: str, columns: Columns) -> None:
        super().__init__(name, columns)
        self.text, self.label = columns.text or "text", columns.label or "label"
        self.kind = columns.task_type or ("multi-label" if columns.label_separator else "single-label")
        if columns.label_separator and self.kind != "multi-label":
            raise ArgumentError(f"--label-separator is for several labels a row, and not for --task-type {self.kind}.")
        self.WATCHED, self.HIGHER = {
            "single-label": ("accuracy", True), "multi-label": ("f1_micro", True), "regression": ("mse", False)
        }[self.kind]  # fmt: skip

    def examples(self, table: Table) -> list[Example]:
        texts = table.texts(self.text)
        pairs = table.texts(self.columns.text_pair) if self.columns.text_pair else [None] * len(texts)
        values = table.column(self.label)
        read = {"single-label": self._one, "multi-label": self._several, "regression": self._number}[self.kind]
        labels = [read(value, table, i) for i, value in enumerate(values)]
        return [{"text": t, "pair": p, "label": x} for t, p, x in zip(texts, pairs, labels, strict=True)]

    def _one(self, value: Any, table: Table, row: int) -> str:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, list):
            raise InputError(
                f"{table.place(row)}: column {self.label!r} has a list, {value!r}. For several labels a row give "
                "--task-type multi-label."
            )
        if isinstance(value, (dict, float)) or not str(value).strip():
            raise InputError(
                f"{table.place(row)}: column {self.label!r} has {value!r}, which is no label."
                + " For numbers give --task-type regression." * isinstance(value, float)
            )
        return self.columns.label_names.get(str(value).strip(), str(value).strip())

    def _several(self, value: Any, table: Table, row: int) -> list[str]:
        if isinstance(value, str) and self.columns.label_separator is None:
            raise InputError(
                f"{table.place(row)}: column {self.label!r} has {value!r}, a text: --label-separator says what stands "
                "between its labels."
            )
        parts = value if isinstance(value, list) else str(value).split(self.columns.label_separator)
        return sorted({self._one(part, table, row) for part in parts if str(part).strip()})

    def _number(self, value: Any, table: Table, row: int) -> float:
        try:
            found = float(value)
            if found - found == 0:  # neither infinite nor NaN
                return found
        except (TypeError, ValueError):
            pass
        raise InputError(f"{table.place(row)}: column {self.label!r} has {value!r}; regression needs a number.")

    def truth(self, example: Example) -> Hashable:
        label = example["label"]
        return tuple(label) if isinstance(label, list) else label

    def stratum(self, example: Example) -> Hashable:
        return None if self.kind == "regression" else self.truth(example)

    def learn(self, examples: list[Example], table: Table, known: Sequence[str]) -> list[str]:
        if self.kind == "regression":
            if len({example["label"] for example in examples}) < 2:
                raise InputError(f"Column {self.label!r} of {table.name} has one number alone: nothing can be learned.")
            return []
        counts = Counter(label for example in examples for label in _listed(example["label"]))
        if strange := sorted(set(self.columns.label_names.values()) - counts.keys()):
            raise InputError(
                f"--label-names calls a label {strange[0]!r} that {table.name} does not have: it has "
                f"{', '.join(sorted(counts)[:20])}."
            )
        if len(counts) < 2:
            what = f"the label {next(iter(counts))!r}" if counts else "no label"
            raise InputError(f"Column {self.label!r} of {table.name} has {what} alone: a classifier needs two or more.")
        if len(counts) > min(_MOST_LABELS, max(len(examples) / 2, 20)):
            raise InputError(
                f"Column {self.label!r} of {table.name} has {len(counts):,} different labels in {len(examples):,} "
                "rows: that is too many. Is it the right column? For numbers give --task-type regression."
            )
        self.labels = in_models_order(sorted_labels(set(counts)), known)
        once = [label for label in self.labels if counts[label] == 1]
        said = [f"labels: {', '.join(f'{label} ({counts[label]:,})' for label in self.labels)}"]
        return said + [f"trained on with one row alone: {', '.join(once)}"] * bool(once)

    def check(self, examples: list[Example], table: Table) -> None:
        if self.kind != "regression":
            check_known([_listed(example["label"]) for example in examples], self.labels, table, self.label)

    def options(self) -> dict[str, Any]:
        kinds = {"single-label": "single_label_classification", "multi-label": "multi_label_classification"}
        if self.kind == "regression":
            return {"num_labels": 1, "problem_type": "regression"}
        return {**named(self.labels), "problem_type": kinds[self.kind]}

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        texts = [example["text"] for example in examples]
        pairs = [[example["pair"] for example in examples]] if self.columns.text_pair else []
        found = rows_of(self._encoded(texts, *pairs))
        ids = {label: i for i, label in enumerate(self.labels)}
        for row, example in zip(found, examples, strict=True):
            label = example["label"]
            if self.kind == "multi-label":
                row["labels"] = [float(name in label) for name in self.labels]
            else:
                row["labels"] = label if self.kind == "regression" else ids[label]
        if held_out:
            self.held = examples
        return found

    def metrics(self, found: Any) -> dict[str, float]:
        predicted, labels = found.predictions, found.label_ids
        if self.kind == "regression":
            return metrics.regression(predicted[:, 0], labels)
        if self.kind == "multi-label":
            return metrics.several_labels(predicted > 0, labels > 0.5, self.labels)
        matrix = metrics.confusion(predicted.argmax(-1), labels, len(self.labels))
        return metrics.single_label(matrix, self.labels)

    def report(self, predictions: Any, labels: Any) -> Report:
        if self.kind == "regression":
            distance = np.abs(predictions[:, 0] - labels)
            worst = np.argsort(-distance)[:ERRORS]
            return Report(errors=[self._error(i, f"{labels[i]:g}", f"{predictions[i, 0]:.4g}") for i in worst])
        if self.kind == "multi-label":
            chosen, right = predictions > 0, labels > 0.5
            wrong = np.flatnonzero((chosen != right).any(1))[:ERRORS]
            return Report(errors=[self._error(i, self._names(right[i]), self._names(chosen[i])) for i in wrong])
        best = predictions.argmax(-1)
        wrong = np.flatnonzero(best != labels)
        surest = wrong[np.argsort(-_margin(predictions[wrong]), kind="stable")][:ERRORS]
        errors = [self._error(i, self.labels[labels[i]], self.labels[best[i]]) for i in surest]
        return Report(self.labels, metrics.confusion(best, labels, len(self.labels)), errors)

    def _names(self, chosen: Any) -> str:
        return ", ".join(name for name, own in zip(self.labels, chosen, strict=True) if own) or "none"

    def _error(self, row: int, right: str, predicted: str) -> dict[str, str]:
        example = self.held[row]
        text = example["text"] if example["pair"] is None else f"{example['text']} ‖ {example['pair']}"
        return {"text": text, "label": right, "predicted": predicted}


def named(labels: Sequence[str]) -> dict[str, Any]:
    """What says to a configuration how its labels are called."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def _listed(label: Any) -> list[str]:
    return label if isinstance(label, list) else [label]


def _margin(logits: Any) -> Any:
    """How much a model is for its best label, (B, C) -> (B,)."""
    top = np.sort(logits, axis=-1)
    return top[:, -1] - top[:, -2]
