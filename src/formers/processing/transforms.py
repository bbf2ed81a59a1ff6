"""What is done to one image: resizing, cropping, padding, and from bytes to numbers.

An image on its way is either Pillow's (of 8 bits: L, RGB or RGBA) or an array (channels, height, width). Letters:
C channels, H height, W width.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import Enum, IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import InputError
from ..extra import pillow

if TYPE_CHECKING:
    from PIL.Image import Image

Array: TypeAlias = np.ndarray[Any, Any]
Picture: TypeAlias = "Image | Array"

IMAGENET_DEFAULT_MEAN = [0.485, 0.456, 0.406]
IMAGENET_DEFAULT_STD = [0.229, 0.224, 0.225]
IMAGENET_STANDARD_MEAN = [0.5, 0.5, 0.5]
IMAGENET_STANDARD_STD = [0.5, 0.5, 0.5]
OPENAI_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]

_BYTES = ("L", "RGB", "RGBA")
_MOST_PIXELS = 1 << 28  # of what an image is resized to: a settings file may say anything


class PILImageResampling(IntEnum):
    """How pixels are made of others: Pillow's numbers, which are those of the settings files."""

    NEAREST = 0
    LANCZOS = 1
    BILINEAR = 2
    BICUBIC = 3
    BOX = 4
    HAMMING = 5


class ChannelDimension(str, Enum):
    """Where an array has its channels."""

    FIRST = "channels_first"
    LAST = "channels_last"


# torch's own names of those that it resizes bytes by as torchvision does; the others are Pillow's
_OF_TORCH = {PILImageResampling.BILINEAR: "bilinear", PILImageResampling.BICUBIC: "bicubic"}


def is_pil(image: Any) -> bool:
    """Whether it is an image of Pillow, which is not imported to tell."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(image).__mro__)


def size_of(picture: Picture) -> tuple[int, int]:
    """Height and width."""
    return picture.shape[-2:] if isinstance(picture, np.ndarray) else (picture.height, picture.width)


def channels_of(picture: Picture) -> int:
    """The number of channels."""
    return int(picture.shape[0]) if isinstance(picture, np.ndarray) else len(picture.getbands())


def as_array(picture: Picture) -> Array:
    """(C, H, W), in the image's own numbers."""
    if isinstance(picture, np.ndarray):
        return picture
    array = np.asarray(picture)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def as_picture(image: Any, channels: str | ChannelDimension | None = None) -> Picture:
    """An image of Pillow or an array as this module handles it. channels: where an array has them, found if None."""
    if is_pil(image):
        picture: Picture = image if image.mode in _BYTES else as_array(image)
    else:
        picture = _channels_first(image, channels)
    if 0 in size_of(picture):
        raise InputError(f"An image of {size_of(picture)[0]} × {size_of(picture)[1]} (height × width) has no pixels.")
    return picture


def _channels_first(array: Array, channels: str | ChannelDimension | None) -> Array:
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"An image is an array of numbers, got one of {array.dtype}; array.astype('uint8') makes bytes of it."
        )
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise InputError(
            f"An image is an array of 2 or 3 dimensions, got the shape {array.shape}: (channels, height, width) or "
            "(height, width, channels)."
        )
    known = (1, 3, 4)
    if channels is None and array.shape[0] not in known and array.shape[2] not in known:
        raise InputError(
            f"An array of the shape {array.shape} has 1, 3 or 4 channels neither first nor last: is it an image? "
            "input_data_format='channels_first' or 'channels_last' says where they are."
        )
    last = array.shape[0] not in known if channels is None else ChannelDimension(channels) is ChannelDimension.LAST
    return array.transpose(2, 0, 1) if last else array


def is_scaled(picture: Picture) -> bool:
    """Whether pixels are floats from 0 to 1."""
    if not isinstance(picture, np.ndarray) or picture.dtype.kind != "f":
        return False
    return bool(picture.min() >= 0 and 0 < picture.max() <= 1)


def to_pil(array: Array) -> tuple[Image, bool]:
    """Pillow's image of (C, H, W), and whether its numbers, floats from 0 to 1, were multiplied by 255.

    Errors: InputError for numbers that are neither these nor whole ones from 0 to 255.
    """
    scaled = array.dtype != np.uint8 and not _whole(array)
    if array.shape[0] not in (1, 2, 3, 4):
        raise InputError(f"An image of {array.shape[0]} channels cannot be resized: 1 to 4 can.")
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        most = 1 if scaled else 255
        if not (low >= 0 and high <= most):
            raise InputError(
                f"Pixels from {low:.4g} to {high:.4g} cannot be resized: they are whole numbers from 0 to 255, or "
                "numbers from 0 to 1. Are they normalized already? Then give do_resize=False."
            )
        array = (array.astype(np.float64) * 255).astype(np.float32) if scaled else array
        array = array.astype(np.uint8)
    rows = array.transpose(1, 2, 0)
    return pillow().fromarray(np.ascontiguousarray(rows[..., 0] if rows.shape[2] == 1 else rows)), scaled


def _whole(array: Array) -> bool:
    if array.dtype.kind in "iub":
        return True
    if not np.isfinite(array).all():
        raise InputError("An image's pixels must be finite numbers; some are NaN or infinite.")
    return bool(np.allclose(array, array.astype(np.int64)))


def to_rgb(picture: Picture) -> Picture:
    """Three channels: grey is repeated, what is transparent shows white."""
    if isinstance(picture, np.ndarray):
        return _array_to_rgb(picture)
    if "A" in picture.getbands() or picture.info.get("transparency") is not None:
        layer = picture.convert("RGBA")
        white = pillow().new("RGBA", picture.size, (255, 255, 255, 255))
        return pillow().alpha_composite(white, layer).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _array_to_rgb(array: Array) -> Array:
    if array.shape[0] == 1:
        return np.repeat(array, 3, axis=0)
    if array.shape[0] != 4:
        return array
    if array.dtype.kind == "f" and (array.min() < 0 or array.max() > 1):
        raise InputError(f"Pixels with an alpha channel are bytes or from 0 to 1, got {array.min()} to {array.max()}.")
    white: Any = 1.0 if array.dtype.kind == "f" else 255
    alpha = array[3:] / white
    mixed = alpha * array[:3] + (1 - alpha) * white
    return (np.round(mixed) if white == 255 else mixed).astype(array.dtype)


def resize(picture: Picture, size: tuple[int, int], resample: int, backend: str = "pil") -> Picture:
    """To a height and width. backend: "pil", Pillow's filters; or "torchvision", torch's antialiased ones, which are
    torchvision's, for bilinear and bicubic."""
    height, width = size
    _check_made("resized to", size, size_of(picture))
    if backend == "torchvision" and resample in _OF_TORCH:
        return _resize_by_torch(as_array(picture), size, _OF_TORCH[PILImageResampling(resample)])
    if not isinstance(picture, np.ndarray):
        return picture.resize((width, height), resample)
    image, scaled = to_pil(picture)
    array = as_array(image.resize((width, height), resample))
    return (array.astype(np.float64) * (1 / 255)).astype(np.float32) if scaled else array


def _check_made(what: str, size: tuple[int, int], own: tuple[int, int]) -> None:
    """Raise InputError for a height and width that no image is to have: settings files may say anything."""
    if min(size) < 1 or size[0] * size[1] > _MOST_PIXELS:
        raise InputError(
            f"An image of {own[0]} × {own[1]} would be {what} {size[0]} × {size[1]} (height × width), which is not "
            f"from 1 to {_MOST_PIXELS:,} pixels: see the size, crop_size or pad_size, and is the image that narrow?"
        )


def _resize_by_torch(array: Array, size: tuple[int, int], mode: str) -> Array:
    import torch

    if tuple(array.shape[1:]) == size:
        return array
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"backend='torchvision' resizes bytes and floats, got {array.dtype}: array.astype('uint8')?")
    rows = torch.from_numpy(_writable(array))
    resized = torch.nn.functional.interpolate(rows[None], size, mode=mode, antialias=True, align_corners=False)[0]
    return resized.numpy()


def _writable(array: Array) -> Array:
    """The array as torch takes it without a warning, for what only reads it; it must outlive what is made of this.

    Pillow's memory is read-only, and copying it takes longer than resizing.
    """
    if array.flags.writeable and min(array.strides) >= 0:
        return array
    rows = array.transpose(1, 2, 0)
    if not rows.flags.c_contiguous:
        return array.copy()
    memory: Any = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    return np.frombuffer(memory, array.dtype).reshape(rows.shape).transpose(2, 0, 1)


def center_crop(picture: Picture, size: tuple[int, int], backend: str = "pil") -> Picture:
    """The middle, of that height and width; zeros around an image that is smaller."""
    (height, width), (own_height, own_width) = size, size_of(picture)
    _check_made("cropped to", size, size_of(picture))
    if backend == "torchvision":  # half a pixel more goes to the other side there
        top, left = (_start(own, new) for own, new in ((own_height, height), (own_width, width)))
    else:
        top, left = (own_height - height) // 2, (own_width - width) // 2
    if not isinstance(picture, np.ndarray):
        return picture.crop((left, top, left + width, top + height))
    above, before = max(0, -top), max(0, -left)
    inner = picture[:, max(0, top) : top + height, max(0, left) : left + width]
    if inner.shape[1:] == size:
        return inner
    canvas = np.zeros((picture.shape[0], height, width), picture.dtype)
    canvas[:, above : above + inner.shape[1], before : before + inner.shape[2]] = inner
    return canvas


def _start(own: int, new: int) -> int:
    return int((own - new) / 2) if new <= own else -((new - own) // 2)


def to_numbers(
    picture: Picture,
    scale: float | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    backend: str = "pil",
) -> Array:
    """(C, H, W): pixels times `scale`, less each channel's mean, by its std; what is None is not done.

    Bytes have 256 values, so that they are looked up; the floats are those of computing each, in the backend's order.
    Errors: InputError where there are not as many means as channels.
    """
    array, channels = as_array(picture), channels_of(picture)
    if scale is None and mean is None:
        return np.ascontiguousarray(array)
    means, stds = (None if x is None else _of_channels(x, channels) for x in (mean, std))
    if array.dtype != np.uint8:
        return np.ascontiguousarray(_computed(array, scale, means, stds, backend), dtype=np.float32)
    tables = _tables(scale, means, stds, backend)
    numbers = np.empty(array.shape, np.float32)
    for channel, table in enumerate(np.broadcast_to(tables, (channels, 256))):
        np.take(table, array[channel], out=numbers[channel], mode="clip")  # bytes cannot miss; this is not buffered
    return numbers


def _of_channels(values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    found = (float(values),) * channels if isinstance(values, (int, float)) else tuple(map(float, values))
    if len(found) != channels:
        raise InputError(
            f"An image has {channels} channel{'s' * (channels > 1)} and the settings are for {len(found)} (image_mean="
            f"{list(found)}). "
            + (
                "do_convert_rgb=True, or image.convert('RGB'), makes it three."
                if len(found) == 3
                else "image.convert('L') makes it one."
            )
        )
    return found


@lru_cache(maxsize=64)
def _tables(
    scale: float | None, means: tuple[float, ...] | None, stds: tuple[float, ...] | None, backend: str
) -> Array:
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 256)
    channels = len(means) if means else 1
    tables = _computed(np.repeat(values, channels, axis=0), scale, means, stds, backend).reshape(channels, 256)
    tables.flags.writeable = False
    return tables


def _computed(
    array: Array,
    scale: float | None,
    means: tuple[float, ...] | None,
    stds: tuple[float, ...] | None,
    backend: str,
) -> Array:
    """(C, H, W) times `scale`, and normalized, with every rounding of the reference's backend."""
    if backend == "torchvision":
        array = array.astype(np.float32)
        if means is None or stds is None:
            return array * np.float32(scale or 1)
        by = np.float32(1.0 / scale) if scale is not None else np.float32(1)
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (means, stds))
        return (array - mean * by) / (std * by)
    if scale is not None:
        array = (array.astype(np.float64) * scale).astype(np.float32)
    if means is None or stds is None:
        return array
    array = array if array.dtype.kind == "f" else array.astype(np.float32)
    mean, std = (np.array(values, array.dtype)[:, None, None] for values in (means, stds))
    return (array - mean) / std


def pad(arrays: Sequence[Array], size: tuple[int, int] | None = None, value: float = 0) -> list[Array]:
    """Arrays (C, H, W) with `value` below and on the right up to a height and width, the largest where None."""
    height, width = size or (max(a.shape[-2] for a in arrays), max(a.shape[-1] for a in arrays))
    padded = []
    for array in arrays:
        below, after = height - array.shape[-2], width - array.shape[-1]
        if below < 0 or after < 0:
            raise InputError(
                f"An image of {array.shape[-2]} × {array.shape[-1]} (height × width) is larger than the {height} × "
                f"{width} that it is to be padded to: give a larger pad_size, or resize it."
            )
        around = ((0, 0), (0, below), (0, after))
        _check_made("padded to", (height, width), (array.shape[-2], array.shape[-1]))
        padded.append(np.pad(array, around, constant_values=value) if below or after else array)
    return padded


def pixel_mask(own: tuple[int, int], size: tuple[int, int]) -> Array:
    """(H, W) of int64: 1 where a padded image is, 0 where the padding is."""
    mask = np.zeros(size, np.int64)
    mask[: own[0], : own[1]] = 1
    return mask
