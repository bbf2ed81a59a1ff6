"""Writing safetensors, tensor by tensor, or torch's pickles, in shards of a given size."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..errors import InputError
from .safetensors import DTYPES
from .tensor import LazyTensor

_KINDS = {dtype: kind for kind, dtype in DTYPES.items()}
_UNITS = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_ALIGNMENT = 64  # bytes at which the data begins: with the widest types first, no tensor has an odd address


def save_checkpoint(
    tensors: Mapping[str, Tensor | LazyTensor],
    folder: Path,
    max_shard_size: int | str = "5GB",
    metadata: Mapping[str, str] | None = None,
    variant: str | None = None,
    pickled: bool = False,
    base: str | None = None,
) -> list[str]:
    """Write tensors of any device and layout in memory to `folder`, one at a time; gives the names of the files.

    That is model.safetensors, or model-00001-of-00003.safetensors and so on with model.safetensors.index.json when they
    have more than `max_shard_size` (bytes, or as in "500KB", "5GB"; a larger tensor has a shard for itself). With
    `variant`, model.fp16.safetensors and so on. `metadata` goes into the header; by default {"format": "pt"}. Tensors
    that share memory are written one by one: give tied ones once. To replace older files at once, write to the folder
    that `atomic.replacing` gives. A lazy tensor is loaded when its turn comes, and not kept: together they may be
    larger than memory. `pickled`: pytorch_model.bin and so on, as `torch.save` writes it, of tensors in memory.
    `base`: a name in the place of "model" or "pytorch_model".
    Errors: InputError for a size, name or tensor that cannot be written; OSError from the disk.
    """
    most = _bytes(max_shard_size)
    for name, tensor in tensors.items():
        _check(name, tensor, pickled)
    shards = _split(tensors, most)
    usual, ending = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    base = base or usual
    stem = f"{base}.{variant}" if variant else base
    names = [f"{stem}-{i + 1:05}-of-{len(shards):05}.{ending}" for i in range(len(shards))]
    if len(shards) == 1:
        names = [f"{stem}.{ending}"]
    for name, shard in zip(names, shards, strict=True):
        if pickled:
            _pickle(folder / name, shard)
        else:
            _write(folder / name, shard, {"format": "pt"} if metadata is None else metadata)
    if len(shards) == 1:
        return names
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in shard},
    }
    name = f"{base}.{ending}.index.{variant}.json" if variant else f"{base}.{ending}.index.json"
    (folder / name).write_text(json.dumps(index, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return [*names, name]


def _bytes(size: int | str) -> int:
    found = re.fullmatch(r"(\d{1,15})(\.\d{1,9})? ?([A-Za-z]{0,3})", size) if isinstance(size, str) else None
    if found and found[3].upper() in _UNITS:
        number = int(float(found[1] + (found[2] or "")) * _UNITS[found[3].upper()])
    elif isinstance(size, Integral) and not isinstance(size, bool):
        number = int(size)
    else:
        number = 0
    if number < 1:
        raise InputError(
            f"max_shard_size={size!r} is no size: give bytes, or a number with a unit, as in '500KB' or '5GB'."
        )
    return number


def _split(tensors: Mapping[str, Tensor | LazyTensor], most: int) -> list[dict[str, Tensor | LazyTensor]]:
    shards: list[dict[str, Tensor | LazyTensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > most:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.nbytes
    return shards


def _check(name: str, tensor: Tensor | LazyTensor, pickled: bool) -> None:
    if not isinstance(name, str) or name == "__metadata__" or name.encode(errors="ignore").decode() != name:
        raise InputError(f"{name!r} cannot be the name of a saved tensor.")
    if isinstance(tensor, Tensor) and (tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta):
        what = "on the meta device, without data" if tensor.is_meta else "sparse or quantised"
        raise InputError(f"The tensor {name!r} is {what}, and cannot be saved: make it an ordinary one first.")
    if tensor.dtype not in _KINDS and not pickled:
        raise InputError(
            f"The tensor {name!r} is {tensor.dtype}, which safetensors files do not have; convert it first."
        )


def _write(path: Path, tensors: Mapping[str, Tensor | LazyTensor], metadata: Mapping[str, str]) -> None:
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in ordered.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": _KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in ordered.values():
            _append(file, tensor.load() if isinstance(tensor, LazyTensor) else tensor)


def _pickle(path: Path, tensors: Mapping[str, Tensor | LazyTensor]) -> None:
    given = {name: tensor.load() if isinstance(tensor, LazyTensor) else tensor for name, tensor in tensors.items()}
    # of a view, torch.save writes all that it is a view of
    whole = {n: t if t.untyped_storage().nbytes() == t.nbytes else t.clone() for n, t in given.items()}
    with open(path, "wb") as file:
        try:
            torch.save({name: tensor.contiguous() for name, tensor in whole.items()}, file)
        except RuntimeError as error:  # torch's words for a full disk, which are about its own positions
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def _append(file: BinaryIO, tensor: Tensor) -> None:
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.numel():
        file.write(flat.view(torch.uint8).numpy().data)
