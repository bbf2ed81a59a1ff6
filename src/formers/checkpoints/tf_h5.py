"""TensorFlow 2 weights in HDF5 files: `tf_model.h5`, its shards, and whole models saved by Keras.

    Keras, one file                                    a shard of Transformers
    /             layer_names                          /           layer_names
    ├─ bert       weight_names                         └─ bert
    │  └─ tf_bert_for_pre_training                        └─ embeddings
    │     └─ bert                                            └─ LayerNorm
    │        └─ embeddings                                      └─ beta:0   (dataset)
    │           └─ LayerNorm
    │              └─ beta:0   (dataset)
    └─ mlm___cls  weight_names …

The names are those of the groups and datasets. The attributes say them again; of these only the number of elements is
used, as their text can be put anywhere in the file, and by reference as often as they like.

Sources: https://github.com/keras-team/tf-keras/blob/master/tf_keras/saving/legacy/hdf5_format.py,
https://github.com/huggingface/transformers/blob/v4.40.2/src/transformers/modeling_tf_utils.py (`save_pretrained`)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from .hdf5 import SIGNATURE, Dataset, Group, Hdf5
from .tensor import LazyTensor, MappedFile

_MAX_DEPTH = 50  # groups within groups
_MAX_NAME = 1000  # characters of a whole name


def matches(file: MappedFile) -> bool:
    """Whether the file begins as an HDF5 file does."""
    return file.data[:8] == SIGNATURE


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The file's tensors by name: without the model's own name at the front, as shards have them."""
    walk = _Walk(file)
    copies: dict[str, list[Dataset]] = {}
    for layer, name, dataset in walk.read():
        name = name if layer is None else _without_model(name, walk.layers)
        copies.setdefault(name, []).append(dataset)
    tensors = {}
    for name, same in copies.items():
        one = same[0]
        if any((other.dtype, other.shape) != (one.dtype, one.shape) for other in same):
            raise file.broken(f"the tensor {name!r} is in it with several shapes or types")
        tensors[name] = LazyTensor(name, one.shape, one.dtype, file.path, partial(_load, file, name, same))
    return tensors


class _Walk:
    """One walk over a file. `layers`: the paths of the groups that Keras made for its layers."""

    def __init__(self, file: MappedFile) -> None:
        self.file, self.hdf5 = file, Hdf5(file)
        self.layers: list[str] = []

    def read(self) -> list[tuple[str | None, str, Dataset]]:
        """Layer if any, name within it, and dataset, of all; their number is as the attributes say."""
        root = self.hdf5.open(self.hdf5.root, "/")
        if isinstance(root, Group) and "model_weights" in root.members:
            root = self.hdf5.open(root.members["model_weights"], "model_weights")
        declared = _count(root, "layer_names") if isinstance(root, Group) else None
        if not isinstance(root, Group) or declared is None:
            raise self.file.broken("it is an HDF5 file, and has not the layer_names of Keras or Transformers")
        found = list(self._below(root, "", None))
        self.hdf5.check_spans()
        loose = sum(layer is None for layer, _, _ in found)
        if (loose and self.layers) or declared != loose + len(self.layers):
            raise self.file.broken(
                f"its layer_names are {declared:,}; it has {len(self.layers):,} layers and {loose:,} tensors in none"
            )
        return found

    def _below(self, group: Group, path: str, layer: str | None) -> Iterator[tuple[str | None, str, Dataset]]:
        for member, address in group.members.items():
            below = f"{path}/{member}" if path else member
            if len(below) > _MAX_NAME or below.count("/") > _MAX_DEPTH:
                raise self.file.broken(f"the name {below[:100]!r}… is too long ({len(below):,} characters) or too deep")
            child = self.hdf5.open(address, below)
            if isinstance(child, Dataset):
                yield layer, below.removeprefix(f"{layer}/"), child
                continue
            weights = _count(child, "weight_names") if layer is None else None
            if weights is None:
                yield from self._below(child, below, layer)
                continue
            if below != "top_level_model_weights":
                self.layers.append(below)
            found = list(self._below(child, below, below))
            if len(found) != weights:
                raise self.file.broken(f"the layer {below!r} names {weights:,} tensors, and has {len(found):,}")
            yield from found


def _count(group: Group, name: str) -> int | None:
    """Number of elements of an attribute that Keras splits in name0, name1… where it has more than 64 kB."""
    if name in group.attributes:
        return group.attributes[name]
    total, part = None, 0
    while (count := group.attributes.get(f"{name}{part}")) is not None:
        total, part = (total or 0) + count, part + 1
    return total


def _without_model(name: str, layers: list[str]) -> str:
    """'tf_bert_model/bert/pooler/…' -> 'bert/pooler/…'; a name that begins with a layer stays as it is."""
    first, _, rest = name.partition("/")
    if not rest or first.startswith("model.") or (first in layers and rest.split("/")[0] not in layers):
        return name
    return rest


def _load(file: MappedFile, name: str, same: list[Dataset]) -> Tensor:
    # Keras writes a weight that several layers share once for each; which of two values is meant, nobody could say
    tensors = [file.tensor(one.offset, one.dtype, one.shape) for one in same]
    if len(same) > 1:
        size = math.prod(same[0].shape) * same[0].dtype.itemsize
        first, *others = (file.tensor(one.offset, torch.uint8, (size,)) for one in same)
        if not all(torch.equal(first, other) for other in others):
            raise file.broken(f"the tensor {name!r} is in it {len(same)} times, with different values")
    return tensors[0]
