"""Examples that encoders are trained on: texts and a label, read from what people have them in.

Letters: B examples, C columns of texts.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import ArgumentError, InputError

# what a column of labels is called, in rows that are dictionaries
LABELS = ("label", "labels", "score", "scores")


class InputExample:
    """Texts that belong together, and their label: a number, or a vector.

    Attributes:
        guid: the example's own name, which nothing reads.
        texts: one text a column: (anchor, positive), (anchor, positive, negative), …
        label: 0 where none is given.
    """

    def __init__(self, guid: str = "", texts: Sequence[str] | None = None, label: Any = 0) -> None:
        self.guid, self.texts, self.label = guid, texts, label

    def __repr__(self) -> str:
        return f"InputExample(texts={self.texts!r}, label={self.label!r})"


@dataclass(frozen=True)
class Batch:
    """Examples side by side.

    columns: C lists of B texts.
    labels: (B,), (B, D) or (B, C, D); None where the examples have none.
    """

    columns: list[list[str]]
    labels: Tensor | None

    def row(self, number: int) -> str:
        """One of the examples, for messages."""
        texts = [column[number] for column in self.columns]
        return f"{texts!r:.120}"

    def shown(self) -> str:
        """The first of the examples, for messages."""
        count = len(self.columns[0])
        return ", ".join(map(self.row, range(min(3, count)))) + (f", … ({count} in all)" if count > 3 else "")


def batch_of(rows: Any, first: int | None = None) -> Batch:
    """A batch of InputExamples, of dictionaries, or of tuples of texts that may end in a label.

    `first` is the place of the first row among all of them, for messages. In a dictionary the label is called one of
    LABELS, and all else are texts, in order.

    Raises InputError naming the row that is none, whose texts or label are of another kind, or that has other columns.
    """

    def name(number: int) -> str:
        return f"The example {rows[number]!r:.80}" if first is None else f"Example {number + first}"

    read = [_row(row, partial(name, number)) for number, row in enumerate(_aligned(_listed(rows), name))]
    width = len(read[0][0])
    for number, (texts, _) in enumerate(read):
        if len(texts) != width:
            raise InputError(
                f"{name(number)} has {len(texts)} texts, and {name(0)} has {width}: all need the same columns."
            )
    labelled = [label is not None for _, label in read]
    if any(labelled) and not all(labelled):
        raise InputError(f"{name(labelled.index(False))} has no label, and others have one.")
    columns = [[texts[column] for texts, _ in read] for column in range(width)]
    if not any(text.strip() for column in columns for text in column):
        raise InputError(f"There is nothing in the texts: {name(0)} and the {len(read) - 1} after it are empty.")
    return Batch(columns, _labels([label for _, label in read], name) if all(labelled) else None)


def loader_of(data: Any, batch_size: int, name: str) -> Any:
    """What gives batches: a list of examples, or another dataset of them, in random order; a DataLoader as it is.

    A list is checked whole. Raises InputError for one without examples; ArgumentError for what is neither.
    """
    if isinstance(data, list | tuple):
        if not data:
            raise InputError(f"{name} has no examples.")
        batch_of(data, 0)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        data = DataLoader(data, batch_size=batch_size, shuffle=True)
    if not hasattr(data, "__iter__") or not hasattr(data, "__len__"):
        raise ArgumentError(
            f"{name} is a {type(data).__name__}; a DataLoader, or a list of InputExamples, of dictionaries or of "
            "tuples of texts is needed."
        )
    if not len(data):
        raise InputError(f"{name} gives no batch: it has fewer examples than a batch, or none.")
    return data


@contextmanager
def raw(loaders: Sequence[Any]) -> Iterator[None]:
    """Inside, DataLoaders give lists of examples: whatever they make batches with cannot stack these."""
    had = [getattr(loader, "collate_fn", None) for loader in loaders]
    own = [loader for loader in loaders if hasattr(loader, "collate_fn")]
    for loader in own:
        loader.collate_fn = _as_they_are
    try:
        yield
    finally:
        for loader, collate in zip(loaders, had, strict=True):
            if loader in own:
                loader.collate_fn = collate


def _as_they_are(rows: list[Any]) -> list[Any]:
    return rows


def _listed(rows: Any) -> Sequence[Any]:
    if not isinstance(rows, list | tuple) or not rows:
        raise InputError(f"A batch should be a list of examples; got {rows!r:.80} ({type(rows).__name__}).")
    return rows


def _aligned(rows: Sequence[Any], name: Callable[[int], str]) -> Sequence[Any]:
    """Dictionaries with their keys in the order of the first one's: they may come in any."""
    if not isinstance(rows[0], Mapping):
        return rows
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or row.keys() != rows[0].keys():
            own = f"the columns {', '.join(map(str, row))}" if isinstance(row, Mapping) else f"no columns: {row!r:.60}"
            raise InputError(f"{name(number)} has {own}, and {name(0)} has {', '.join(map(str, rows[0]))}.")
    return [{key: row[key] for key in rows[0]} for row in rows]


def _row(row: Any, name: Callable[[], str]) -> tuple[list[str], Any]:
    """The texts and the label, or None, of a row."""
    if isinstance(row, Mapping):
        labels = [key for key in row if key in LABELS]
        if len(labels) > 1:
            raise InputError(f"{name()} has labels under {labels[0]!r} and {labels[1]!r}; one is needed.")
        texts, label = [text for key, text in row.items() if key not in LABELS], row[labels[0]] if labels else None
        if labels and label is None:
            raise InputError(f"{name()} has None as its label.")
    elif isinstance(row, list | tuple):
        last = row[-1] if row and not isinstance(row[-1], str) else None
        texts, label = list(row if last is None else row[:-1]), last
    elif hasattr(row, "texts") and hasattr(row, "label"):
        texts, label = row.texts, row.label
        if label is None:
            raise InputError(f"{name()} has None as its label.")
    else:
        raise InputError(
            f"{name()} is a {type(row).__name__}; an InputExample, a dictionary, or a tuple of texts is needed."
        )
    if not isinstance(texts, list | tuple) or not texts:
        raise InputError(f"{name()} has no texts.")
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"{name()} has {text!r:.60} ({type(text).__name__}) where a text (str) is needed.")
    return list(texts), label


def _labels(labels: list[Any], name: Callable[[int], str]) -> Tensor:
    """(B,) of numbers, whole ones if all are; (B, …) of vectors."""
    for number, label in enumerate(labels):
        vector = isinstance(label, Tensor | np.ndarray | list | tuple)
        if not vector and not isinstance(label, numbers.Real):
            raise InputError(
                f"{name(number)} has {label!r:.60} ({type(label).__name__}) as its label; a number is needed."
            )
    try:
        made = torch.as_tensor(np.stack([np.asarray(label) for label in labels]))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The labels of a batch do not make one tensor: {error}. The first is of {name(0)}."
        ) from error
    made = made.to(torch.float32) if made.dtype == torch.float64 else made
    finite = torch.isfinite(made.reshape(len(made), -1)).all(1)
    if not bool(finite.all()):
        number = int((~finite).nonzero()[0])
        raise InputError(f"{name(number)} has {made[number].tolist()!r:.60} as its label, which is not finite.")
    return made.long() if made.dtype == torch.bool else made
