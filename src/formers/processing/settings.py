"""What the settings of an image processor may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .sizes import as_size
from .transforms import ChannelDimension, PILImageResampling

SIZES = ("size", "crop_size", "pad_size")
FORMATS = ("data_format", "input_data_format")
BACKENDS = ("pil", "torchvision")
_RESAMPLING = {"nearest": 0, "nearest-exact": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


def checked(name: str, value: Any, default: Any, square: bool) -> Any:
    """A setting's value in its one form: sizes as SizeDict, and so on. default: the class's, whose type others have.

    Errors: InputError that names the setting and what it may be.
    """
    if value is None:
        return None
    if name in SIZES:
        return as_size(value, name, square or name != "size")
    if name == "resample":
        return _resampling(value)
    if name in ("image_mean", "image_std"):
        return _per_channel(name, value)
    if name in FORMATS:
        return _format(name, value)
    if name.startswith("do_") or isinstance(default, bool):
        wanted, right = "True or False", isinstance(value, bool)
    elif isinstance(default, int):
        wanted, right = (
            "a whole number, 1 or more",
            isinstance(value, int) and not isinstance(value, bool) and value > 0,
        )
    elif isinstance(default, float):
        wanted, right = "a number above 0", _is_number(value) and value > 0
    elif isinstance(default, Mapping):
        return as_size(value, name)
    else:
        wanted, right = "a text", isinstance(value, str)
    if not right:
        raise InputError(f"{name} must be {wanted}, got {value!r}.")
    return value


def _resampling(value: Any) -> PILImageResampling:
    value = getattr(value, "value", value)
    value = _RESAMPLING.get(value, value) if isinstance(value, str) else value  # torchvision's choices are texts
    try:
        return PILImageResampling(value)
    except ValueError as error:
        known = ", ".join(f"{one.value} ({one.name.lower()})" for one in PILImageResampling)
        raise InputError(f"resample must be one of {known}, got {value!r}.") from error


def _per_channel(name: str, value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    if not numbers or not all(_is_number(one) for one in numbers) or (name == "image_std" and 0 in numbers):
        above = ", not 0" if name == "image_std" else ""
        raise InputError(f"{name} must be a number{above}, or a list with one a channel, got {value!r}.")
    return numbers if isinstance(value, (list, tuple)) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _format(name: str, value: Any) -> ChannelDimension:
    try:
        return ChannelDimension(getattr(value, "value", value))
    except ValueError as error:
        raise InputError(f"{name} must be 'channels_first' or 'channels_last', got {value!r}.") from error
