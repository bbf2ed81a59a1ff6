"""TensorFlow checkpoints: X.ckpt.index says what each variable is, X.ckpt.data-00000-of-00001 and so on hold values.

The index is a table from the names of variables to protobuf messages. Its checksums are verified when it is read, that
of a variable's values when they are loaded.

Sources, in https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/: protobuf/tensor_bundle.proto,
framework/types.proto, framework/tensor_slice.proto, util/tensor_bundle/naming.cc, util/saved_tensor_slice_util.cc
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, NotFoundError
from . import leveldb
from .crc32c import masked_crc32c
from .tensor import MAX_DIMENSIONS, LazyTensor, MappedFile, is_shape

_VERSION = 1  # of the format
_MAX_SHARDS = 1_000
_WHOLE = -1  # the length of a slice that spans its dimension

_DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    8: torch.complex64,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    17: torch.uint16,
    18: torch.complex128,
    19: torch.float16,
    22: torch.uint32,
    23: torch.uint64,
    24: torch.float8_e5m2,
    25: torch.float8_e4m3fn,
}
_NOT_TENSORS = (7, 20, 21)  # texts, resources, variants: the object graph of TensorFlow 2 and the like


@dataclass
class _Entry:
    """A variable, or a slice of one: `size` bytes at `offset` of a data file; a variable in slices has only those.

    `slices` has start and length in each dimension of each.
    """

    name: str
    kind: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    slices: list[list[tuple[int, int]]] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.kind]


def matches(file: MappedFile) -> bool:
    """Whether the file ends as the table does that is a checkpoint's index."""
    return leveldb.is_table(file)


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The variables by name, of an index and the data files beside it; those that are not numbers are left out.

    Errors: CheckpointError for what is broken, in either, and for a data file that is not there.
    """
    table = leveldb.table(file)
    if b"" not in table:
        raise file.broken("it is a LevelDB table, but not the index of a TensorFlow checkpoint")
    shards = _shards(file, table.pop(b""))
    entries = {key: _entry(file, key, message) for key, message in table.items()}
    entries = {key: entry for key, entry in entries.items() if entry.kind not in _NOT_TENSORS}
    data = {shard: _data(file, shard, shards) for shard in {entry.shard for entry in entries.values()}}
    _check_spans(list(entries.values()), data)
    tensors = {}
    for key, entry in entries.items():
        if key.startswith(b"\0"):
            continue  # a slice
        parts = _parts(file, key, entries)
        load = partial(_load, [(data[part.shard], part) for part in parts], _axis(entry))
        path = data[entry.shard].path
        tensors[entry.name] = LazyTensor(entry.name, entry.shape, entry.dtype, path, load)
    return tensors


def _shards(file: MappedFile, message: bytes) -> int:
    """The number of data files, from the header."""
    header = dict(_fields(file, message, "its header"))
    needed = dict(_fields(file, header.get(0x1A, b""), "its version")).get(0x10, 0)
    if header.get(0x10):
        raise file.broken("its numbers are big-endian, which cannot be read; save it on the machine that it is for")
    if needed > _VERSION:
        raise file.broken(f"it needs readers of version {needed} of the format, and this is one of version {_VERSION}")
    shards = header.get(0x08, 0)
    if not 0 < shards <= _MAX_SHARDS:
        raise file.broken(f"it says that it has {shards:,} data files, and 1 to {_MAX_SHARDS:,} are allowed")
    return shards


def _entry(file: MappedFile, key: bytes, message: bytes) -> _Entry:
    entry = _Entry(key.decode(errors="backslashreplace"))
    what = f"the tensor {entry.name[:200]!r}"
    if not key.startswith(b"\0") and entry.name.encode() != key:
        raise file.broken(f"{what} has a name that is no UTF-8")
    for tag, value in _fields(file, message, what):
        if tag == 0x08:
            entry.kind = value
        elif tag == 0x12:
            entry.shape = _shape(file, value, what)
        elif tag == 0x18:
            entry.shard = value
        elif tag == 0x20:
            entry.offset = value
        elif tag == 0x28:
            entry.size = value
        elif tag == 0x35:
            entry.checksum = int.from_bytes(value, "little")
        elif tag == 0x3A:
            extents = [dict(_fields(file, extent, what)) for tag, extent in _fields(file, value, what) if tag == 0x0A]
            entry.slices.append([(extent.get(0x08, 0), extent.get(0x10, _WHOLE)) for extent in extents])
    if entry.kind in _NOT_TENSORS:
        return entry
    if entry.kind not in _DTYPES:
        raise file.broken(f"{what} has the unknown dtype {entry.kind}")
    if any(not 0 < len(extents) == len(entry.shape) for extents in entry.slices):
        raise file.broken(f"{what} is in slices of other dimensions")
    need = 0 if entry.slices else math.prod(entry.shape) * entry.dtype.itemsize
    if entry.size != need:
        form = f"shape {list(entry.shape)} and {entry.dtype}"
        raise file.broken(f"{what} of {form} needs {need:,} bytes, has {entry.size:,}")
    return entry


def _shape(file: MappedFile, message: bytes, what: str) -> tuple[int, ...]:
    sizes: list[int] = []
    for tag, value in _fields(file, message, what):
        if tag == 0x12 and len(sizes) <= MAX_DIMENSIONS:
            sizes.append(dict(_fields(file, value, what)).get(0x08, 0))
        elif tag == 0x18 and value:
            sizes.append(-1)  # of unknown rank
    if not is_shape(sizes):
        raise file.broken(f"{what} has no valid shape")
    return tuple(sizes)


def _fields(file: MappedFile, message: bytes, what: str) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: 8 * number + wire type, and the value: an int for type 0, otherwise bytes.

    Source: https://protobuf.dev/programming-guides/encoding/
    """
    cursor = leveldb.Cursor(file, message, what)
    while cursor.more():
        tag = cursor.varint()
        if tag % 8 == 0:
            yield tag, cursor.varint()
        elif tag % 8 in (1, 2, 5):
            yield tag, cursor.take({1: 8, 5: 4}.get(tag % 8) or cursor.varint())
        else:
            raise file.broken(f"{what} has a field of the unknown wire type {tag % 8}")


def _data(file: MappedFile, shard: int, shards: int) -> MappedFile:
    if shard >= shards:
        raise file.broken(f"it has {shards:,} data files, and a tensor in number {shard:,}, counted from 0")
    prefix = file.path.name.removesuffix(".index")
    if prefix == file.path.name:
        raise file.broken("its name must end in .index: the names of its data files are made of what is before that")
    name = f"{prefix}.data-{shard:05}-of-{shards:05}"
    try:
        return file.sibling(name)
    except NotFoundError as error:
        raise CheckpointError(
            f"{str(file.path)!r} is the index of a TensorFlow checkpoint, and its tensors are in {name!r}, which is "
            "not beside it. Put that file into the same folder."
        ) from error


def _check_spans(entries: list[_Entry], data: dict[int, MappedFile]) -> None:
    """Each has its bytes inside of its data file, and for itself."""
    ends = dict.fromkeys(data, 0)
    for entry in sorted(entries, key=lambda entry: entry.offset):
        if not entry.size:
            continue
        file, end = data[entry.shard], entry.offset + entry.size
        if end > file.size:
            raise file.broken(f"the tensor {entry.name!r} ends at its byte {end:,}")
        if entry.offset < ends[entry.shard]:
            raise file.broken(f"the tensor {entry.name!r} overlaps another one")
        ends[entry.shard] = end


def _parts(file: MappedFile, key: bytes, entries: dict[bytes, _Entry]) -> list[_Entry]:
    """What a variable consists of: itself, or the slices that fill it, in order.

    TensorFlow's partitioners cut along one dimension, and so must these be.
    """
    whole = entries[key]
    if not whole.slices:
        return [whole]
    axis, position, parts = _axis(whole), 0, []
    for extents in sorted(whole.slices, key=lambda extents: extents[axis]):
        part = entries.get(_slice_key(key, extents), whole)
        if part.slices or part.kind != whole.kind or len(part.shape) != len(whole.shape):
            raise file.broken(f"a slice of the tensor {whole.name!r} is not there, or not like it")
        spans = zip(extents, whole.shape, strict=True)
        found = [(start, size if length == _WHOLE else length) for (start, length), size in spans]
        place = [(0, size) for size in whole.shape]
        place[axis] = (position, part.shape[axis])
        if found != place or part.shape != tuple(length for _, length in place):
            raise file.broken(f"the slices of the tensor {whole.name!r} do not fit together")
        position += part.shape[axis]
        parts.append(part)
    if position != whole.shape[axis]:
        raise file.broken(f"the slices of the tensor {whole.name!r} do not fill it")
    return parts


def _axis(whole: _Entry) -> int:
    """The dimension along which a variable is in slices."""
    cuts = (d for extents in whole.slices for d, size in enumerate(whole.shape) if extents[d][1] not in (_WHOLE, size))
    return next(cuts, 0)


def _slice_key(key: bytes, extents: list[tuple[int, int]]) -> bytes:
    """The key of a slice: 0, name, and extents, in an encoding that sorts as they do.

    Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/strings/ordered_code.cc
    """
    numbers = b"".join(_signed(number) for extent in extents for number in extent)
    return b"\0" + key + b"\0\1" + bytes([1, len(extents)]) + numbers


def _signed(number: int) -> bytes:
    """Two's complement in n bytes, of which the first n bits are inverted; 7 n - 1 bits are the number's."""
    count = max(number, ~number).bit_length() // 7 + 1
    value = number % 2 ** (8 * count) ^ (2**count - 1) << 7 * count
    return value.to_bytes(count, "big")


def _load(parts: list[tuple[MappedFile, _Entry]], axis: int) -> Tensor:
    pieces = [_checked(file, part) for file, part in parts]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, axis)


def _checked(file: MappedFile, entry: _Entry) -> Tensor:
    raw = file.tensor(entry.offset, torch.uint8, (entry.size,))
    found = masked_crc32c(raw.numpy())
    if found != entry.checksum:
        raise file.broken(
            f"the bytes of the tensor {entry.name!r} have the checksum {found:#010x}, not {entry.checksum:#010x}"
        )
    return file.tensor(entry.offset, entry.dtype, entry.shape)
