"""Where images and sounds come from: paths, addresses, bytes, base64 and open files, as a file on disk or in memory."""

from __future__ import annotations

import base64
import binascii
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from ..errors import ArgumentError, InputError, NotFoundError, near

SECONDS = 60.0  # that an address may take, where the caller gives no timeout
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+(?:=\s*){0,2}")
_SHORT = 64  # letters that are nothing in base64, whatever they say
_OTHERS = {  # what files begin with that pass for images and sounds
    "<!doctype html": "a page of HTML: was the {noun}'s address a page about it, or one that refused it?",
    "<html": "a page of HTML: was the {noun}'s address a page about it, or one that refused it?",
    "<svg": "a drawing (SVG): save it as a PNG first.",
    "<?xml": "a drawing or another text in XML: save it as a PNG first.",
    "version https://git-lfs": "git's pointer to a large file: `git lfs pull` fetches the file itself.",
    "%!ps": "a page of PostScript, which is not run here: save it as a PNG first.",
    "%pdf": "a document (PDF): save its pages as PNG files first.",
    "{": "a text in JSON: was it an answer of a server that refused the {noun}?",
}


@dataclass(frozen=True)
class Kind:
    """What a source is to give.

    noun, a: what messages call it, and with its article. others: what may stand for one beside files, for an error.
    most: the bytes that are read of what is no file on disk. on_disk: those of a file on disk; None where it is read in
    pieces.
    """

    noun: str
    a: str
    others: str
    most: int = 256 * 2**20
    on_disk: int | None = 256 * 2**20


def opened(source: Any, kind: Kind, timeout: float | None) -> tuple[Path | BinaryIO, str]:
    """A file on disk or in memory, and what messages call it. timeout: seconds that an address may take, 60 where None.

    Errors: NotFoundError where there is none, InputError for one that is too large, ArgumentError for no source at all.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesIO(source), f"{kind.a.capitalize()} in {len(source):,} bytes"
    if isinstance(source, os.PathLike):
        return _path(os.fspath(source), kind)
    if isinstance(source, str):
        return _text(source, kind, timeout)
    if hasattr(source, "read"):
        return _file(source, kind)
    raise ArgumentError(
        f"{kind.a.capitalize()} is a path, an address, bytes, base64, a binary file, {kind.others}, "
        f"got {type(source).__name__}."
    )


def not_of_kind(source: Path | BinaryIO, name: str, kind: Kind, read: str) -> InputError:
    """The error for a file that is none of the kind: what it begins with, and what is read."""
    head = beginning(source, 256)
    if not head:
        return InputError(f"{name} is empty (0 bytes). Download or save it again.")
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    for start, what in _OTHERS.items():
        if text.startswith(start):
            return InputError(f"{name} is no {kind.noun}, but {what.replace('{noun}', kind.noun)}")
    return InputError(f"{name} is no {kind.noun} that can be read: it begins with {head[:12]!r}. {read}")


def beginning(source: Path | BinaryIO, count: int) -> bytes:
    """The first bytes of a file, of which one in memory is at its beginning then."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(count)
    source.seek(0)
    head = source.read(count)
    source.seek(0)
    return head


def _file(file: Any, kind: Kind) -> tuple[BinaryIO, str]:
    name = f"The file {getattr(file, 'name', type(file).__name__)!r}"
    found = file.read(kind.most + 1)
    if not isinstance(found, bytes):
        raise ArgumentError(f"{name} gives {type(found).__name__}, not bytes: open it with mode 'rb'.")
    return BytesIO(_within(found, name, kind)), name


def _within(found: bytes, name: str, kind: Kind) -> bytes:
    if len(found) > kind.most:
        raise InputError(f"{name} has more than {kind.most:,} bytes, which is the most that is read as {kind.a}.")
    return found


def _path(text: str, kind: Kind) -> tuple[Path, str]:
    name = f"{text!r}"
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            files = ", ".join(sorted(f.name for f in path.iterdir())[:6]) or "nothing"
            raise NotFoundError(f"{name} is a folder, and {kind.a} is a file. In it: {files}.")
        if not path.exists():
            there = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
            more = (
                near(path.name, there) if path.parent.is_dir() else f" There is no folder {str(path.parent)!r} either."
            )
            raise NotFoundError(f"There is no file {name}.{more}")
        if not path.is_file():
            raise NotFoundError(f"{name} is not a regular file, but a device, a pipe or a socket.")
        if kind.on_disk is not None and path.stat().st_size > kind.on_disk:
            raise InputError(f"{name} has more than {kind.on_disk:,} bytes, the most that is read as {kind.a}.")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, (NotFoundError, InputError)):
            raise
        raise NotFoundError(f"There is no file {name[:200]}: {error}.") from error
    return path, name


def _text(text: str, kind: Kind, timeout: float | None) -> tuple[Path | BinaryIO, str]:
    start = text[:8].lower()
    if start.startswith(("http://", "https://")):
        return BytesIO(fetch(text, kind, SECONDS if timeout is None else timeout)), f"What {text!r} gave"
    if start.startswith("data:"):
        return BytesIO(_data(text, kind)), f"The {kind.noun} in a data: address"
    if len(text) > _SHORT and not _is_file(text) and _BASE64.fullmatch(text):
        return BytesIO(_decoded(text, "This text, which looks like base64,", kind)), f"The {kind.noun} in base64"
    return _path(text, kind)


def check_source(source: Any, kind: Kind) -> None:
    """Raise what reading would where there is no such file; quick, so that all of a list can be looked at first."""
    if not isinstance(source, (str, os.PathLike)):
        return
    text = os.fspath(source)
    if isinstance(source, os.PathLike) or not (
        text[:8].lower().startswith(("http://", "https://", "data:"))
        or (len(text) > _SHORT and _BASE64.fullmatch(text))
    ):
        _path(text, kind)


def is_source(text: str) -> bool:
    """Whether a text is an address or the path of a file, and not words."""
    return text[:8].lower().startswith(("http://", "https://", "data:")) or _is_file(text)


def _is_file(text: str) -> bool:
    try:
        return os.path.isfile(os.path.expanduser(text))
    except (OSError, ValueError):  # a NUL, or longer than any path
        return False


def _data(text: str, kind: Kind) -> bytes:
    head, comma, body = text.partition(",")
    if not comma:
        raise InputError(f"{text[:60]!r} is no data: address: data:image/png;base64,… has a comma before its data.")
    if head.lower().rstrip().endswith(";base64"):
        return _decoded(body, "A data: address", kind)
    return _within(unquote_to_bytes(body), "A data: address", kind)


def _decoded(text: str, name: str, kind: Kind) -> bytes:
    if len(text) > kind.most * 4 // 3 + 4:
        raise InputError(f"{name} has more than the {kind.most:,} bytes that are read as {kind.a}.")
    plain = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name} is no base64: {error}. Was it cut? There is no file of that name either.") from error


def fetch(url: str, kind: Kind, seconds: float) -> bytes:
    """What an http(s) address gives, in at most that many seconds and at most `kind.most` bytes.

    Errors: NotFoundError, InputError.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise ArgumentError(f"timeout={seconds!r} is no number of seconds above 0.")
    ends = time.monotonic() + seconds
    try:
        with urlopen(Request(url, headers={"User-Agent": "formers"}), timeout=seconds) as answer:
            return _within(b"".join(_pieces(answer, ends, url, kind)), f"What {url!r} gives", kind)
    except HTTPError as error:
        raise NotFoundError(f"{url!r} cannot be had: the server says {error.code} {error.reason}.") from error
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, (NotFoundError, InputError)):
            raise
        raise NotFoundError(f"{url!r} cannot be had: {getattr(error, 'reason', None) or error}.") from error


def _pieces(answer: Any, ends: float, url: str, kind: Kind) -> Iterator[bytes]:
    size = 0
    while size <= kind.most and (piece := answer.read1(1 << 16)):
        if time.monotonic() > ends:
            raise NotFoundError(f"{url!r} did not give the {kind.noun} in time. timeout= allows more seconds.")
        size += len(piece)
        yield piece
