"""Collators: a list of features, as a dataset gives them, to the tensors of one batch.

Each is a dataclass that pickles, so that the workers of a DataLoader can have it, and is called with the features.
Letters: B features, T columns, C choices, N tokens of all features together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..ops.losses import IGNORED
from ..tokenization.types import PaddingStrategy, TensorType

DataCollator = Callable[[list[Any]], dict[str, Any]]
Array = Any  # a tensor, or an array of NumPy where these are asked for


# ---- what all share


def checked(features: Any) -> list[Any]:
    """The features as a list. Errors: InputError for none."""
    if not isinstance(features, Sequence) or isinstance(features, (str, bytes)):
        features = list(features)
    if not len(features):
        raise InputError("A collator was given no features: a batch needs at least one.")
    return features


def given(array: np.ndarray[Any, Any], kind: str) -> Array:
    """The array, or its tensor, as `kind` ("pt" or "np") says."""
    return torch.from_numpy(array) if TensorType(kind) is TensorType.PYTORCH else array


def fill(rows: Sequence[Any], value: int, name: str, side: str = "right", width: int | None = None) -> Any:
    """Whole numbers in rows of any lengths to an array (B, T) of int64, filled up on `side` with `value`.

    width: T; the longest row's length if left out. name: what errors call the rows. Errors: InputError for a row that
    is longer, and for what are no whole numbers.
    """
    rows = listed(rows, name)
    lengths = np.array([len(row) for row in rows])[:, None]
    width = int(lengths.max()) if width is None else width
    if lengths.max() > width:
        row = int(lengths.argmax())
        raise InputError(f"{name} of feature {row} has {int(lengths[row, 0])} entries, but the batch is {width} wide.")
    flat = np.array(list(chain.from_iterable(rows))) if lengths.any() else np.zeros(0, np.int64)
    if flat.ndim != 1 or flat.dtype.kind not in "iufb" or (flat.dtype.kind == "f" and (flat != np.trunc(flat)).any()):
        raise InputError(f"{name}: {_wrong_row(rows)}; each feature should have a list of whole numbers.")
    column = np.arange(width)
    real = column < lengths if side == "right" else column >= width - lengths
    filled = np.full((len(rows), width), value, np.int64)
    filled[real] = flat
    return filled


def listed(rows: Sequence[Any], name: str) -> list[list[Any]]:
    """Rows as lists. Errors: InputError for what is no list, tensor or array of one dimension."""
    found = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    if wrong := next(([i] for i, row in enumerate(found) if not isinstance(row, (list, tuple))), None):
        raise InputError(f"{name} of feature {wrong[0]} is {rows[wrong[0]]!r}; it should be a list of whole numbers.")
    return found


def _wrong_row(rows: Sequence[Any]) -> str:
    """Which entry of `rows` is no whole number."""
    for i, row in enumerate(rows):
        for k, entry in enumerate(row):
            if not isinstance(entry, (int, float)) or entry != entry // 1:
                return f"entry {k} of feature {i} is {entry!r}"
    return "entries are no whole numbers"


def stacked(values: list[Any], name: str, kind: str) -> Array:
    """What each feature has under `name`, as one tensor or array of B of them. Errors: InputError, with the feature."""
    if isinstance(values[0], Tensor):
        if kind == "pt" and all(isinstance(v, Tensor) and v.shape == values[0].shape for v in values):
            return torch.stack(values)
        values = [v.numpy(force=True) if isinstance(v, Tensor) else v for v in values]
    try:
        array = np.array(values)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "iufbc":
        raise InputError(f"{name}: {_uneven(values)}. Leave such a column out of the dataset, or pad it beforehand.")
    if kind == "pt" and array.dtype == np.float64 and not hasattr(values[0], "dtype"):
        array = array.astype(np.float32)  # torch's own default for Python floats
    return given(array, kind)


def _uneven(values: list[Any]) -> str:
    """Why the values do not make one tensor."""
    shapes = []
    for i, value in enumerate(values):
        try:
            array = np.array(value)
        except ValueError:
            return f"the entries of feature {i} have different lengths"
        if array.dtype.kind not in "iufbc":
            return f"feature {i} has {value!r}, which are no numbers"
        shapes.append(array.shape)
    other = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), 0)
    return f"feature {other} has the shape {shapes[other]}, but feature 0 has {shapes[0]}"


def mappings(features: Any) -> list[Any]:
    """The features, which are mappings. Errors: InputError for another, and for none."""
    features = checked(features)
    if wrong := next(([i] for i, feature in enumerate(features) if not isinstance(feature, Mapping)), None):
        kind = type(features[wrong[0]]).__name__
        raise InputError(f"Feature {wrong[0]} is a {kind}; it should be a dictionary of columns.")
    return features


def column_of(features: list[Any], name: str) -> list[Any]:
    """What each feature has under `name`. Errors: InputError for a feature that lacks it."""
    if lacking := next(([i] for i, feature in enumerate(features) if name not in feature), None):
        raise InputError(f"Feature {lacking[0]} has no {name!r}. It has {', '.join(map(repr, features[lacking[0]]))}.")
    return [feature[name] for feature in features]


def split_labels(features: list[Any]) -> tuple[str, list[Any] | None, list[dict[str, Any]]]:
    """The name of the labels, "label" or "labels"; each feature's, None for none; the features without them."""
    features = mappings(features)
    name = "label" if "label" in features[0] else "labels"
    labels = column_of(features, name) if name in features[0] else None
    return name, labels, [{k: v for k, v in feature.items() if k != name} for feature in features]


def numbers(values: list[Any], name: str) -> Any:
    """Labels of features, one each, as int64. Errors: InputError for what is no whole number."""
    return fill([[v] for v in (v.item() if hasattr(v, "item") else v for v in values)], 0, name)[:, 0]


class DataCollatorMixin:
    """A collator of which `torch_call` or `numpy_call` is called, as `return_tensors` says; both may be overridden."""

    return_tensors: str

    def __call__(self, features: Any, return_tensors: str | None = None) -> Any:
        """A batch from the features; return_tensors: "pt" or "np" instead of the collator's own."""
        kind = TensorType(self.return_tensors if return_tensors is None else return_tensors)
        call = self.torch_call if kind is TensorType.PYTORCH else self.numpy_call
        return call(checked(features))

    def torch_call(self, features: Any) -> Any:
        """A batch of tensors."""
        return self.collate(features, "pt")

    def numpy_call(self, features: Any) -> Any:
        """A batch of arrays."""
        return self.collate(features, "np")

    def collate(self, features: Any, kind: str) -> Any:
        """What the collator does, for both."""
        raise NotImplementedError


# ---- features of equal lengths


def default_data_collator(features: list[Any], return_tensors: str = "pt") -> dict[str, Any]:
    """The columns of features that are all of one length; strings, and what is None in the first, are left out.

    features: mappings, or objects with attributes. `label`, one number each, and `label_ids`, a list each, become
    `labels`: int64 where the first is a whole number, else float32. Errors: InputError with the feature and the column.
    """
    features, kind = checked(features), TensorType(return_tensors).value
    if not isinstance(features[0], Mapping):
        features = [getattr(feature, "__dict__", feature) for feature in features]
    first, batch = mappings(features)[0], {}
    for name in ("label", "label_ids"):
        if first.get(name) is not None:
            batch["labels"] = _plain_labels(column_of(features, name), name, kind)
            break
    for name, value in first.items():
        if name not in ("label", "label_ids") and value is not None and not isinstance(value, str):
            batch[name] = stacked(column_of(features, name), name, kind)
    return batch


def _plain_labels(values: list[Any], name: str, kind: str) -> Array:
    if name == "label_ids" and isinstance(values[0], Tensor if kind == "pt" else np.ndarray):
        return stacked(values, name, kind)
    values = [v.tolist() if hasattr(v, "tolist") else v for v in values]
    array, first = stacked(values, name, "np"), values[0]
    if name == "label_ids":
        first = next(iter(listed(values, name)[0]), 0)
    whole = isinstance(first, int)
    if whole and array.dtype.kind == "f" and (wrong := (array != np.trunc(array)).reshape(len(array), -1).any(1)).any():
        row = int(wrong.argmax())
        raise InputError(f"{name} of feature {row} is {values[row]}, but feature 0 has a whole number: give one kind.")
    return given(array.astype(np.int64 if whole else np.float32), kind)


@dataclass
class DefaultDataCollator(DataCollatorMixin):
    """`default_data_collator` as an object. return_tensors: "pt" or "np"."""

    return_tensors: str = "pt"

    def collate(self, features: Any, kind: str) -> dict[str, Any]:
        return default_data_collator(features, kind)


@dataclass
class DataCollatorWithFlattening(DefaultDataCollator):
    """All texts back to back in one row (1, N): no padding, and no text sees another where the model is given this.

    Each feature has `input_ids`, and maybe `labels` as long. The batch has both, the first label of each text replaced
    by `separator_id`, so that no text is asked for the start of the next.
    return_position_ids: `position_ids`, which begin at `position_ids_start` in each text: models tell texts by it.
    return_flash_attn_kwargs: `cu_seq_lens_q` and `cu_seq_lens_k` (B + 1,), where texts begin and the last ends, and
        `max_length_q` and `max_length_k`, the longest text's length.
    return_seq_idx: `seq_idx` (1, N), the number of each token's text.
    """

    return_position_ids: bool = field(default=True, kw_only=True)
    separator_id: int = field(default=IGNORED, kw_only=True)
    return_flash_attn_kwargs: bool = field(default=False, kw_only=True)
    return_seq_idx: bool = field(default=False, kw_only=True)
    position_ids_start: int = field(default=0, kw_only=True)

    def __call__(
        self, features: Any, return_tensors: str | None = None, separator_id: int | None = None
    ) -> dict[str, Any]:
        kind = TensorType(self.return_tensors if return_tensors is None else return_tensors).value
        separator = self.separator_id if separator_id is None else separator_id
        features = mappings(features)
        ids = listed(column_of(features, "input_ids"), "input_ids")
        labels = listed(column_of(features, "labels"), "labels") if "labels" in features[0] else ids
        lengths = [len(row) for row in ids]
        for i, (length, own) in enumerate(zip(lengths, labels, strict=True)):
            if not length or length != len(own):
                raise InputError(
                    f"Feature {i} has {length} input_ids and {len(own)} labels: give a label to each token, "
                    "and leave out features without tokens."
                )
        ends = np.cumsum(lengths)
        starts = ends - lengths
        found = {"input_ids": _joined(ids, "input_ids"), "labels": _joined(labels, "labels")}
        found["labels"][starts] = separator
        if self.return_position_ids:
            found["position_ids"] = np.arange(ends[-1]) - np.repeat(starts - self.position_ids_start, lengths)
        if self.return_seq_idx:
            found["seq_idx"] = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        batch: dict[str, Any] = {name: given(values[None], kind) for name, values in found.items()}
        if self.return_flash_attn_kwargs:
            borders = given(np.concatenate([[0], ends]).astype(np.int32), kind)
            batch |= {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders}
            batch |= {"max_length_q": max(lengths), "max_length_k": max(lengths)}
        return batch


def _joined(rows: list[Any], name: str) -> Any:
    return fill([list(chain.from_iterable(rows))], 0, name)[0]


# ---- features of different lengths


@dataclass
class DataCollatorWithPadding:
    """The columns that the tokenizer pads, filled up to one length; `label` and `label_ids` become `labels`.

    padding: True or "longest", "max_length" (with `max_length`), False or "do_not_pad". pad_to_multiple_of: the length
    is a multiple of it. return_tensors: "pt" or "np".
    """

    tokenizer: Any
    padding: bool | str | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Any) -> Any:
        batch = padded(self, checked(features), self.return_tensors)
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


def padded(collator: Any, features: list[Any], kind: str) -> Any:
    """What the collator's tokenizer makes of the features."""
    options = {name: getattr(collator, name) for name in ("padding", "max_length") if hasattr(collator, name)}
    options |= {"pad_to_multiple_of": collator.pad_to_multiple_of, "return_tensors": kind}
    try:
        return collator.tokenizer.pad(features, **options)
    except ValueError as e:
        for name in ("label", "labels", "label_ids"):
            sizes = [len(f[name]) if isinstance(f.get(name), Sized) else 0 for f in features if isinstance(f, Mapping)]
            if wrong := next(([i] for i, size in enumerate(sizes) if size != sizes[0]), None):
                raise InputError(
                    f"{name} of feature {wrong[0]} are {sizes[wrong[0]]}, but of feature 0 {sizes[0]}; this collator "
                    "fills up no labels: DataCollatorForTokenClassification and DataCollatorForSeq2Seq do."
                ) from e
        raise


@dataclass
class DataCollatorForTokenClassification(DataCollatorMixin):
    """Padding for a label a token: `label` or `labels` (B, T), filled up with `label_pad_token_id`. See
    DataCollatorWithPadding."""

    tokenizer: Any
    padding: bool | str | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: str = "pt"

    def collate(self, features: Any, kind: str) -> Any:
        name, labels, others = split_labels(features)
        batch = padded(self, others, kind)
        if labels is None:
            return batch
        labels = listed(labels, name)
        for i, (row, own) in enumerate(zip(others, labels, strict=True)):
            if len(own) > len(row["input_ids"]):
                raise InputError(
                    f"Feature {i} has {len(own)} {name} and {len(row['input_ids'])} input_ids: give one label a token, "
                    f"{self.label_pad_token_id} to leave one out."
                )
        side, width = self.tokenizer.padding_side, batch["input_ids"].shape[1]
        batch[name] = given(fill(labels, self.label_pad_token_id, name, side, width), kind)
        return batch


@dataclass
class DataCollatorForMultipleChoice(DataCollatorMixin):
    """Features of C choices each, every column a list of C: (B, C, T), and `labels` (B,), the right ones' numbers."""

    tokenizer: Any
    padding: bool | str | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def collate(self, features: Any, kind: str) -> dict[str, Any]:
        name, labels, others = split_labels(features)
        choices = len(others[0]["input_ids"])
        for i, row in enumerate(others):
            if wrong := next((key for key, value in row.items() if len(value) != choices), None):
                raise InputError(
                    f"{wrong!r} of feature {i} has {len(row[wrong])} choices, but feature 0 has {choices}."
                )
        flat = [{key: value[c] for key, value in row.items()} for row in others for c in range(choices)]
        batch = padded(self, flat, kind)
        found = {key: value.reshape(len(others), choices, -1) for key, value in batch.items()}
        if labels is not None:
            found["labels"] = given(numbers(labels, name), kind)
        return found


@dataclass
class DataCollatorForSeq2Seq:
    """Padding for inputs and for `labels` (B, T'), which are filled up with `label_pad_token_id`.

    model: with its `prepare_decoder_input_ids_from_labels` the batch has `decoder_input_ids` too, which label smoothing
    needs. With padding "max_length", labels are filled up to `max_length` as well. See DataCollatorWithPadding.
    """

    tokenizer: Any
    model: Any | None = None
    padding: bool | str | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: str = "pt"

    def __call__(self, features: Any, return_tensors: str | None = None) -> Any:
        kind = TensorType(self.return_tensors if return_tensors is None else return_tensors).value
        name, labels, others = split_labels(features)
        if labels is not None and all(label is None for label in labels):
            labels = None
        batch = padded(self, others, kind)
        batch["labels"] = None if labels is None else given(self._filled(labels, name), kind)
        if labels is not None and hasattr(self.model, "prepare_decoder_input_ids_from_labels"):
            targets = torch.as_tensor(batch["labels"])
            ids: Tensor = self.model.prepare_decoder_input_ids_from_labels(labels=targets)  # type: ignore[union-attr]
            batch["decoder_input_ids"] = ids if kind == "pt" else ids.numpy(force=True)
        return batch

    def _filled(self, labels: list[Any], name: str) -> Any:
        side = self.tokenizer.padding_side
        if self.padding is False or self.padding == PaddingStrategy.DO_NOT_PAD:
            return stacked(listed(labels, name), name, "np").astype(np.int64)
        labels = listed(labels, name)
        longest = max(len(row) for row in labels)
        if self.padding == PaddingStrategy.MAX_LENGTH and self.max_length is not None:
            longest = self.max_length
        step = self.pad_to_multiple_of or 1
        width = -(-longest // step) * step
        return fill(labels, self.label_pad_token_id, name, side, width)
