"""GGUF, the format of llama.cpp: keys and values about the model, a table of tensors, then their data.

    "GGUF"  version  counts │ key type value …                    │ name sizes type offset … │ padding │ data
                            │ general.architecture 8 "llama"      │ blk.0.attn_q.weight …    │
                            │ tokenizer.ggml.tokens 9 8 49152 …   │                          │

Data begins at a multiple of `general.alignment`, and offsets count from there. Sizes stand in the reverse of torch's
order.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from . import ggml
from .tensor import LazyTensor, MappedFile, is_shape

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 4
_MOST_KEYS = 10_000  # published files have some tens
_MOST_ITEMS = 3_000_000  # in all lists together; a vocabulary is three lists of some hundred thousand
_MOST_TEXT = 10_000_000  # bytes of one text; chat templates are the longest
_MOST_ALIGNMENT = 2**20

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_LENGTH = struct.Struct("<Q")


def matches(file: MappedFile) -> bool:
    """Whether the file begins with the letters GGUF."""
    return bool(file.data[:4] == _MAGIC)


def read(file: MappedFile, dtype: torch.dtype = torch.float32) -> dict[str, LazyTensor]:
    """The file's tensors by name; those that are stored in blocks of integers load as `dtype`.

    Errors: CheckpointError for a file that is broken, and for tensors of a type that is not read.
    """
    return contents(file, dtype)[1]


def contents(file: MappedFile, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Any], dict[str, LazyTensor]]:
    """The file's keys with their values, and its tensors. Lists of texts (vocabularies) stay bytes."""
    header = _Header(file)
    values = header.metadata(texts=False)
    return values, _tensors(file, header, _alignment(file, values), dtype)


def metadata(file: MappedFile) -> dict[str, Any]:
    """The file's keys with their values: numbers, truths, texts, and lists of these. Errors: CheckpointError."""
    return _Header(file).metadata()


class _Header:
    """Reads the part before the data, from its begin to its end: `at` is the next byte."""

    def __init__(self, file: MappedFile) -> None:
        self.file, self.at = file, 8
        if file.size < 24:
            raise file.broken("a GGUF file has a header of 24 bytes at least")
        (version,) = struct.unpack_from("<I", file.data, 4)
        if version not in _VERSIONS:
            known = f"{str(file.path)!r} is a GGUF file of version"
            if int.from_bytes(file.data[4:8], "big") in _VERSIONS:
                raise CheckpointError(
                    f"{known} {version >> 24}, big-endian, which cannot be read; get a little-endian one."
                )
            raise CheckpointError(
                f"{known} {version}; versions 2 and 3 can be read. Get one that llama.cpp wrote later."
            )
        self.tensors, self.keys = self._number("Q", "its header"), self._number("Q", "its header")
        most = 50_000 + file.size // 1000  # each is checked, which takes its time
        if self.tensors > most:
            raise file.broken(
                f"its header counts {self.tensors:,} tensors, and a file of this size has {most:,} at most"
            )
        if self.keys > _MOST_KEYS:
            raise file.broken(f"its header counts {self.keys:,} keys, and {_MOST_KEYS:,} are read")
        self.items = 0

    def metadata(self, texts: bool = True) -> dict[str, Any]:
        """The keys and values; without `texts`, lists of texts are left as bytes."""
        found: dict[str, Any] = {}
        for _ in range(self.keys):
            key = self.text("a key")
            what = f"the key {key[:200]!r}"
            if key in found:
                raise self.file.broken(f"{what} is in it twice")
            found[key] = self._value(self._number("I", what), what, texts)
        return found

    def entry(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape in torch's order, type and offset of the next tensor."""
        name = self.text("a tensor's name")
        what = f"the tensor {name[:200]!r}"
        dimensions = self._number("I", what)
        if dimensions > _MOST_DIMENSIONS:
            raise self.file.broken(f"{what} has {dimensions:,} dimensions; {_MOST_DIMENSIONS} are allowed")
        sizes = [self._number("Q", what) for _ in range(dimensions)]
        return name, tuple(reversed(sizes)), self._number("I", what), self._number("Q", what)

    def text(self, what: str) -> str:
        (raw,) = self._texts(1, what)
        return self._decoded(raw, what)

    def _value(self, kind: int, what: str, texts: bool) -> Any:
        if kind == _TEXT:
            return self.text(what)
        if kind != _LIST:
            return self._number(self._form(kind, what), what)
        kind, count = self._number("I", what), self._number("Q", what)
        self.items += count
        if self.items > _MOST_ITEMS:
            raise self.file.broken(f"{what} has {count:,} values, and {_MOST_ITEMS:,} in all are read")
        if kind == _LIST:
            raise self.file.broken(f"{what} has lists within a list")
        if kind == _TEXT:
            raw = self._texts(count, what)
            return [self._decoded(one, what) for one in raw] if texts else raw
        form = f"<{count}{self._form(kind, what)}"
        return list(struct.unpack_from(form, self.file.data, self._passed(struct.calcsize(form), what)))

    def _form(self, kind: int, what: str) -> str:
        if kind not in _NUMBERS:
            raise self.file.broken(f"{what} has a value of the unknown type {kind}")
        return _NUMBERS[kind]

    def _number(self, form: str, what: str) -> Any:
        form = f"<{form}"
        return struct.unpack_from(form, self.file.data, self._passed(struct.calcsize(form), what))[0]

    def _texts(self, count: int, what: str) -> list[bytes]:
        data, size, at, found = self.file.data, self.file.size, self.at, []
        for _ in range(count):
            if at + 8 > size:
                raise self._cut(what, 8, at)
            (length,) = _LENGTH.unpack_from(data, at)
            at += 8
            if length > size - at:
                raise self._cut(what, length, at)
            if length > _MOST_TEXT:
                raise self.file.broken(f"{what} is a text of {length:,} bytes, and {_MOST_TEXT:,} are read")
            found.append(data[at : at + length])
            at += length
        self.at = at
        return found

    def _passed(self, size: int, what: str) -> int:
        """Where `size` bytes begin, which are passed."""
        at = self.at
        if size > self.file.size - at:
            raise self._cut(what, size, at)
        self.at += size
        return at

    def _cut(self, what: str, need: int, at: int) -> CheckpointError:
        return self.file.broken(f"{what} needs {need:,} more bytes at byte {at:,}")

    def _decoded(self, raw: bytes, what: str) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.file.broken(f"{what} has a text that is no UTF-8: {raw[:40]!r}") from error


def _alignment(file: MappedFile, values: dict[str, Any]) -> int:
    found = values.get("general.alignment", 32)
    if type(found) is not int or not 0 < found <= _MOST_ALIGNMENT or found & (found - 1):
        raise file.broken(f"its general.alignment is {str(found)[:80]}, and should be a power of two, such as 32")
    return found


def _tensors(file: MappedFile, header: _Header, alignment: int, dtype: torch.dtype) -> dict[str, LazyTensor]:
    entries = [header.entry() for _ in range(header.tensors)]
    start = -(-header.at // alignment) * alignment
    tensors: dict[str, LazyTensor] = {}
    spans = []
    for name, shape, kind, offset in entries:
        if name in tensors:
            raise file.broken(f"the tensor {name[:200]!r} is in it twice")
        if offset % alignment:
            raise file.broken(f"the tensor {name[:200]!r} is at {offset:,}, which is no multiple of {alignment:,}")
        if not is_shape(shape):
            raise file.broken(f"the tensor {name[:200]!r} has no valid shape")
        tensor, size = _lazy(file, name, shape, kind, start + offset, dtype)
        tensors[name] = tensor
        spans.append((offset, offset + size, name))
    _check_spans(file, spans, file.size - start)
    return tensors


def _lazy(
    file: MappedFile, name: str, shape: tuple[int, ...], kind: int, at: int, dtype: torch.dtype
) -> tuple[LazyTensor, int]:
    """A tensor, and the bytes that it takes."""
    if (plain := ggml.PLAIN.get(kind)) is not None:
        load = partial(file.tensor, at, plain, shape)
        return LazyTensor(name, shape, plain, file.path, load), math.prod(shape) * plain.itemsize
    blocks = ggml.BLOCKS.get(kind)
    if blocks is None:
        raise CheckpointError(f"{str(file.path)!r}: {_unread(name, kind)}")
    width = shape[-1] if shape else 1
    if width % blocks.numbers:
        raise file.broken(
            f"the tensor {name[:200]!r} has rows of {width:,} numbers, and {blocks.name} has blocks of {blocks.numbers}"
        )
    size = math.prod(shape) // blocks.numbers * blocks.size
    load = partial(_unpacked, file, at, size, blocks, shape, dtype)
    return LazyTensor(name, shape, dtype, file.path, load, blocks.name), size


def _unread(name: str, kind: int) -> str:
    known = ggml.OTHERS.get(kind, f"number {kind}")
    why = (
        "is of the type "
        + known
        + (", which is for products and not for files" if known in ggml.FOR_PRODUCTS else ", which cannot be read")
    )
    read = ", ".join(["F32", "F16", "BF16", *(blocks.name for blocks in ggml.BLOCKS.values())])
    return f"the tensor {name[:200]!r} {why}; these can: {read}. Get the model in one of them."


def _unpacked(
    file: MappedFile, at: int, size: int, blocks: ggml.Blocks, shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    # a copy, so that the pages of what nobody reads again are given back: a load takes no more than its result
    data = file.copy(at, size) if size else file.tensor(at, torch.uint8, (0,))
    return ggml.dequantised(data, blocks, dtype).view(shape)


def _check_spans(file: MappedFile, spans: list[tuple[int, int, str]], room: int) -> None:
    last = 0
    for begin, end, name in sorted(spans):
        if begin == end:
            continue
        if end > room:
            raise file.broken(f"the tensor {name[:200]!r} ends at byte {end:,} of the data, which has {max(room, 0):,}")
        if begin < last:
            raise file.broken(f"the tensor {name[:200]!r} overlaps the one before it")
        last = end
