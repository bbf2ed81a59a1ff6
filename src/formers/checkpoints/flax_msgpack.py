"""Files of `flax.serialization.to_bytes`: msgpack, maps within maps, down to arrays as extension objects.

An array is (shape, dtype name, bytes), packed again within its object; one of more than 2^30 bytes is a map of flat
chunks. msgpack's decoder would copy each, so it gets to see only windows of the file: what is around the data.

Sources: https://github.com/google/flax/blob/main/flax/serialization.py,
https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import CheckpointError
from .tensor import LazyTensor, MappedFile, is_shape

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint64": torch.uint64,
    "uint32": torch.uint32,
    "uint16": torch.uint16,
    "uint8": torch.uint8,
    "bool": torch.bool,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}
_WINDOW = 1_000  # bytes that a key, an array's head, or a value that is put aside may take
_MAX_ENTRIES = 30_000  # of all maps; each takes some thirty microseconds
_MAX_NAMES = 16_000_000  # letters of all names
_MAX_DEPTH = 32  # maps within maps
_CHUNKED = "__msgpack_chunked_array__"
_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3  # Flax's codes of extension objects

# the first byte of each kind of object
_MAPS = {*range(0x80, 0x90), 0xDE, 0xDF}
_TEXTS = {*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB}
_INTS = {*range(0x80), *range(0xCC, 0xD4), *range(0xE0, 0x100)}
_FIXED_EXTENSIONS = range(0xD4, 0xD9)  # of 1, 2, 4, 8 and 16 bytes
_EXTENSIONS = range(0xC7, 0xCA)  # their length is in the next 1, 2 or 4 bytes
_BINARIES = range(0xC4, 0xC7)  # likewise


class _Array(NamedTuple):
    shape: tuple[int, ...]
    dtype: torch.dtype
    chunks: tuple[tuple[int, int], ...]  # where each begins in the file, and its number of elements


_Tree = dict[str, Any]  # of _Array, int, None for what is put aside, and more such trees


def matches(file: MappedFile) -> bool:
    """Whether the file begins as a map does, and the map with text."""
    head = file.data[:6]
    start = {0xDE: 3, 0xDF: 5}.get(head[0], 1)
    return head[0] in _MAPS and head[start : start + 1] != b"" and head[start] in _TEXTS


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The file's arrays by name: the keys on the way to each, joined by "/". A training state gives its `params` alone.

    Errors: CheckpointError, also when the package msgpack is not installed.
    """
    try:
        import msgpack
    except ImportError as error:
        raise CheckpointError(
            f"{str(file.path)!r} holds Flax weights, and the package that reads them is not installed: "
            "pip install msgpack"
        ) from error
    walk = _Walk(file, msgpack)
    tree = walk.value("", 0)
    if walk.position != file.size:
        raise file.broken(f"it goes on after its end at byte {walk.position:,}")
    tensors: dict[str, LazyTensor] = {}
    if isinstance(tree, dict):
        _flatten(file, _model(file, tree), "", tensors)
    if not tensors:
        raise file.broken("it has no arrays with names")
    return tensors


class _Walk:
    """Steps through the file once, from the first byte to the last; what is at `position` comes next."""

    def __init__(self, file: MappedFile, msgpack: Any) -> None:
        self.file, self.data, self.position = file, file.data, 0
        self.unpacker = msgpack.Unpacker
        self.errors = (msgpack.UnpackException, ValueError, TypeError)
        self.entries = self.letters = 0

    def value(self, name: str, depth: int) -> Any:
        kind = self.data[self.position] if self.position < self.file.size else None
        if kind in _MAPS:
            return self.map(name, depth + 1)
        if kind in _FIXED_EXTENSIONS or kind in _EXTENSIONS:
            return self.extension(name)
        window = self.window()
        try:
            value = window.unpack() if kind in _INTS else window.skip()
        except self.errors:
            raise self.wrong(name, "is cut, or a list or text of a length that no model has") from None
        self.position += window.tell()
        return value

    def map(self, name: str, depth: int) -> Any:
        window = self.window()
        try:
            count = window.read_map_header()
        except self.errors:
            raise self.wrong(name, "is cut") from None
        self.position += window.tell()
        left = self.file.size - self.position
        if depth > _MAX_DEPTH:
            raise self.wrong(name, f"is inside more than {_MAX_DEPTH} others")
        if 2 * count > left:
            raise self.wrong(name, f"has {count:,} entries in the last {left:,} bytes")
        tree: _Tree = {}
        for _ in range(count):
            key = self.key(name)
            if key in tree:
                raise self.wrong(name, f"has the key {key!r} twice")
            tree[key] = self.value(f"{name}/{key}" if name else key, depth)
        return self.joined(name, tree) if _CHUNKED in tree else tree

    def key(self, name: str) -> str:
        window = self.window()
        try:
            key = window.unpack() if self.data[self.position] in _TEXTS else None
        except (*self.errors, IndexError):
            key = None
        if not isinstance(key, str):
            raise self.wrong(name, f"has a key that is no text of up to {_WINDOW:,} bytes")
        self.position += window.tell()
        self.entries += 1
        self.letters += len(name) + len(key)
        if self.entries > _MAX_ENTRIES or self.letters > _MAX_NAMES:
            raise self.file.broken(
                f"its names are more than {_MAX_ENTRIES:,}, or have more than {_MAX_NAMES:,} letters"
            )
        return key

    def extension(self, name: str) -> _Array | None:
        kind = self.data[self.position]
        if kind in _FIXED_EXTENSIONS:
            size, start = 1 << (kind - _FIXED_EXTENSIONS.start), self.position + 1
        else:
            size, start = self.length(_EXTENSIONS)
        end = start + 1 + size
        if end > self.file.size:
            raise self.wrong(name, f"needs {end:,} bytes of file")
        code, self.position = self.data[start], start + 1
        if code not in (_ARRAY, _COMPLEX, _SCALAR):
            raise self.wrong(name, f"is an object of the unknown kind {code}")
        found = None if code == _COMPLEX else self.array(name, end)
        self.position = end
        return found

    def array(self, name: str, end: int) -> _Array:
        window = self.window(end)
        try:
            parts, shape, kind = window.read_array_header(), window.unpack(), window.unpack()
        except self.errors:
            raise self.wrong(name, "is no valid array") from None
        self.position += window.tell()
        if parts != 3 or self.position >= end or self.data[self.position] not in _BINARIES:
            raise self.wrong(name, "is no valid array")
        size, start = self.length(_BINARIES)
        dtype = DTYPES.get(kind) if isinstance(kind, str) else None
        if dtype is None:
            raise self.wrong(name, f"has the unknown dtype {kind!r}; known are {', '.join(DTYPES)}")
        if not isinstance(shape, list) or not is_shape(shape):
            raise self.wrong(name, f"has no valid shape: {shape}")
        count = math.prod(shape)
        if start + size != end or count * dtype.itemsize != size:
            need = count * dtype.itemsize
            raise self.wrong(name, f"of shape {shape} and dtype {kind} needs {need:,} bytes, has {end - start:,}")
        return _Array(tuple(shape), dtype, ((start, count),))

    def joined(self, name: str, tree: _Tree) -> _Array:
        """The array whose chunks a map holds; its sizes and its chunks have their places in the order as keys."""
        shape, chunks = _listed(tree.get("shape")), _listed(tree.get("chunks"))
        if not is_shape(shape) or not chunks or not all(isinstance(c, _Array) and len(c.shape) == 1 for c in chunks):
            raise self.wrong(name, "is no valid array in chunks")
        has, dtypes = sum(chunk.shape[0] for chunk in chunks), {chunk.dtype for chunk in chunks}
        if len(dtypes) > 1 or has != math.prod(shape):
            raise self.wrong(name, f"of shape {shape} has chunks of {has:,} elements and {len(dtypes)} dtypes")
        return _Array(tuple(shape), dtypes.pop(), tuple(span for chunk in chunks for span in chunk.chunks))

    def length(self, kinds: range) -> tuple[int, int]:
        """The length that the head at `position` declares, and where the head ends."""
        start = self.position + 1
        end = start + (1 << (self.data[self.position] - kinds.start))
        return int.from_bytes(self.data[start:end], "big"), end

    def window(self, end: int | None = None) -> Any:
        window = self.unpacker(max_buffer_size=_WINDOW)
        stop = self.position + _WINDOW
        window.feed(self.data[self.position : stop if end is None else min(stop, end)])
        return window

    def wrong(self, name: str, problem: str) -> CheckpointError:
        return self.file.broken(f"{name[:200]!r}, at byte {self.position:,}, {problem}")


def _listed(tree: Any) -> list[Any]:
    """The values of {"0": …, "1": …} in their order; nothing of anything else."""
    places = [str(i) for i in range(len(tree))] if isinstance(tree, dict) else []
    return [tree[place] for place in places] if all(place in tree for place in places) else []


def _model(file: MappedFile, tree: _Tree) -> _Tree:
    """The `params` that are nearest to the top of a training state; without any, the whole."""
    level = [("", tree)]
    for _ in range(3):
        found = [(path, inner["params"]) for path, inner in level if isinstance(inner.get("params"), dict)]
        if len(found) > 1:
            places = ", ".join(repr(path) for path, _ in found)
            raise file.broken(f"it has several sets of params, in {places}; save the one that is the model alone")
        if found:
            return _model(file, found[0][1])  # these may be all variables of a module, with params among them
        level = [(f"{path}/{key}", x) for path, inner in level for key, x in inner.items() if isinstance(x, dict)]
    return tree


def _flatten(file: MappedFile, tree: _Tree, prefix: str, tensors: dict[str, LazyTensor]) -> None:
    for key, value in tree.items():
        name = prefix + key
        if isinstance(value, dict):
            _flatten(file, value, f"{name}/", tensors)
        elif isinstance(value, _Array):
            if name in tensors:
                raise file.broken(f"the array {name!r} is in it twice")
            load = partial(_load, file, value)
            tensors[name] = LazyTensor(name, value.shape, value.dtype, file.path, load)


def _load(file: MappedFile, array: _Array) -> Tensor:
    if len(array.chunks) == 1:
        return file.tensor(array.chunks[0][0], array.dtype, array.shape)
    return torch.cat([file.tensor(start, array.dtype, (count,)) for start, count in array.chunks]).view(array.shape)
