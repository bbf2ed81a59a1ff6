"""What the tasks on sounds share: what counts as a sound, and reading several at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ArgumentError, InputError, NotFoundError
from ..processing.hearing import check_sound, samples_of
from ..processing.transforms import Array
from .base import Pipeline
from .failures import place

# the keys of a dictionary that stands for a sound
KEYS = ("raw", "array", "bytes", "path")


class SoundPipeline(Pipeline):
    """A task on sounds; see Pipeline for the arguments.

    A sound is a path, an http(s) URL, base64, bytes, a binary file, an array or a tensor (N,) or with channels, at the
    model's rate; {"raw" or "array": …, "sampling_rate": …} at any rate; or what a column of datasets gives. Those of a
    list are read in threads.

    Args:
        feature_extractor: what makes the model's inputs of sounds.
        timeout: seconds to wait for a URL.
    """

    by_tokens = True
    read_at_once = 64

    def __init__(self, model: Any, tokenizer: Any = None, feature_extractor: Any = None, **kwargs: Any) -> None:
        processor = kwargs.get("processor")
        found = feature_extractor or getattr(processor, "feature_extractor", None)
        tokenizer = tokenizer or getattr(processor, "tokenizer", None)
        if not callable(found) or not hasattr(found, "sampling_rate"):
            raise ArgumentError(
                f"{type(self).__name__} needs a feature extractor of sound, got {found!r}. Pass feature_extractor="
                "AutoFeatureExtractor.from_pretrained(…), or use pipeline(…), which loads it by name."
            )
        super().__init__(model, tokenizer, feature_extractor=found, **kwargs)

    @property
    def sampling_rate(self) -> int:
        """Samples a second that the model is for."""
        rate: int = self.feature_extractor.sampling_rate
        return rate

    def _kind(self, inputs: Any) -> str:
        if isinstance(inputs, list | tuple):
            return "list"
        if isinstance(inputs, str | Mapping) or sound(inputs):
            return "one"
        iterable = hasattr(inputs, "__iter__") or (hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"))
        return "stream" if iterable else "one"

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise NotFoundError or InputError for a sound whose file is not there; see Pipeline.check_input."""
        if item is None:
            raise InputError(f"{name} is None; a sound is needed.")
        if isinstance(item, Mapping) and all(item.get(key) is None for key in KEYS):
            raise InputError(
                f"{name} has {list(item)}: a dictionary that stands for a sound has 'raw' or 'array' beside "
                "'sampling_rate', or 'bytes' or 'path'."
            )
        try:
            check_sound(item)
        except NotFoundError as error:
            raise error if name == place(None, 0) else NotFoundError(f"{name}: {error}") from error

    def wave(self, item: Any, timeout: float | None = None) -> Array:
        """The samples (N,) of one sound, at the model's rate."""
        return samples_of(item, self.sampling_rate, timeout=timeout, any_scale=bool(self._any_scale()))

    def _any_scale(self) -> bool:
        """Whether samples may go far beyond 1, as what normalizes them takes them."""
        return bool(getattr(self.feature_extractor, "any_scale", False))

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        return self.model(**model_inputs, **parameters)


def sound(item: Any) -> bool:
    """Whether it can be nothing but one sound: bytes, a path that is no str, a file, an array, a decoder."""
    single = isinstance(item, bytes | bytearray | memoryview | os.PathLike | Tensor | np.ndarray)
    return single or hasattr(item, "__array__") or hasattr(item, "read") or hasattr(item, "get_all_samples")
