"""From what stands for an image to the image: paths, addresses, bytes, base64, files, and other libraries' objects.

Only Pillow's decoders of pictures read files: not those that start other programs, as that of EPS does.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote_to_bytes

import numpy as np

from ..errors import ArgumentError, InputError, NotFoundError, near
from ..extra import pillow
from ..logging import warn_once
from .transforms import Picture, as_picture, is_pil, to_pil, to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 256 * 2**20  # of an image's file, wherever it comes from
SECONDS = 60.0  # that an address may take, where the caller gives no timeout
_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF"),
    "WEBP",
)
_ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+(?:=\s*){0,2}")
_SHORT = 64  # letters that are no image in base64, whatever they say
_OTHERS = {  # what files begin with that pass for images
    "<!doctype html": "a page of HTML: was the image's address a page about it, or one that refused it?",
    "<html": "a page of HTML: was the image's address a page about it, or one that refused it?",
    "<svg": "a drawing (SVG): save it as a PNG first.",
    "<?xml": "a drawing or another text in XML: save it as a PNG first.",
    "version https://git-lfs": "git's pointer to a large file: `git lfs pull` fetches the file itself.",
    "%!ps": "a page of PostScript, which is not run here: save it as a PNG first.",
    "%pdf": "a document (PDF): save its pages as PNG files first.",
    "{": "a text in JSON: was it an answer of a server that refused the image?",
}


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
    source, name = _source(image, timeout)
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

    def opened() -> Image:
        try:
            image = pillow().open(source, formats=_formats())
        except pillow().UnidentifiedImageError as error:
            raise _no_image(source, name) from error
        return _rgb(image, own=True, frame=frame, name=name)

    return _guarded(name, opened)


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
    if isinstance(source, Path):
        with open(source, "rb") as file:
            head = file.read(256)
    else:
        source.seek(0)
        head = source.read(256)
    if not head:
        return InputError(f"{name} is empty (0 bytes). Download or save it again.")
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    for start, what in _OTHERS.items():
        if text.startswith(start):
            return InputError(f"{name} is no image, but {what}")
    return InputError(
        f"{name} is no image that can be read: it begins with {head[:12]!r}. Read are {', '.join(_formats())}."
    )


# ---- sources


def _source(image: Any, timeout: float | None) -> tuple[Path | BinaryIO, str]:
    """A file or bytes of what is no picture yet, and what messages call it."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return BytesIO(image), f"An image in {len(image):,} bytes"
    if isinstance(image, os.PathLike):
        return _path(os.fspath(image))
    if isinstance(image, str):
        return _text(image, timeout)
    if hasattr(image, "read"):
        return _file(image)
    raise ArgumentError(
        f"An image is a path, an address, bytes, base64, a binary file, an image of Pillow, an array or a tensor, "
        f"got {type(image).__name__}."
    )


def _file(file: Any) -> tuple[BinaryIO, str]:
    name = f"The file {getattr(file, 'name', type(file).__name__)!r}"
    found = file.read(MOST_BYTES + 1)
    if not isinstance(found, bytes):
        raise ArgumentError(f"{name} gives {type(found).__name__}, not bytes: open it with mode 'rb'.")
    return BytesIO(_within(found, name)), name


def _within(found: bytes, name: str) -> bytes:
    if len(found) > MOST_BYTES:
        raise InputError(f"{name} has more than {MOST_BYTES:,} bytes, which is the most that is read as an image.")
    return found


def _path(text: str) -> tuple[Path, str]:
    name = f"{text!r}"
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            files = ", ".join(sorted(f.name for f in path.iterdir())[:6]) or "nothing"
            raise NotFoundError(f"{name} is a folder, and an image is a file. In it: {files}.")
        if not path.exists():
            there = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
            more = (
                near(path.name, there) if path.parent.is_dir() else f" There is no folder {str(path.parent)!r} either."
            )
            raise NotFoundError(f"There is no file {name}.{more}")
        if not path.is_file():
            raise NotFoundError(f"{name} is not a regular file, but a device, a pipe or a socket.")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{name} has more than {MOST_BYTES:,} bytes, the most that is read as an image.")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, (NotFoundError, InputError)):
            raise
        raise NotFoundError(f"There is no file {name[:200]}: {error}.") from error
    return path, name


def _text(text: str, timeout: float | None) -> tuple[Path | BinaryIO, str]:
    start = text[:8].lower()
    if start.startswith(("http://", "https://")):
        return BytesIO(fetch(text, SECONDS if timeout is None else timeout)), f"What {text!r} gave"
    if start.startswith("data:"):
        return BytesIO(_data(text)), "The image in a data: address"
    if len(text) > _SHORT and not _is_file(text) and _BASE64.fullmatch(text):
        return BytesIO(_decoded(text, "This text, which looks like base64,")), "The image in base64"
    return _path(text)


def check_source(image: Any) -> None:
    """Raise what reading would where there is no such file; quick, so that all of a list can be looked at first."""
    if not isinstance(image, (str, os.PathLike)):
        return
    text = os.fspath(image)
    if isinstance(image, os.PathLike) or not (
        text[:8].lower().startswith(("http://", "https://", "data:"))
        or (len(text) > _SHORT and _BASE64.fullmatch(text))
    ):
        _path(text)


def is_source(text: str) -> bool:
    """Whether a text is the address or the path of an image, and not words about one."""
    return text[:8].lower().startswith(("http://", "https://", "data:")) or _is_file(text)


def _is_file(text: str) -> bool:
    try:
        return os.path.isfile(os.path.expanduser(text))
    except (OSError, ValueError):  # a NUL, or longer than any path
        return False


def _data(text: str) -> bytes:
    head, comma, body = text.partition(",")
    if not comma:
        raise InputError(f"{text[:60]!r} is no data: address: data:image/png;base64,… has a comma before its data.")
    if head.lower().rstrip().endswith(";base64"):
        return _decoded(body, "A data: address")
    return _within(unquote_to_bytes(body), "A data: address")


def _decoded(text: str, name: str) -> bytes:
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        raise InputError(f"{name} has more than the {MOST_BYTES:,} bytes that are read as an image.")
    plain = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name} is no base64: {error}. Was it cut? There is no file of that name either.") from error


def fetch(url: str, seconds: float) -> bytes:
    """What an http(s) address gives, in at most that many seconds and MOST_BYTES. Errors: NotFoundError, InputError."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise ArgumentError(f"timeout={seconds!r} is no number of seconds above 0.")
    ends = time.monotonic() + seconds
    try:
        with urlopen(Request(url, headers={"User-Agent": "formers"}), timeout=seconds) as answer:
            return _within(b"".join(_pieces(answer, ends, url)), f"What {url!r} gives")
    except HTTPError as error:
        raise NotFoundError(f"{url!r} cannot be had: the server says {error.code} {error.reason}.") from error
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, (NotFoundError, InputError)):
            raise
        raise NotFoundError(f"{url!r} cannot be had: {getattr(error, 'reason', None) or error}.") from error


def _pieces(answer: Any, ends: float, url: str) -> Iterator[bytes]:
    size = 0
    while size <= MOST_BYTES and (piece := answer.read1(1 << 16)):
        if time.monotonic() > ends:
            raise NotFoundError(f"{url!r} did not give the image in time. timeout= allows more seconds.")
        size += len(piece)
        yield piece
