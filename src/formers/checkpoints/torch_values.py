"""All that a pickle of weights may name: stand-ins for PyTorch's storages, tensors and the calls that make them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .tensor import MAX_DIMENSIONS, MappedFile, is_shape, is_size

_MAX_SPREAD = 16_000_000  # bytes that a tensor with repeated elements (strides of 0) may have beyond its storage


@dataclass(eq=False)
class Storage:
    """A run of bytes in the file that tensors are views of.

    `offset` is known once the file has been walked, `users`, the number of its named views, when they have names.
    """

    nbytes: int
    itemsize: int
    offset: int | None = None
    users: int = 0
    _copy: Tensor | None = None

    def load(self, file: MappedFile, alignment: int) -> Tensor:
        """Its bytes. The views of one storage share memory, also where the address forces a copy."""
        assert self.offset is not None
        if self.offset % alignment == 0 or not self.nbytes:
            return file.tensor(self.offset, torch.uint8, (self.nbytes,))
        if self.users == 1:
            return file.copy(self.offset, self.nbytes)
        if self._copy is None:  # not file.copy: another view may be of the file itself
            self._copy = file.tensor(self.offset, torch.uint8, (self.nbytes,)).clone()
        return self._copy


@dataclass(frozen=True, eq=False)
class View:
    """A tensor in a pickle: which elements of a storage it has. `offset` and `stride` count elements."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def load(self, file: MappedFile) -> Tensor:
        raw = self.storage.load(file, self.dtype.itemsize)
        whole = raw[: len(raw) // self.dtype.itemsize * self.dtype.itemsize].view(self.dtype)
        return whole.as_strided(self.shape, self.stride, self.offset)


@dataclass(frozen=True, eq=False)
class Part:
    """What a pickle calls a storage: a type, and a range of elements of a run of bytes."""

    storage: Storage
    dtype: torch.dtype
    first: int
    count: int


@dataclass(frozen=True, eq=False)
class StorageType:
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Function:
    call: Callable[..., Any]


class _Inert:
    """A value that a state dict has no use for."""


INERT = _Inert()


def _rebuild(part: Any, offset: Any, shape: Any, stride: Any, *rest: Any, dtype: torch.dtype | None = None) -> View:
    if type(part) is not Part or not is_size(offset) or type(shape) is not tuple or type(stride) is not tuple:
        raise TypeError("a tensor is not described as it should be")
    if len(shape) != len(stride) or not is_shape(shape) or not all(map(is_size, stride)):
        raise ValueError("a tensor has no valid shape and strides")
    kind = part.dtype if dtype is None else dtype
    count = part.count * part.dtype.itemsize // kind.itemsize
    first, uneven = divmod(part.first * part.dtype.itemsize, kind.itemsize)
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if uneven or (last >= count if size else offset > count):
        raise ValueError(f"a tensor reaches to element {last:,} of a storage that has {count:,}")
    if (size - count) * kind.itemsize > _MAX_SPREAD:
        raise ValueError(f"a tensor has {size:,} elements, and its storage {count:,}")
    return View(part.storage, kind, first + offset, shape, stride)


def _rebuild_as(part: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *rest: Any) -> View:
    if type(dtype) is not torch.dtype:
        raise TypeError("a tensor has no valid dtype")
    return _rebuild(part, offset, shape, stride, dtype=dtype)


def _parameter(data: Any, *rest: Any) -> View:
    if type(data) is not View:
        raise TypeError("a parameter has no tensor")
    return data


def _with_attributes(function: Any, kind: Any, arguments: Any, *rest: Any) -> View:
    """A tensor that a program had put attributes on: the tensor, without them."""
    if function not in _TENSORS or kind is not INERT or type(arguments) is not tuple:
        raise TypeError("a tensor with attributes is not described as it should be")
    found: View = function.call(*arguments)
    return found


def _ordered(pairs: Any = (), *rest: Any) -> dict[str, Any]:
    if type(pairs) is not list:
        return {}
    table = {key: value for key, value in pairs if type(key) is str}  # as Python 2 wrote it
    pairs.clear()  # one long list made into many dictionaries would cost more than its steps
    return table


def _size(values: Any = (), *rest: Any) -> tuple[Any, ...]:
    if type(values) not in (tuple, list) or len(values) > MAX_DIMENSIONS:
        raise TypeError("a torch.Size is not as it should be")
    return tuple(values)


_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
_DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "complex128", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
)
_TENSORS = (Function(_rebuild), Function(_rebuild_as))
TABLE: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Function(_ordered),
    ("torch", "Size"): Function(_size),
    ("torch._utils", "_rebuild_tensor"): _TENSORS[0],
    ("torch._utils", "_rebuild_tensor_v2"): _TENSORS[0],
    ("torch._utils", "_rebuild_tensor_v3"): _TENSORS[1],
    ("torch._tensor", "_rebuild_from_type_v2"): Function(_with_attributes),
    ("torch", "Tensor"): INERT,
    ("torch._utils", "_rebuild_parameter"): Function(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Function(_parameter),
    ("torch.storage", "UntypedStorage"): StorageType(torch.uint8),
    **{("torch", f"{name}Storage"): StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{("torch.cuda", f"{name}Storage"): StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{("torch", name): getattr(torch, name) for name in _DTYPES},
    # what training scripts put beside the weights
    ("torch", "device"): INERT,
    ("argparse", "Namespace"): INERT,
    ("_codecs", "encode"): INERT,
    ("numpy", "dtype"): INERT,
    ("numpy.core.multiarray", "scalar"): INERT,
    ("numpy._core.multiarray", "scalar"): INERT,
}
