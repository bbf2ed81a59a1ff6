"""Tables of LevelDB, as TensorFlow writes them: sorted keys with values, in blocks that have checksums.

    data blocks | metaindex block | index block | footer (48 bytes)

A block is entries, the places of some of them, and a trailer of 5 bytes: how it is compressed, and its checksum.

Source: https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .crc32c import masked_crc32c
from .tensor import MappedFile

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER, _TRAILER = 48, 5  # bytes
_MAX_TABLE = 300_000  # bytes; BERT-large with the two slots of its optimizer takes 40,000
_MAX_KEYS = 10_000
_MAX_KEY = 1_000  # bytes; keys share their beginnings: a small table could hold gigabytes of them


class Cursor:
    """Reads the bytes of a part of a file from front to back; what does not fit into them is broken."""

    def __init__(self, file: MappedFile, data: bytes, what: str) -> None:
        self.file, self.data, self.what, self.position = file, data, what, 0

    def more(self) -> bool:
        return self.position < len(self.data)

    def take(self, count: int) -> bytes:
        start = self.position
        if count > len(self.data) - start:
            raise self.file.broken(f"{self.what} needs {count:,} more bytes, and {len(self.data) - start:,} are there")
        self.position += count
        return self.data[start : self.position]

    def varint(self) -> int:
        """An unsigned number of up to 64 bits, seven of them in each byte."""
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            value = 2**64
        if value >= 2**64:
            raise self.file.broken(f"{self.what} has a number of more than 64 bits")
        return value


def is_table(file: MappedFile) -> bool:
    """Whether the file ends as a table does."""
    return file.size >= _FOOTER and file.data[file.size - len(_MAGIC) :] == _MAGIC


def table(file: MappedFile) -> dict[bytes, bytes]:
    """The values by key, every checksum verified. Every byte must belong to a block, and to one only.

    Errors: CheckpointError, also for a table that is compressed or larger than any that stands for a model.
    """
    if file.size > _MAX_TABLE:
        raise file.broken(f"it is a table of variables with more than the {_MAX_TABLE:,} bytes allowed")
    footer = Cursor(file, file.data[file.size - _FOOTER : file.size - len(_MAGIC)], "its footer")
    (meta, meta_end), (index, index_end) = _handle(footer), _handle(footer)
    if meta_end != index or index_end != file.size - _FOOTER or any(footer.data[footer.position :]):
        raise file.broken("its blocks are not where its footer says")
    values: dict[bytes, bytes] = {}
    last, position = None, 0
    for _, handle in _entries(file, index, index_end):
        begin, end = _handle(Cursor(file, handle, "its index block"))
        if begin != position:
            raise file.broken(f"a block begins at byte {begin:,}, and the one before it ends at {position:,}")
        position = end
        for key, value in _entries(file, begin, end):
            if last is not None and key <= last:
                raise file.broken(f"the key {key[:100]!r} is not in order")
            if len(values) == _MAX_KEYS:
                raise file.broken(f"it has more than {_MAX_KEYS:,} variables")
            values[key] = value
            last = key
    if position != meta or list(_entries(file, meta, meta_end)):
        raise file.broken("there is something between its variables and its index")
    return values


def _handle(cursor: Cursor) -> tuple[int, int]:
    """Where a block is: its first byte, and the one after its trailer."""
    offset, size = cursor.varint(), cursor.varint()
    return offset, offset + size + _TRAILER


def _entries(file: MappedFile, begin: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; keys are stored without the bytes that they share with the one before."""
    what, size = f"the block at byte {begin:,}", end - begin - _TRAILER
    if size < 4 or end > file.size - _FOOTER:
        raise file.broken(f"{what} is not inside the file")
    checksum = int.from_bytes(file.data[end - 4 : end], "little")
    if masked_crc32c(np.frombuffer(file.data, np.uint8, size + 1, begin)) != checksum:
        raise file.broken(f"the checksum of {what} is wrong")
    if file.data[begin + size]:
        raise file.broken(f"{what} is compressed, which cannot be read; save it with TensorFlow 1.2 or newer")
    block = file.data[begin : begin + size]
    places = 4 * int.from_bytes(block[-4:], "little") + 4  # of keys that are stored in full; not needed
    if places > size:
        raise file.broken(f"{what} is too short")
    cursor = Cursor(file, block[: size - places], what)
    key = b""
    while cursor.more():
        shared, own, length = cursor.varint(), cursor.varint(), cursor.varint()
        if shared > len(key) or shared + own > _MAX_KEY:
            raise file.broken(
                f"{what} has a key of {shared + own:,} bytes, {shared:,} of them from the {len(key):,} before"
            )
        key = key[:shared] + cursor.take(own)
        yield key, cursor.take(length)
