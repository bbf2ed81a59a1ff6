"""CTranslate2's model.bin, as faster-whisper's checkpoints have it: a head, variables one after the other, aliases.

    version  name of the form  revision  count │ name  rank  sizes  type  bytes  data │ … │ count │ alias  name │ …
       6       "WhisperSpec"       3      148

Numbers are little-endian; a text is its length in two bytes, which counts a closing NUL, and then that many bytes.
Source: https://github.com/OpenNMT/CTranslate2, `Model.load` in src/models/model.cc.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ..errors import CheckpointError
from .tensor import LazyTensor, MappedFile, is_shape

_VERSIONS = (4, 5, 6)
_TYPES = {0: torch.float32, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.float16, 5: torch.bfloat16}
_MOST = 100_000  # variables; the largest Whisper has some thousand
_MOST_DIMENSIONS = 8


def matches(file: MappedFile) -> bool:
    """Whether the file begins with a version, and the name of a form, which ends with "Spec"."""
    if file.size < 8 or int.from_bytes(file.data[:4], "little") not in _VERSIONS:
        return False
    length = int.from_bytes(file.data[4:6], "little")
    return 5 < length < 100 and bool(file.data[6 : 6 + length][-5:] == b"Spec\0")


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The file's variables by name, and their aliases. Errors: CheckpointError for a file that is broken."""
    return contents(file)[1]


def contents(file: MappedFile) -> tuple[str, dict[str, LazyTensor]]:
    """The name of the file's form ("WhisperSpec"), and its variables, as `read` gives them."""
    reader = _Reader(file)
    form, _ = reader.text("its head"), reader.number("I", "its head")
    found: dict[str, LazyTensor] = {}
    for _ in range(reader.count("variables")):
        variable = reader.variable()
        if variable.name in found:
            raise file.broken(f"the variable {variable.name[:200]!r} is in it twice")
        found[variable.name] = variable
    for _ in range(reader.count("aliases")):
        alias, name = reader.text("an alias"), reader.text("an alias")
        if name not in found or alias in found:
            raise file.broken(f"its alias {alias[:200]!r} of {name[:200]!r} is of nothing, or the name of another")
        found[alias] = replace(found[name], name=alias)
    return form, found


class _Reader:
    """Goes through a file: `at` is the next byte."""

    def __init__(self, file: MappedFile) -> None:
        self.file, self.at = file, 4

    def number(self, kind: str, what: str) -> int:
        (found,) = struct.unpack(f"<{kind}", self.take(struct.calcsize(kind), what))
        return int(found)

    def count(self, what: str) -> int:
        found = self.number("I", f"the count of {what}")
        if found > _MOST:
            raise self.file.broken(f"it counts {found:,} {what}, and {_MOST:,} are read")
        return found

    def text(self, what: str) -> str:
        raw = self.take(self.number("H", what), what)
        try:
            return raw.removesuffix(b"\0").decode()
        except UnicodeDecodeError as error:
            raise self.file.broken(f"{what} has a text that is no UTF-8: {raw[:40]!r}") from error

    def take(self, size: int, what: str) -> bytes:
        if self.at + size > self.file.size:
            raise self.file.broken(f"{what} ends at byte {self.at + size:,}")
        self.at += size
        return bytes(self.file.data[self.at - size : self.at])

    def variable(self) -> LazyTensor:
        name = self.text("a variable's name")
        what = f"the variable {name[:200]!r}"
        rank = self.number("B", what)
        if rank > _MOST_DIMENSIONS:
            raise self.file.broken(f"{what} has {rank} dimensions; {_MOST_DIMENSIONS} are read")
        shape = tuple(self.number("I", what) for _ in range(rank))
        kind, size = self.number("B", what), self.number("I", what)
        dtype: Any = _TYPES.get(kind)
        if dtype is None:
            raise CheckpointError(f"{str(self.file.path)!r}: {what} is of type {kind}, which cannot be read.")
        if not is_shape(shape) or math.prod(shape) * dtype.itemsize != size:
            raise self.file.broken(f"{what} has {size:,} bytes, which are not {shape} numbers of {dtype}")
        start, self.at = self.at, self.at + size
        if self.at > self.file.size:
            raise self.file.broken(f"{what} ends at byte {self.at:,}")
        return LazyTensor(name, shape, dtype, self.file.path, partial(self.file.tensor, start, dtype, shape))
