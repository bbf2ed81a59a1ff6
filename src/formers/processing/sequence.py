"""Feature extractors: from sounds of any kind to what a model reads.

    sound ─ hearing ─▶ (N,) samples at the model's rate ─ features ─▶ input_values or input_features, and a mask

A family's extractor is a class with other settings and its own `features`.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..errors import ArgumentError, InputError
from ..logging import warn_once
from .configured import NOT_SETTINGS, Configured
from .feature import BatchFeature
from .files import required_sound_values
from .hearing import as_numbers, checked_rate, samples_of
from .transforms import Array

E = TypeVar("E", bound="SequenceFeatureExtractor")
_PADDING = {True: "longest", False: "do_not_pad", None: "do_not_pad"}
_KINDS = ("longest", "max_length", "do_not_pad")
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
        kwargs.update(zip(self.keys(), args, strict=False))
        self._take({name: value for name, value in kwargs.items() if name not in _DERIVED})
        for name in set(self.keys()) - self.__dict__.keys():
            setattr(self, name, copy.copy(getattr(type(self), name)))

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
        made = []
        for number, one in enumerate(several):
            try:
                made.append(samples_of(one, self.sampling_rate, sampling_rate, any_scale=self.any_scale))
            except InputError as error:
                if len(several) == 1:
                    raise
                raise type(error)(f"Sound {number} of {len(several)} (from 0): {error}") from error
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
        """A batch of one length, of what the extractor made of sounds one by one, or of their samples.

        Args:
            processed_features: {name: list of arrays}, or a list of {name: array}, with the model's first input.
            padding: True or "longest", up to the longest; "max_length", up to that; False, as they are.
            max_length: rows of the longest that is wanted; truncation: cut what is longer.
            pad_to_multiple_of: make the length a multiple of that.
            return_attention_mask: give `attention_mask` (B, N) of int32; the setting where None.
            return_tensors: "pt" or "np"; lists of arrays where None.
        """
        if isinstance(processed_features, (list, tuple)):
            rows = processed_features
            processed_features = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
        main = self.model_input_names[0]
        if main not in processed_features:
            raise ArgumentError(f"{type(self).__name__}.pad needs {main!r}, got {list(processed_features)}.")
        values = [_array(one) for one in processed_features[main]]
        own = processed_features.get("attention_mask")
        masks = [np.ones(len(v), np.int32) for v in values] if own is None else [_array(m) for m in own]
        length = self.length(values, padding, max_length, truncation, pad_to_multiple_of)
        if truncation:
            most = multiple(max_length or 0, pad_to_multiple_of)
            values, masks = [v[:most] for v in values], [m[:most] for m in masks]
        if length is not None:
            values = [self._filled(v, length, self.padding_value) for v in values]
            masks = [self._filled(m, length, 0) for m in masks]
        elif pad_to_multiple_of:
            values = [self._filled(v, multiple(len(v), pad_to_multiple_of), self.padding_value) for v in values]
        others = processed_features.keys() - {main, "attention_mask"}
        rest = {name: [_array(one) for one in processed_features[name]] for name in others}
        found: dict[str, Any] = {main: values, **rest}
        asked = self.return_attention_mask if return_attention_mask is None else return_attention_mask
        if asked or (own is not None and return_attention_mask is None):
            found["attention_mask"] = masks
        if return_tensors is None and any(hasattr(one, "detach") for one in processed_features[main]):
            return_tensors = "pt"
        return BatchFeature(found, return_tensors)

    def length(
        self, values: list[Array], padding: bool | str | None, most: int | None, truncation: bool, of: int | None
    ) -> int | None:
        """The rows of each of a batch; None where each keeps its own."""
        kind = getattr(padding, "value", padding)
        kind = kind if isinstance(kind, str) else _PADDING[kind]
        if kind not in _KINDS:
            raise InputError(f"padding must be True, False or one of {', '.join(map(repr, _KINDS))}, got {padding!r}.")
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
        if isinstance(default, int) and right and name not in ("top_db", "frequency_min"):
            right, wanted = value == int(value) and value > 0, "a whole number, 1 or more"
    else:
        right, wanted = default is None or isinstance(value, type(default)), f"a {type(default).__name__}"
    if not right:
        raise InputError(f"{name} must be {wanted}, got {value!r}.")
    return value


def normalized(wave: Array) -> Array:
    """A wave (N,) less its mean, by its standard deviation."""
    return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
