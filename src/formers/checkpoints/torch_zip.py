"""Files of `torch.save` since PyTorch 1.6: a zip archive with a pickle and one stored entry for each storage.

Sources: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, APPNOTE.TXT of the zip format
"""

from __future__ import annotations

import struct

from . import pickles
from .tensor import LazyTensor, MappedFile
from .torch_state import state_dict
from .torch_values import Storage

_MAX_DIRECTORY = 16_000_000  # bytes; enough for two hundred thousand storages
_BIG = 0xFFFFFFFF  # stands for a value that is in the zip64 fields


def matches(file: MappedFile) -> bool:
    """Whether the file begins as a zip archive does."""
    return file.data[:4] == b"PK\x03\x04"


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The file's tensors by name."""
    entries = _entries(file)
    pickle = next((name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1), None)
    if pickle is None:
        raise file.broken(f"it is a zip archive without the data.pkl of torch.save; it has {', '.join(entries)}")
    folder = pickle.removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise file.broken("it is a TorchScript program, and code is never taken from a file; save its state_dict()")
    order = entries.get(f"{folder}byteorder")
    if order is not None and (order[1] != 6 or file.data[order[0] : order[0] + 6] != b"little"):
        raise file.broken("its numbers are big-endian, which cannot be read; save it on the machine that it is for")
    storages: dict[str, Storage] = {}
    start, size = entries[pickle]
    value, _ = pickles.load(file, start, start + size, storages)
    for key, storage in storages.items():
        start, size = entries.get(f"{folder}data/{key}", (0, -1))
        if size < storage.nbytes:
            has = f"has {size:,}" if size >= 0 else "is not there"
            raise file.broken(f"the storage {key[:50]!r} needs {storage.nbytes:,} bytes and {has}")
        storage.offset = start
    return state_dict(file, value)


def _entries(file: MappedFile) -> dict[str, tuple[int, int]]:
    """Position and size in bytes of the data of every entry, by name."""
    position, size, count = _directory(file)
    if position + size > file.size or size > _MAX_DIRECTORY:
        raise file.broken("its zip directory is not inside the file")
    entries: dict[str, tuple[int, int]] = {}
    end = position + size
    for _ in range(count):
        if position + 46 > end or file.data[position : position + 4] != b"PK\x01\x02":
            raise file.broken("its zip directory is cut")
        flags, method = struct.unpack_from("<HH", file.data, position + 8)
        packed, unpacked, name_size, extra_size, comment_size = struct.unpack_from("<IIHHH", file.data, position + 20)
        (header,) = struct.unpack_from("<I", file.data, position + 42)
        name = file.data[position + 46 : position + 46 + name_size].decode(errors="replace")
        extra = file.data[position + 46 + name_size : position + 46 + name_size + extra_size]
        unpacked, packed, header = _wide(file, extra, [unpacked, packed, header])
        if method or flags & 1 or packed != unpacked:
            raise file.broken(f"the entry {name!r} is compressed or encrypted, and torch.save does neither")
        if name in entries:
            raise file.broken(f"the entry {name!r} is in it twice")
        entries[name] = (_data_start(file, name, header, packed), packed)
        position += 46 + name_size + extra_size + comment_size
    return entries


def _directory(file: MappedFile) -> tuple[int, int, int]:
    """Where the directory is: position and size in bytes, and its number of entries."""
    tail = file.data.rfind(b"PK\x05\x06", max(0, file.size - 65_557))
    if tail < 0 or tail + 22 > file.size:
        raise file.broken("it is a zip archive that was cut: its directory, which is at the end, is not there")
    count, size, position = struct.unpack_from("<HII", file.data, tail + 10)
    if count != 0xFFFF and _BIG not in (size, position):
        return position, size, count
    if tail < 20 or file.data[tail - 20 : tail - 16] != b"PK\x06\x07":
        raise file.broken("its zip64 directory is not there")
    (wide,) = struct.unpack_from("<Q", file.data, tail - 12)
    if wide + 56 > file.size or file.data[wide : wide + 4] != b"PK\x06\x06":
        raise file.broken("its zip64 directory is not there")
    count, size, position = struct.unpack_from("<QQQ", file.data, wide + 32)
    return position, size, count


def _wide(file: MappedFile, extra: bytes, values: list[int]) -> list[int]:
    """The values with those that are in the zip64 extra field put in."""
    position = 0
    while position + 4 <= len(extra) and _BIG in values:
        kind, size = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            field = extra[position + 4 : position + 4 + size]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            values = [next(numbers, _BIG) if value == _BIG else value for value in values]
            break
        position += 4 + size
    return values


def _data_start(file: MappedFile, name: str, header: int, size: int) -> int:
    if header + 30 > file.size or file.data[header : header + 4] != b"PK\x03\x04":
        raise file.broken(f"the entry {name!r} is not where the zip directory says")
    name_size, extra_size = struct.unpack_from("<HH", file.data, header + 26)
    start = header + 30 + int(name_size) + int(extra_size)
    if start + size > file.size:
        raise file.broken(f"the entry {name!r} needs {start + size:,} bytes of file")
    return start
