"""What losses of vectors of texts share: the vectors of all columns, in one pass of the model.

Letters: B examples, C columns of texts, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError, RangeError

Features = dict[str, Any]


def joined(features: Sequence[Features]) -> Features:
    """The features of several columns, (B, T) each, as those of one batch (C·B, longest T), padded on the right."""
    if len(features) == 1:
        return dict(features[0])
    first, whole = features[0], {}
    for name, value in first.items():
        values = [column[name] for column in features]
        if not isinstance(value, Tensor) or not value.ndim:
            whole[name] = value
            continue
        longest = max(one.shape[1] for one in values) if value.ndim > 1 else 0
        # the mask says which columns are none, so that it does not matter what fills them
        whole[name] = torch.cat([one if value.ndim < 2 else F.pad(one, (0, longest - one.shape[1])) for one in values])
    return whole


def embed_columns(model: Any, features: Iterable[Features]) -> list[Tensor]:
    """The vectors (B, D) of each column. All go through the model at once, which computes no padding."""
    listed = list(features)
    sizes = [len(column["input_ids"]) for column in listed]
    return list(vectors_of(model, joined(listed)).split(sizes))


def vectors_of(model: Any, features: Features) -> Tensor:
    """The vectors (B, D) of a batch; an error where the modules make none."""
    found: Tensor = model(features).get("sentence_embedding")
    if found is None:
        raise InputError(f"The modules {', '.join(type(one).__name__ for one in model)} make no vector of a text.")
    return found


class Loss(nn.Module):
    """A loss of the vectors of C columns of texts: called with the features of each column and the labels.

    FEWEST, MOST: how many columns; MOST is None for no limit.
    LABELS: what labels are: "number" or "class", one an example; "vector"; None where they are not read.
    CLASSES: how many classes there are; None where it does not matter.
    """

    FEWEST: ClassVar[int] = 2
    MOST: ClassVar[int | None] = 2
    LABELS: ClassVar[str | None] = "number"
    num_labels: int | None = None

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """The loss of a batch: features of each column, and labels (B,) or (B, …). See compute_loss_from_embeddings."""
        features = list(sentence_features)
        self.check(len(features), labels)
        return self.compute_loss_from_embeddings(embed_columns(self.model, features), labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Any) -> Tensor:
        """The loss of vectors (B, D) of each column."""
        raise NotImplementedError

    def check(self, columns: int, labels: Tensor | None, shown: Callable[[int], str] | None = None) -> None:
        """Raises InputError where there are other columns or labels than the loss reads; `shown` gives an example."""
        name = type(self).__name__
        if columns < self.FEWEST or (self.MOST is not None and columns > self.MOST):
            wanted = f"{self.FEWEST}" if self.MOST == self.FEWEST else f"{self.FEWEST} or more"
            example = f": {shown(0)}" if shown else ""
            raise InputError(f"{name} needs {wanted} columns of texts, and the examples have {columns}{example}.")
        if self.LABELS is None:
            return
        if labels is None:
            example = f", as {shown(0)}" if shown else ""
            raise InputError(f"{name} needs a label for each example, and the examples have none{example}.")
        if self.LABELS == "vector":
            return
        if labels.ndim != 1 and labels.numel() != len(labels):
            raise InputError(f"{name} needs one label an example; labels have the shape {tuple(labels.shape)}.")
        if self.LABELS == "class":
            self._check_classes(labels.reshape(-1), shown)

    def _check_classes(self, labels: Tensor, shown: Callable[[int], str] | None) -> None:
        wrong = labels != labels.round()
        if self.num_labels is not None:
            wrong = wrong | (labels < 0) | (labels >= self.num_labels)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            where = shown(row) if shown else f"row {row} of the batch"
            most = "" if self.num_labels is None else f" from 0 to {self.num_labels - 1}"
            raise RangeError(
                f"The label of {where} is {labels[row].item()}; {type(self).__name__} needs a class{most}."
            )
