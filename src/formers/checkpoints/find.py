"""Which weight files a model has, and the index that tells in which of them each tensor is."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, NotFoundError
from ..hub import Source
from .tensor import LazyTensor, MappedFile

_MAX_INDEX = 32_000_000  # bytes; enough for three hundred thousand tensors
_OTHER_FORMATS = {".onnx": "ONNX", ".pb": "a TensorFlow graph", ".ckpt": "a training state"}
FRAMEWORKS = {  # whose weights are looked for, in this order: the one file's name; shards have "….index.json" beside
    "safetensors": "model.safetensors",
    "torch": "pytorch_model.bin",
    "tf": "tf_model.h5",
    "flax": "flax_model.msgpack",
}


def find_weights(
    source: Source,
    variant: str | None = None,
    use_safetensors: bool | None = None,
    first: str | None = None,
) -> list[Path]:
    """The local paths of the weight files of `source`, ready for `open_checkpoint`; an index comes before its shards.

    The first that is there of model.safetensors, pytorch_model.bin, tf_model.h5, a TensorFlow 1 checkpoint
    (….ckpt.index) and flax_model.msgpack, as one file or as shards with an index; only what is used is downloaded.
    `variant="fp16"` takes model.fp16.safetensors and so on. `use_safetensors`: True takes nothing else, False anything
    else. `first`: "tf" or "flax", the framework whose files come before the others.
    Errors: NotFoundError when there is none, CheckpointError for a broken index or a shard that is not there.
    """
    kinds = ["safetensors"] if use_safetensors else list(FRAMEWORKS)[use_safetensors is False :]
    if first in kinds:
        kinds = [first, *(kind for kind in kinds if kind != first)]
    if variant:
        kinds = [kind for kind in kinds if kind in ("safetensors", "torch")]
    for kind in kinds:
        for name in _file_names(kind, variant):
            path = source.file(name)
            if path is not None and is_index(path):
                return [path, *shard_files(source, path)]
            if path is not None:
                return [path]
        if kind == "tf" and (path := _tensorflow_1(source)):
            return [path]
    names = [name for kind in kinds for name in _file_names(kind, variant)]
    raise NotFoundError(_nothing_found(source, names, variant))


def file_given(name: object) -> Path | None:
    """The weight file that a model's name is the path of: any file, or a TensorFlow 1 checkpoint without its ending."""
    if not isinstance(name, (str, os.PathLike)) or os.path.isdir(name):
        return None
    path = os.path.expanduser(name)
    return next((Path(p) for p in (path, f"{path}.index") if os.path.isfile(p)), None)


def _tensorflow_1(source: Source) -> Path | None:
    """The index of the one TensorFlow 1 checkpoint that there is (model.ckpt-9.index), its data downloaded."""
    there = [name for name in source.names() if "/" not in name]
    found = [name for name in there if ".ckpt" in name and name.endswith(".index")]
    if len(found) > 1:
        raise CheckpointError(
            f"{source.where} has several TensorFlow checkpoints, {_listing(found)}. Give the path of one of them."
        )
    for index in found:
        for name in there:
            if name.startswith(f"{index.removesuffix('.index')}.data-"):
                source.file(name)
        return source.file(index)
    return None


def is_index(path: Path) -> bool:
    """Whether a file is an index of shards rather than weights: JSON, by its first bytes."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            head = file.read(8)
        # "{" may also be the low byte of the header length that opens a safetensors file
        return head.lstrip().startswith(b"{") and int.from_bytes(head, "little") > path.stat().st_size
    except OSError:
        return False  # the reader of the file tells it better


def shard_files(source: Source, index: Path) -> list[Path]:
    """The shards that an index of `source` names. Errors: CheckpointError for a broken index or a shard not there."""
    paths = []
    for name in _shards(index):
        path = source.file(name)
        if path is None:
            raise CheckpointError(
                f"{str(index)!r} says that there are weights in {name!r}, and {source.where[:1].lower()}"
                f"{source.where[1:]} has no such file. Download or copy all the files that the index names."
            )
        paths.append(path)
    return paths


def check_index(index: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Raise CheckpointError when a tensor is not where the index says that it is."""
    for name, shard in read_index(index)["weight_map"].items():
        if stored_name(name, tensors) not in tensors:
            raise CheckpointError(
                f"{str(index)!r} says that the tensor {name!r} is in {shard!r}, and it is not there. "
                "The index and its files do not belong together: download or save all of them again."
            )


def stored_name(name: str, tensors: Container[str]) -> str:
    """What a shard calls the tensor that its index calls `name`: TensorFlow's index has the model's own name before."""
    return name if name in tensors else name.partition("/")[2]


def _file_names(kind: str, variant: str | None) -> list[str]:
    names = (FRAMEWORKS[kind], f"{FRAMEWORKS[kind]}.index.json")
    parts = [name.rpartition(".") for name in names]
    return [f"{stem}.{variant}.{ending}" if variant else f"{stem}.{ending}" for stem, _, ending in parts]


def _shards(index: Path) -> list[str]:
    return list(dict.fromkeys(read_index(index)["weight_map"].values()))


def read_index(index: Path) -> dict[str, Any]:
    """What an index says: `weight_map`, which file each tensor is in, and maybe more. Errors: CheckpointError."""
    file = MappedFile(index)
    if file.size > _MAX_INDEX:
        raise CheckpointError(f"{str(index)!r} has {file.size:,} bytes: too many for an index of weights.")
    try:
        data = json.loads(file.data[:].decode())
    except (ValueError, RecursionError) as error:
        raise file.broken(f"it is no valid JSON: {error}") from error
    table = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(table, dict) or not table:
        raise CheckpointError(f"{str(index)!r} has no weight_map that tells which tensor is in which file.")
    plain = {shard for shard in table.values() if isinstance(shard, str)}
    plain = {shard for shard in plain if is_plain(shard)}
    for name, shard in table.items():
        if not isinstance(shard, str) or shard not in plain:
            raise CheckpointError(
                f"{str(index)!r} puts the tensor {name[:200]!r} into {str(shard)[:200]!r}. "
                "A shard must be a plain file name, in the same folder as its index."
            )
    found: dict[str, Any] = data
    return found


def is_plain(name: object) -> bool:
    """Whether something is the name of a file, on any system, and no path."""
    return (
        isinstance(name, str)
        and bool(name)
        and name.isprintable()
        and not name.startswith(".")
        and not set(name) & set('/\\:*?"<>|')
    )


def _nothing_found(source: Source, names: Iterable[str], variant: str | None) -> str:
    there = source.names()
    endings = (".safetensors", ".bin", ".h5", ".msgpack", ".index", ".index.json")
    weights = [name for name in there if "/" not in name and name.endswith(endings)]
    message = f"{source.where} has no weights: looked for {', '.join(names)}."
    other = {kind: name for name in there for end, kind in _OTHER_FORMATS.items() if name.endswith(end)}
    packed = [name for name in there if name.endswith(".gguf")]
    if packed:
        message += (
            f" It has {_listing(packed)}: load that file by its path, or give gguf_file={packed[0]!r}, and the same to "
            "load the tokenizer."
        )
    elif weights:
        message += f" It has {_listing(weights)}: " + (
            f"try another variant than {variant!r}."
            if variant
            else "give variant= or use_safetensors= if one of these is meant."
        )
    elif other:
        kind, name = next(iter(other.items()))
        message += f" It has {name} ({kind}), which cannot be read. Get the model's safetensors, or another of these."
    else:
        message += f" It has {_listing(there)}." if there else " It is empty."
    return message


def _listing(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
