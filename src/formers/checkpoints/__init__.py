"""Weight files: bytes on disk -> {name: lazy tensor}. Knows formats, knows no model.

Each format is one file with two functions, listed in `_READERS`:

    matches(file: MappedFile) -> bool                      by the first bytes, never by the file's name
    read(file: MappedFile) -> dict[str, LazyTensor]        names, shapes and types; no tensor data is touched

A reader trusts nothing in the file: whatever is wrong with it is a CheckpointError that names the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ..errors import CheckpointError
from ..hub import locate
from . import ctranslate2, flax_msgpack, gguf, safetensors, tf_ckpt, tf_h5, torch_legacy, torch_zip
from .find import check_index, file_given, find_weights, is_index, shard_files
from .tensor import LazyTensor, MappedFile

__all__ = ["LazyTensor", "file_given", "find_weights", "is_pickle", "open_checkpoint"]


class _Reader(Protocol):
    def matches(self, file: MappedFile) -> bool: ...
    def read(self, file: MappedFile) -> dict[str, LazyTensor]: ...


_READERS: tuple[_Reader, ...] = (
    *(gguf, safetensors, torch_zip, torch_legacy, tf_h5, tf_ckpt, flax_msgpack, ctranslate2),
)


def open_checkpoint(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], mmap: bool = True
) -> Mapping[str, LazyTensor]:
    """The tensors of one file, or of several joined, by the names that they have there.

    `files` is what `find_weights` gives: weight files in any known format, and possibly the index (JSON) that says
    which name is in which of them. An index alone stands for itself and the shards beside it. The files are mapped
    into memory, and no tensor data is read before `LazyTensor.load`; with `mmap=False` all of it is read now.
    Errors: CheckpointError for a file that is missing, broken, unsafe, or of an unknown format, a name that two files
    have, and a name that is not in the file where the index says it is.
    """
    paths = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(file) for file in files]
    if len(paths) == 1 and is_index(paths[0]):
        paths += shard_files(locate(paths[0].parent), paths[0])
    tensors: dict[str, LazyTensor] = {}
    indices = []
    for path in paths:
        if is_index(path):
            indices.append(path)
            continue
        for name, tensor in _read(path, mmap).items():
            if name in tensors:
                raise CheckpointError(
                    f"The tensor {name!r} is in two files, {str(tensors[name].file)!r} and {str(path)!r}. "
                    "These belong to different checkpoints: keep the files of one."
                )
            tensors[name] = tensor
    for index in indices:
        check_index(index, tensors)
    return tensors


def is_pickle(path: Path) -> bool:
    """Whether a file begins as those of pickle and of torch.save do; NumPy's archives (.npz) are left aside."""
    if not path.stat().st_size:
        return False
    file = MappedFile(path)
    if torch_zip.matches(file):
        return not file.data[30 : 30 + int.from_bytes(file.data[26:28], "little")].endswith(b".npy")
    return torch_legacy.matches(file)


def _read(path: Path, mmap: bool) -> dict[str, LazyTensor]:
    file = MappedFile(path, mmap)
    for reader in _READERS:
        if reader.matches(file):
            return reader.read(file)
    raise CheckpointError(f"{str(path)!r} {file.describe()}")
