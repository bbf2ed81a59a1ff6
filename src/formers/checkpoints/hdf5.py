"""The part of HDF5 that h5py writes by default and Keras uses: groups of hard links, and datasets in one piece.

    superblock ── root's header ── symbol table ─┬─ heap: the names
                                                 └─ B-tree ── node: name, header ── dataset's header ── data

It is read here and not by the HDF5 library because that one trusts its files: one changed address in a group ends the
process or keeps it busy for ever (HDF5 2.0, `H5G__ent_to_link`). Here nothing outside the file is ever looked at. Two
parts of it that share bytes are an error, which also ends every cycle and catches most addresses that are wrong.

Source: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html (sections named in the functions)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .tensor import MappedFile, is_shape

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 2**64 - 1  # the address of what is not there
_MAX_PARTS = 100_000  # links, messages and blocks of all groups together; BERT-large has about 7,000
_MAX_BLOCK = 2**24  # bytes that are taken out of the file at once
_MAX_LEVEL = 10  # of a group's B-tree; at 3 it has a million members
_MAX_NAME = 1000  # bytes of one name

_SPACE, _NEW_LINKS, _TYPE, _LINK, _ELSEWHERE, _LAYOUT, _FILTERS = 1, 2, 3, 6, 7, 8, 11
_ATTRIBUTE, _CONTINUED, _SYMBOLS, _NEW_ATTRIBUTES = 12, 16, 17, 21


def _float(size: int, exponent: int, mantissa: int) -> bytes:
    fields = (0, 8 * size, mantissa, exponent, 0, mantissa, 2 ** (exponent - 1) - 1)
    return struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 8 * size - 1, 0, size, *fields)


def _int(size: int, signed: bool) -> bytes:
    return struct.pack("<BBBBIHH", 0x10, 8 * signed, 0, 0, size, 0, 8 * size)


_TYPES = (  # as section IV.A.2.d writes them, in little-endian order
    (_float(4, 8, 23), torch.float32),
    (_float(2, 5, 10), torch.float16),
    (_float(2, 8, 7), torch.bfloat16),
    (_float(8, 11, 52), torch.float64),
    (_int(8, True), torch.int64),
    (_int(4, True), torch.int32),
    (_int(2, True), torch.int16),
    (_int(1, True), torch.int8),
    (_int(8, False), torch.uint64),
    (_int(4, False), torch.uint32),
    (_int(2, False), torch.uint16),
    (_int(1, False), torch.uint8),
    (struct.pack("<BBBBI", 0x18, 2, 0, 0, 1) + _int(1, True) + b"FALSE\0\0\0TRUE\0\0\0\0\0\1", torch.bool),
)


@dataclass(frozen=True)
class Group:
    """`members`: address of the header by name; `attributes`: number of elements by name."""

    members: dict[str, int]
    attributes: dict[str, int]


@dataclass(frozen=True)
class Dataset:
    """An array of `shape` whose bytes begin at `offset` of the file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int


class Hdf5:
    """An HDF5 file: `root` is the address of its first group, `open` gives what is at an address.

    Errors: CheckpointError for what is broken, and for everything in HDF5 that Keras does not use.
    """

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.parts = self.taken = 0
        self.spans: list[tuple[int, int, str]] = []  # what is where: first byte, byte after the last, in words
        head = self._take(0, 96, "the superblock")
        version, offset_size, length_size = head[8], head[13], head[14]
        if version or (offset_size, length_size) != (8, 8):
            raise file.broken(
                f"its HDF5 superblock is of version {version} with addresses of {offset_size} bytes; "
                "Keras writes 0 and 8: copy its groups into a new file with h5py, which writes that too"
            )
        self.leaves, self.branches = struct.unpack_from("<HH", head, 16)  # half of what fits in a node of each kind
        base, _, end, driver, _, self.root = struct.unpack_from("<6Q", head, 24)
        if base or driver != _NOWHERE:
            raise file.broken("it is one part of an HDF5 file of several parts")
        if end != file.size:
            raise file.broken(f"its HDF5 superblock says that it has {end:,} bytes")

    def open(self, address: int, path: str) -> Group | Dataset:
        """The group or dataset with its header at `address`; `path` is for the errors."""
        found: dict[int, bytes] = {}
        attributes: dict[str, int] = {}
        for kind, flags, body in self._messages(address, path):
            if kind in (_NEW_LINKS, _LINK, _NEW_ATTRIBUTES):
                raise self.file.broken(
                    f"the group {path!r} is of the newer kind, which may link to other files; Keras writes none of it"
                )
            if kind == _ATTRIBUTE:
                name, count = self._attribute(body, path)
                attributes[name] = count
            elif kind in (_SPACE, _TYPE, _ELSEWHERE, _LAYOUT, _FILTERS, _SYMBOLS):
                if kind in found or flags & 2:
                    raise self.file.broken(f"the header of {path!r} has message {kind} twice or in another place")
                found[kind] = body
        if _SYMBOLS in found:
            return Group(self._members(found[_SYMBOLS], path), attributes)
        return self._dataset(found, path)

    def check_spans(self) -> None:
        """To be called after the last `open`: an error when two parts of the file share bytes."""
        last, before = 0, ""
        for begin, end, what in sorted(self.spans):
            if begin < last:
                raise self.file.broken(f"{before} and {what} overlap")
            last, before = end, what

    def _claim(self, begin: int, size: int, what: str) -> None:
        self._step()
        if begin + size > self.file.size:
            raise self.file.broken(f"{what} should be {size:,} bytes from byte {begin:,} on")
        self.taken += size
        if self.taken > self.file.size:
            raise self.file.broken(f"{what} overlaps what is before it")
        self.spans.append((begin, begin + size, what))

    def _take(self, begin: int, size: int, what: str) -> bytes:
        self._claim(begin, size, what)
        if size > _MAX_BLOCK:
            raise self.file.broken(f"{what} is {size:,} bytes; at most {_MAX_BLOCK:,} are expected")
        return self.file.data[begin : begin + size]

    def _step(self) -> None:
        self.parts += 1
        if self.parts > _MAX_PARTS:
            raise self.file.broken(f"it has more than {_MAX_PARTS:,} parts: no model has so many")

    def _messages(self, address: int, path: str) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and content of each message of an object's header (sections IV.A.1.a and IV.A.2.q)."""
        what = f"the header of {path!r}"
        head = self._take(address, 16, what)
        version, _, left, _, size, _ = struct.unpack("<BBHIII", head)
        if head[:4] == b"OHDR":
            raise self.file.broken(f"{path!r} is of the newer kind of HDF5 objects, which Keras does not write")
        if version != 1:
            raise self.file.broken(f"{what} is not where the file says")
        chunks = [(address + 16, size)]
        while chunks and left:
            chunk = self._take(*chunks.pop(0), what)
            position = 0
            while position + 8 <= len(chunk) and left:
                kind, length, flags = struct.unpack_from("<HHB", chunk, position)
                body = chunk[position + 8 : position + 8 + length]
                if len(body) < length:
                    raise self.file.broken(f"{what} is cut")
                if kind == _CONTINUED:
                    begin, length = self._unpack("<QQ", body, what)
                    chunks.append((begin, length))
                self._step()
                yield kind, flags, body
                position += 8 + len(body)
                left -= 1
        if left:
            raise self.file.broken(f"{what} has {left} messages less than it says")

    def _unpack(self, form: str, data: bytes, what: str) -> tuple[int, ...]:
        if len(data) < struct.calcsize(form):
            raise self.file.broken(f"{what} is cut")
        return struct.unpack_from(form, data)

    def _attribute(self, body: bytes, path: str) -> tuple[str, int]:
        """Name and number of elements of an attribute (section IV.A.2.m)."""
        what = f"an attribute of {path!r}"
        version, flags, *sizes = self._unpack("<BBHHH", body, what)
        if version not in (1, 3) or (version == 3 and flags):
            raise self.file.broken(f"{what} is of the unknown version {version} or shared")
        position = 8 if version == 1 else 9
        ends = [size + (-size % 8 if version == 1 else 0) for size in sizes]
        name = body[position : position + sizes[0]].rstrip(b"\0").decode(errors="replace")
        shape = self._shape(body[position + ends[0] + ends[1] :], f"the attribute {name[:100]!r} of {path!r}")
        return name, math.prod(shape)

    def _shape(self, body: bytes, what: str) -> tuple[int, ...]:
        """The size in each dimension, of a dataspace (section IV.A.2.b)."""
        version, rank, _, kind = self._unpack("<BBBB", body, what)
        start = 8 if version == 1 else 4
        if version not in (1, 2) or (version == 2 and kind > 1):
            raise self.file.broken(f"{what} has no shape that is known")
        shape = self._unpack(f"<{rank}Q", body[start:], what)
        if not is_shape(shape):
            raise self.file.broken(f"{what} has no valid shape")
        return shape

    def _dataset(self, found: dict[int, bytes], path: str) -> Dataset:
        what = f"the dataset {path!r}"
        if not {_SPACE, _TYPE, _LAYOUT} <= found.keys():
            raise self.file.broken(f"{path!r} is neither a group nor a dataset")
        version, kind = self._unpack("<BB", found[_LAYOUT], what)  # section IV.A.2.i
        if _ELSEWHERE in found or _FILTERS in found or (version, kind) != (3, 1):
            raise self.file.broken(
                f"{what} is chunked, compressed, compact, virtual or in another file; Keras writes none of that"
            )
        dtype = next((dtype for code, dtype in _TYPES if found[_TYPE].startswith(code)), None)
        if dtype is None:
            known = ", ".join(str(dtype).removeprefix("torch.") for _, dtype in _TYPES)
            raise self.file.broken(f"{what} has a type that is none of {known} in little-endian order")
        shape = self._shape(found[_SPACE], what)
        offset, stored = self._unpack("<QQ", found[_LAYOUT][2:], what)
        need = math.prod(shape) * dtype.itemsize
        if offset == _NOWHERE:
            offset = stored = 0
        if stored != need:
            raise self.file.broken(f"{what} of shape {list(shape)} needs {need:,} bytes, and has {stored:,}")
        if need:
            self._claim(offset, need, what)
        return Dataset(shape, dtype, offset)

    def _members(self, body: bytes, path: str) -> dict[str, int]:
        """Address of each member of a group by name (sections IV.A.2.r, III.A.1, III.B, III.C and III.D)."""
        what = f"the names in {path!r}"
        tree, heap = self._unpack("<QQ", body, f"the symbol table of {path!r}")
        signature, size, _, names = struct.unpack("<8sQQQ", self._take(heap, 32, what))
        if signature != b"HEAP\0\0\0\0":
            raise self.file.broken(f"{what} are not where the group says")
        self._claim(names, size, what)
        members: dict[str, int] = {}
        for offset, address, cached in self._entries(tree, None, path):
            name = self._name(names, size, offset, path)
            if cached > 1 or address == _NOWHERE:
                raise self.file.broken(f"{name!r} in {path!r} is a link to a name, and is not followed")
            if name in members:
                raise self.file.broken(f"{name!r} is in {path!r} twice")
            members[name] = address
        return members

    def _entries(self, address: int, level: int | None, path: str) -> Iterator[tuple[int, int, int]]:
        """Position of the name, address and kind of each link, from the B-tree node at `address` down."""
        what = f"the list of {path!r}"
        node = self._take(address, 32 * (self.branches + 1), what)
        signature, kind, found, count = struct.unpack_from("<4sBBH", node)
        if (
            signature != b"TREE"
            or kind
            or found > _MAX_LEVEL
            or level not in (None, found)
            or count > 2 * self.branches
        ):
            raise self.file.broken(f"{what} is not where the group says")
        for child in struct.unpack_from(f"<{2 * count}Q", node, 24)[1::2]:
            if found:
                yield from self._entries(child, found - 1, path)
                continue
            leaf = self._take(child, 8 + 80 * self.leaves, what)
            signature, version, count = struct.unpack_from("<4sBxH", leaf)
            if signature != b"SNOD" or version != 1 or count > 2 * self.leaves:
                raise self.file.broken(f"{what} is not where its tree says")
            for entry in struct.iter_unpack("<QQI20x", leaf[8 : 8 + 40 * count]):
                self._step()
                yield entry

    def _name(self, names: int, size: int, offset: int, path: str) -> str:
        begin = names + offset
        end = self.file.data.find(b"\0", begin, min(names + size, begin + _MAX_NAME + 1)) if offset < size else -1
        if end < 0:
            raise self.file.broken(f"a name in {path!r} is longer than {_MAX_NAME} bytes, or cut")
        name = self.file.data[begin:end].decode(errors="replace")
        if not name.isprintable() or name in ("", ".", "..") or "/" in name or "\ufffd" in name:
            raise self.file.broken(f"{path!r} has a member of the impossible name {name!r}")
        return name
