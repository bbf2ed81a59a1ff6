"""Feature extractors: from sounds of any kind to what a model reads.

    sound ─ hearing ─▶ (N,) samples at the model's rate ─ features ─▶ input_values or input_features, and a mask

A family's extractor is a class with other settings and its own `features`.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..errors import ArgumentError, InputError
from ..logging import warn_once
from .configured import NOT_SETTINGS, Configured
from .feature import BatchFeature
from .files import required_sound_values
from .hearing import as_numbers, checked_rate, samples_of
from .spectrogram import check_size
from .transforms import Array

E = TypeVar("E", bound="SequenceFeatureExtractor")
T = TypeVar("T")
_PADDING = {True: "longest", False: "do_not_pad", None: "do_not_pad"}
_KINDS = ("longest", "max_length", "do_not_pad")
_MOST = 2**16  # of frames, bands, samples in a frame, and seconds: more would fill memory
_DERIVED = ("n_samples", "nb_max_frames", "nb_frequency_bins", "nb_max_samples")  # what files say beside settings


class SequenceFeatureExtractor(Configured):
    """What feature extractors of sound share. Every setting is a keyword of the constructor and an attribute.

    Settings:
        feature_size: numbers a sample or a frame.
        sampling_rate: samples a second that the model is for; a sound at any other rate is resampled.
        padding_value, padding_side: what shorter sounds of a batch are filled up with, and on which side.
        return_attention_mask: whether a batch comes with a mask, 1 where the sound is.
    """

    model_input_names: ClassVar[list[str]] = ["input_values", "attention_mask"]
    ignored: ClassVar[tuple[str, ...]] = ("mel_filters", "feature_dim", "device")
    any_scale: ClassVar[bool] = False  # whether samples may go far beyond 1

    feature_size: int = 1
    sampling_rate: int = 16_000
    padding_value: float = 0.0
    padding_side: str = "right"
    return_attention_mask: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        order = self._order()
        if len(args) > len(order):
            raise ArgumentError(f"{type(self).__name__} takes {', '.join(order)}, and got {len(args)} without names.")
        kwargs.update(zip(order, args, strict=False))
        self._take({name: value for name, value in kwargs.items() if name not in _DERIVED})
        for name in set(self.keys()) - self.__dict__.keys():
            setattr(self, name, copy.copy(getattr(type(self), name)))

    @classmethod
    def _order(cls) -> list[str]:
        """The settings in the order of the reference's arguments: those that a class declares come first."""
        known = cls.keys()
        declared = (name for c in cls.__mro__ for name in vars(c).get("__annotations__", {}))
        return [name for name in dict.fromkeys(declared) if name in known]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.keys():
            value = _checked(name, value, getattr(type(self), name))
        super().__setattr__(name, value)

    # ---- calls

    def waves(self, raw_speech: Any, sampling_rate: float | None = None) -> list[Array]:
        """The samples (N,) of one sound or of a list of them, of float32 at the model's rate.

        raw_speech: what `load_audio` takes, or a list of it; (B, N) is a batch. sampling_rate: that of arrays.
        """
        several = raw_speech
        if not isinstance(raw_speech, (str, bytes, bytearray, memoryview, Mapping)):
            numbers = as_numbers(raw_speech)
            if numbers is not None:
                if numbers.ndim == 2 and numbers.shape[1] <= 8 < numbers.shape[0]:
                    raise InputError(
                        f"An array of {numbers.shape} would be {numbers.shape[0]:,} sounds of {numbers.shape[1]} "
                        "samples. Is it one sound with its channels? Then array.mean(1), or [array], is it."
                    )
                several = list(numbers) if numbers.ndim == 2 else [numbers]
                if sampling_rate is None:
                    warn_once(
                        f"{type(self).__name__} takes the sampling rate to be {self.sampling_rate}, as none is given: "
                        "sampling_rate= says what it is."
                    )
            elif not isinstance(raw_speech, (list, tuple)):
                several = [raw_speech]
        else:
            several = [raw_speech]
        if not len(several):
            raise InputError("There are no sounds: the list is empty.")
        return self.each(
            lambda one: samples_of(one, self.sampling_rate, sampling_rate, any_scale=self.any_scale), several
        )

    def each(self, make: Callable[[Any], T], sounds: Sequence[Any]) -> list[T]:
        """What is made of each sound; an error says which one it is about."""
        made = []
        for number, one in enumerate(sounds):
            try:
                made.append(make(one))
            except (InputError, ArgumentError) as error:
                if len(sounds) == 1:
                    raise
                raise type(error)(f"Sound {number} of {len(sounds)} (from 0): {error}") from error
        return made

    def pad(
        self,
        processed_features: Any,
        padding: bool | str | None = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
    ) -> BatchFeature:
        """A batch of what the extractor made of sounds one by one, or of their samples: arrays (B, …) where all rows
        are of one length, and lists of arrays where they are not.

        Args:
            processed_features: {name: list of arrays}, or a list of {name: array}, with the model's first input.
            padding: True or "longest", up to the longest; "max_length", up to that; False, as they are.
            max_length: rows of the longest that is wanted; truncation: cut what is longer.
            pad_to_multiple_of: make the length a multiple of that.
            return_attention_mask: give `attention_mask` (B, N) of int32; the setting where None.
            return_tensors: "pt" or "np"; where None, tensors of tensors, and else arrays.
        """
        features, main = self._columns(processed_features), self.model_input_names[0]
        tensors = any(hasattr(one, "detach") for one in features[main])
        columns = {name: [_array(one) for one in rows] for name, rows in features.items()}
        values, own = columns.pop(main), columns.pop("attention_mask", None)
        masks = [np.ones(len(v), np.int32) for v in values] if own is None else own
        length = self.length(values, padding, max_length, truncation, pad_to_multiple_of)
        if truncation:
            most = multiple(max_length or 0, pad_to_multiple_of)
            values, masks = [v[:most] for v in values], [m[:most] for m in masks]
        if length is not None:
            values = [self._filled(v, length, self.padding_value) for v in values]
            masks = [self._filled(m, length, 0) for m in masks]
        found: dict[str, Any] = {main: values, **columns}
        asked = self.return_attention_mask if return_attention_mask is None else return_attention_mask
        if asked or (own is not None and return_attention_mask is None):
            found["attention_mask"] = masks
        if return_tensors is None and tensors:
            return_tensors = "pt"
        if return_tensors is None:
            found = {name: np.stack(v) if len({x.shape for x in v}) == 1 else v for name, v in found.items()}
        return BatchFeature(found, return_tensors)

    def _columns(self, features: Any) -> dict[str, Any]:
        """{name: rows} of what `pad` is given. Errors: ArgumentError, where it is neither form of a batch."""
        main, name = self.model_input_names[0], type(self).__name__
        if isinstance(features, (list, tuple)):
            for number, row in enumerate(features):
                if not isinstance(row, Mapping) or row.keys() != features[0].keys():
                    what = list(row) if isinstance(row, Mapping) else type(row).__name__
                    raise ArgumentError(
                        f"{name}.pad takes a list of dictionaries that have the same names, such as {main!r}, and row "
                        f"{number} is {what}."
                    )
            features = {key: [row[key] for row in features] for key in (features[0] if features else {})}
        if not isinstance(features, Mapping) or main not in features:
            what = list(features) if isinstance(features, Mapping) else type(features).__name__
            raise ArgumentError(f"{name}.pad needs {main!r}, got {what}.")
        count = len(features[main])
        if not count or not all(hasattr(row, "__len__") and np.ndim(row) for row in features[main]):
            what = "none" if not count else "numbers: [row] makes a batch of one row"
            raise ArgumentError(f"{name}.pad takes the rows of a batch as {main!r}, and got {what}.")
        for key, rows in features.items():
            if len(rows) != count:
                raise ArgumentError(f"{name}.pad got {count} rows of {main!r}, and {len(rows)} of {key!r}.")
        return dict(features)

    def length(
        self, values: list[Array], padding: bool | str | None, most: int | None, truncation: bool, of: int | None
    ) -> int | None:
        """The rows of each of a batch; None where each keeps its own."""
        kind = getattr(padding, "value", padding)
        kind = kind if isinstance(kind, str) else _PADDING.get(kind) if isinstance(kind, (bool, type(None))) else None
        if kind not in _KINDS:
            raise InputError(f"padding must be True, False or one of {', '.join(map(repr, _KINDS))}, got {padding!r}.")
        check_lengths(max_length=most, pad_to_multiple_of=of)
        if most is None and (truncation or kind == "max_length"):
            raise InputError(f"{'truncation=True' if truncation else 'padding=max_length'} needs max_length=.")
        if kind == "do_not_pad":
            return None
        longest = max(len(v) for v in values)
        if truncation and most is not None:
            longest = min(longest, multiple(most, of))
        length = longest if kind == "longest" else (most or 0)
        return multiple(length, of)

    def _filled(self, rows: Array, length: int, value: float) -> Array:
        if (missing := length - len(rows)) <= 0:
            return rows
        check_size(length, math.prod(rows.shape[1:]))
        ends = (0, missing) if self.padding_side == "right" else (missing, 0)
        return np.pad(rows, (ends, *((0, 0),) * (rows.ndim - 1)), constant_values=value)

    # ---- files

    def to_dict(self) -> dict[str, Any]:
        """The settings, as files of every release have them."""
        own = {name: getattr(self, name) for name in sorted(self.keys())}
        return {**self._unknown, **own, "feature_extractor_type": type(self).__name__}

    @classmethod
    def from_dict(cls: type[E], feature_extractor_dict: dict[str, Any], /, **kwargs: Any) -> E:
        """An extractor of a file's values, which keywords override. Values that are no settings are kept."""
        values, known = feature_extractor_dict, {*cls.keys()}
        own = cls(**{name: value for name, value in values.items() if name in known})
        own._unknown = {k: v for k, v in values.items() if k not in (*known, *NOT_SETTINGS, *cls.ignored)}
        own._take(kwargs)
        return own

    @classmethod
    def file_values(cls, name: str | os.PathLike[str], where: dict[str, Any]) -> tuple[dict[str, Any], Path]:
        """The settings of sound in a folder, under a hub name or in a file, and the file that says them."""
        return required_sound_values(name, where)


def _array(rows: Any) -> Array:
    found = np.asarray(rows.detach().cpu() if hasattr(rows, "detach") else rows)
    return found.astype(np.float32) if found.dtype == np.float64 else found


def check_lengths(**given: Any) -> None:
    """InputError for a length that is none; None and 0 stand for no length."""
    for name, value in given.items():
        if value is not None and (not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0):
            raise InputError(f"{name} must be a whole number, got {value!r}.")


def multiple(length: int, of: int | None) -> int:
    """The length, or the next multiple of a number."""
    return length if not of else math.ceil(length / of) * of


def _checked(name: str, value: Any, default: Any) -> Any:
    """A setting's value; InputError for one of another kind."""
    if value is None:
        return None
    if name == "sampling_rate":
        return checked_rate(value)
    if name == "padding_side" and value not in ("right", "left"):
        raise InputError(f"padding_side must be 'right' or 'left', got {value!r}.")
    if isinstance(default, bool):
        right, wanted = isinstance(value, bool), "True or False"
    elif isinstance(default, (int, float)):
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        wanted = "a number"
        if isinstance(default, int) and right:
            right, wanted = 1 <= value <= _MOST and value == int(value), f"a whole number from 1 to {_MOST}"
        elif name == "std" and right:
            right, wanted = value > 0, "above 0"
    else:
        right, wanted = default is None or isinstance(value, type(default)), f"a {type(default).__name__}"
    if not right:
        raise InputError(f"{name} must be {wanted}, got {value!r}.")
    return value


def normalized(wave: Array) -> Array:
    """A wave (N,) less its mean, by its standard deviation."""
    return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
