"""From what stands for an image to the image: paths, addresses, bytes, base64, files, and other libraries' objects.

Only Pillow's decoders of pictures read files: not those that start other programs, as that of EPS does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import ArgumentError, InputError, NotFoundError
from ..extra import pillow
from ..logging import warn_once
from .sources import Kind, not_of_kind, opened
from .transforms import Picture, as_picture, is_pil, to_pil, to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE = Kind("image", "an image", "an image of Pillow, an array or a tensor")
_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF"),
    "WEBP",
)
_ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held


def load_image(image: Any, timeout: float | None = None, *, frame: int | None = None) -> Image:
    """The picture that `image` stands for, upright (its EXIF orientation is applied) and in RGB.

    Args:
        image: a path, an http(s) address, a data: address, base64, bytes, a binary file, an image of Pillow, or an
            array or tensor (channels first or last; bytes, or floats from 0 to 1).
        timeout: seconds that an address may take, 60 where None; it may have 256 MiB.
        frame: which picture of an animation or of a file of many pages, from 0; the first one where None.

    Errors: NotFoundError where there is no such file, or the address cannot be had; InputError for what is no image,
    is damaged, has no pixels, or more than Pillow's limit against hostile files (PIL.Image.MAX_IMAGE_PIXELS).
    """
    if is_pil(image):
        return _guarded("This image", lambda: _rgb(image, own=False, frame=frame))
    if (array := as_numpy(image)) is not None:
        picture = as_picture(array)
        made = to_pil(picture)[0] if isinstance(picture, np.ndarray) else picture
        return made.convert("RGB")
    source, name = opened(image, IMAGE, timeout)
    return read(source, name, frame)


def picture_of(image: Any, timeout: float | None = None, channels: Any = None, rgb: bool = False) -> Picture:
    """What a processor works on: images of Pillow and arrays as they are, anything else as `load_image` reads it.

    rgb: make three channels, which for an image of Pillow depends on its mode: arrays do not tell CMYK from RGBA.
    """
    array = None if is_pil(image) else as_numpy(image)
    if array is not None:
        picture = as_picture(array, channels)
        return to_rgb(picture) if rgb else picture
    if not is_pil(image):
        image = load_image(image, timeout)
    else:
        _guarded("This image", image.load)
        if image.info.get("exif") and image.getexif().get(_ORIENTATION, 1) != 1:
            warn_once(
                "An image is to be turned, as its EXIF orientation says, and is taken as it is: load_image(image) "
                "turns it, and so does giving its path."
            )
    if rgb:
        _warn_of_depth(image, "An image")
        image = _guarded("This image", lambda: to_rgb(image))
    return as_picture(image)


def as_numpy(image: Any) -> np.ndarray[Any, Any] | None:
    """The array of an array or a tensor, on whatever device; None for anything else."""
    if isinstance(image, np.ndarray):
        return image
    if hasattr(image, "detach") and hasattr(image, "cpu"):
        tensor = image.detach().cpu()
        return np.asarray(tensor.float() if "bfloat16" in str(tensor.dtype) else tensor)
    return np.asarray(image) if hasattr(image, "__array__") and not is_pil(image) else None


def read(source: Path | BinaryIO, name: str, frame: int | None = None) -> Image:
    """The picture in a file, upright and in RGB. name: what messages call it."""

    def upright() -> Image:
        try:
            image = pillow().open(source, formats=_formats())
        except pillow().UnidentifiedImageError as error:
            raise _no_image(source, name) from error
        return _rgb(image, own=True, frame=frame, name=name)

    return _guarded(name, upright)


def _guarded(name: str, run: Callable[[], Any]) -> Any:
    """What `run` gives; what Pillow raises, by its own rules or by a decoder's luck with a damaged file, is an
    InputError that names the image."""
    try:
        return run()
    except (InputError, NotFoundError, ArgumentError, MemoryError, ImportError):
        raise
    except pillow().DecompressionBombError as error:
        raise InputError(f"{name} is refused: {error} {_LIMIT}") from error
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise NotFoundError(f"{name} cannot be read: {error.strerror}.") from error
        raise _damaged(name, error) from error
    except Exception as error:  # decoders raise whatever they stumble over: SyntaxError, struct.error, KeyError …
        raise _damaged(name, error) from error


_LIMIT = "Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS, guards against hostile files: raise it for images that you trust."


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"{name} is damaged or cut short: {error or type(error).__name__}. Download or save it again.")


def _rgb(image: Any, own: bool, frame: int | None, name: str = "This image") -> Image:
    """`image` upright and in RGB. own: whether it may be changed."""
    _check_pixels(image, name)
    image = _framed(image, frame, name)
    if image.getexif().get(_ORIENTATION, 1) != 1:
        turned = pillow("ImageOps").exif_transpose(image, in_place=own)
        image = image if own else turned
    image.load()
    _warn_of_depth(image, name)
    return image if image.mode == "RGB" else image.convert("RGB")


def _warn_of_depth(image: Any, name: str) -> None:
    if image.mode.startswith(("I", "F")):
        warn_once(
            f"{name} has more than 8 bits a pixel (mode {image.mode}): values above 255 become white. "
            "Divide them first if that is not meant."
        )


def _check_pixels(image: Any, name: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"{name} has no pixels: it is {height} × {width} (height × width).")
    most = pillow().MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise InputError(
            f"{name} has {width * height:,} pixels, {height} × {width}, more than the {most:,} that are read. {_LIMIT}"
        )


def _framed(image: Any, frame: int | None, name: str) -> Any:
    if frame is None and not (image.format not in ("MPO", None) and getattr(image, "is_animated", False)):
        return image
    count = getattr(image, "n_frames", 1)
    if frame is None:
        warn_once(f"{name} holds {count} pictures, frames or pages: the first one, 0, is read. frame= takes another.")
        return image
    if isinstance(frame, bool) or not isinstance(frame, int) or not -count <= frame < count:
        raise InputError(f"{name} has no frame {frame!r}: it has {count}, from 0 to {count - 1}.")
    if count > 1:
        image.seek(frame % count)
    return image


@cache
def _formats() -> list[str]:
    image = pillow()
    image.init()
    return [name for name in _FORMATS if name in image.OPEN]


def _no_image(source: Path | BinaryIO, name: str) -> InputError:
    return not_of_kind(source, name, IMAGE, f"Read are {', '.join(_formats())}.")
