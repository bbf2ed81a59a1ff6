"""What every reader gives, and the mapped file that they read from."""

from __future__ import annotations

import math
import mmap
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, NotFoundError
from ..hub.reading import note

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LOOKS = (
    (
        rb"\s*<(!doctype|html|head|\?xml)",
        "is a web page, not weights: the download was answered by an error or a login page",
    ),
    (rb"\s*[{\[]", "is a JSON file, not weights"),
    (rb"\x1f\x8b", "is compressed (gzip): unpack it first"),
    (rb"\xfd7zXZ|\x28\xb5\x2f\xfd|BZh|7z\xbc\xaf", "is compressed: unpack it first"),
)

MAX_DIMENSIONS = 64  # torch's own limit


def is_size(value: object) -> bool:
    """Whether a value from a file is an int that torch can take as a size, stride or offset."""
    return type(value) is int and 0 <= value < 2**62


def is_shape(values: Sequence[Any]) -> bool:
    """Whether values from a file are a shape that torch can take: also an empty tensor's sizes must not overflow."""
    if len(values) > MAX_DIMENSIONS or not all(map(is_size, values)):
        return False
    return math.prod(max(size, 1) for size in values) < 2**62


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)


@dataclass(frozen=True)
class LazyTensor:
    """A tensor of which only the name, shape and type have been read.

    Attributes:
        name: its name in the file.
        shape: its size in each dimension.
        dtype: the type it is stored in.
        file: the file that holds it.
        stored: its type there where that is none of torch's, such as "Q4_K"; then `dtype` is what it loads as.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path
    read: Callable[[], Tensor] = field(repr=False)
    stored: str = ""

    def load(self) -> Tensor:
        """The tensor, on the CPU, in its stored type.

        It is a view of the memory-mapped file where the format allows that: pages come in when first touched, and a
        page that is changed is copied, so the file never changes. A program that cuts the file short *in place* takes
        the pages away from under the tensor; one that replaces the file, as saving does here, does not. Of a file
        opened with `mmap=False` it is a view of the copy in memory, which nothing outside this process can change.
        """
        return self.read()

    @property
    def nbytes(self) -> int:
        """The bytes that its data takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def permute(self, *order: int) -> LazyTensor:
        """The same tensor with its dimensions in another order; loaded, it is contiguous."""
        shape = tuple(self.shape[i] for i in order)
        return replace(self, shape=shape, read=lambda: self.read().permute(*order).contiguous())


class MappedFile:
    """A regular file in memory: `path`, `size` in bytes, and `data`, a buffer that may be changed.

    With `mmap` it is mapped, copy-on-write: nothing is read before it is touched, and processes share the pages.
    Without, it is read at once into memory of this process alone.
    """

    def __init__(self, path: Path, mmap: bool = True) -> None:
        self.path, self.mmap = path, mmap
        note(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as error:
            raise NotFoundError(f"The weight file {str(path)!r} does not exist.") from error
        except OSError as error:
            raise CheckpointError(f"{str(path)!r} cannot be opened: {error.strerror}.") from error
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):  # a FIFO or a device would block, or never end
                raise CheckpointError(f"{str(path)!r} is not a regular file.")
            self.size = state.st_size
            if not self.size:
                raise CheckpointError(f"{str(path)!r} is empty (0 bytes). Download or save it again.")
            self.data = _mapped(descriptor, self.size) if mmap else self._whole(descriptor, state)
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{str(path)!r} cannot be read into memory: {error.strerror}.") from error
        finally:
            os.close(descriptor)

    def sibling(self, name: str) -> MappedFile:
        """Another file of the same folder, opened in the same way."""
        return MappedFile(self.path.with_name(name), self.mmap)

    def _whole(self, descriptor: int, before: os.stat_result) -> Any:
        data = _mapped(-1, self.size)  # memory of its own: unlike a bytearray's, it is not filled twice
        done = 0
        with memoryview(data) as view, open(descriptor, "rb", buffering=0, closefd=False) as file:
            while count := file.readinto(view[done : done + 2**30]):
                done += count
        after = os.fstat(descriptor)
        if done < self.size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise CheckpointError(f"{str(self.path)!r} changed while it was read. Load it again.")
        return data

    def tensor(self, offset: int, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
        """The contiguous tensor at byte `offset`: a view, or a copy where the address does not suit the type."""
        count = math.prod(shape)
        if not count:
            return torch.empty(tuple(shape), dtype=dtype)
        if offset % dtype.itemsize:
            return self.copy(offset, count * dtype.itemsize).view(dtype).view(tuple(shape))
        return torch.frombuffer(self.data, dtype=dtype, count=count, offset=offset).view(tuple(shape))

    def copy(self, offset: int, size: int) -> Tensor:
        """A copy of `size` bytes, which no tensor may be a view of: the pages of the map are given back."""
        raw = torch.frombuffer(self.data, dtype=torch.uint8, count=size, offset=offset).clone()
        start, end = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE, (offset + size) // mmap.PAGESIZE * mmap.PAGESIZE
        if self.mmap and start < end and hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED, start, end - start)
        return raw

    def broken(self, problem: str) -> CheckpointError:
        """The error for this file, to be raised by a reader."""
        return CheckpointError(
            f"{str(self.path)!r} is broken: {problem[:500]} (the file has {self.size:,} bytes). "
            "Download or save it again."
        )

    def describe(self) -> str:
        """What a file of no known weight format looks like, as the end of a sentence about it."""
        head = self.data[:512]
        if head.startswith(_LFS_POINTER):
            need = re.search(rb"\nsize (\d{1,18})\n", head)
            wanted = f" and stands for weights of {int(need[1]):,} bytes" if need else ""
            way_out = "Run `git lfs pull` in its repository, or download it."
            return f"is a git-LFS pointer: it has {self.size:,} bytes{wanted}. {way_out}"
        for pattern, words in _LOOKS:
            if re.match(pattern, head, re.IGNORECASE):
                return f"{words} (it has {self.size:,} bytes)."
        if self.data[257:262] == b"ustar":
            return "is a tar archive, not weights: unpack it, or save it anew (PyTorch before 0.1.10 saved such files)."
        return (
            f"is in no known weight format: its {self.size:,} bytes begin with {head[:8]!r}. "
            "It should be a safetensors file, or one that torch.save wrote; download or save it again."
        )
