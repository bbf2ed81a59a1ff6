"""Files of `torch.save` before PyTorch 1.6: five pickles in a row, then the storages, each after its element count.

Source: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py (`_legacy_load`)
"""

from __future__ import annotations

import struct

from . import pickles
from .tensor import LazyTensor, MappedFile
from .torch_state import state_dict
from .torch_values import Storage

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_HEAD = 1000  # bytes of each of the first three pickles


def matches(file: MappedFile) -> bool:
    """Whether the file begins as a pickle of protocol 2 or later does."""
    return file.data[:1] == b"\x80" and file.data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The file's tensors by name."""
    storages: dict[str, Storage] = {}
    magic, position = pickles.load(file, 0, min(file.size, _MAX_HEAD))
    if magic != _MAGIC:
        raise file.broken("it is a pickle, but not one that torch.save wrote")
    protocol, position = pickles.load(file, position, min(file.size, position + _MAX_HEAD))
    system, position = pickles.load(file, position, min(file.size, position + _MAX_HEAD))
    if protocol != _PROTOCOL or not isinstance(system, dict):
        raise file.broken("it is of an unknown version of PyTorch's format")
    if system.get("little_endian") is not True:
        raise file.broken("its numbers are big-endian, which cannot be read; save it on the machine that it is for")
    value, position = pickles.load(file, position, file.size, storages)
    keys, position = pickles.load(file, position, file.size)
    if not isinstance(keys, list):
        raise file.broken("its list of storages is not there")
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.offset is not None:
            raise file.broken("its list of storages does not fit its tensors")
        position = _place(file, key, storage, position)
    for key, storage in storages.items():
        if storage.offset is None:
            raise file.broken(f"the storage {key[:50]!r} is not in it")
    return state_dict(file, value)


def _place(file: MappedFile, key: str, storage: Storage, position: int) -> int:
    """Tell a storage where it begins; gives where it ends."""
    start, end = position + 8, position + 8 + storage.nbytes
    if end > file.size:
        raise file.broken(f"the storage {key[:50]!r} needs {end:,} bytes of file")
    (count,) = struct.unpack_from("<q", file.data, position)
    if count * storage.itemsize != storage.nbytes:
        raise file.broken(
            f"the storage {key[:50]!r} has {count:,} elements where its tensors need {storage.nbytes:,} bytes"
        )
    storage.offset = start
    return end
