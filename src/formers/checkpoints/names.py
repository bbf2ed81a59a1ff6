"""Names of other frameworks and times -> torch's names of today, and those -> the names that a model has.

What one family alone needs stands in its own file.

A name with a '/' is TensorFlow's or Flax's; torch's parts are joined by '.':

    bert/encoder/layer_._0/output/dense/kernel:0        Keras (one file, or a shard)
    bert/encoder/layer_0/output/dense/kernel            TensorFlow 1
    bert/encoder/layer/0/output/dense/kernel            Flax
    bert.encoder.layer.0.output.dense.weight            torch, with the kernel's dimensions the other way round
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..errors import CheckpointError
from .experts import joined_experts

T = TypeVar("T")

# the last part of a name: layer norms, kernels, tables, and what google-research/bert calls its output layers
_LAST = {
    "gamma": "weight",
    "beta": "bias",
    "scale": "weight",
    "kernel": "weight",
    "embedding": "weight",
    "embeddings": "weight",
    "output_weights": "weight",
    "output_bias": "bias",
}
_ORDER = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}  # of a kernel's dimensions: there the output comes last
# what torch 2 calls the parts of a weight with a norm, and torch 1 did
_WEIGHT_NORM = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}
_MOST_WRAPPERS = 4  # one around the other: "_orig_mod.module."
_OPTIMIZER = ("adam_m", "adam_v", "Adam", "Adam_1", "Momentum")  # what is kept for every weight in training


def torch_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors (lazy ones, or torch's own) under torch's names.

    What an optimizer keeps for itself is left out. Errors: CheckpointError when two tensors come to one name.
    """
    found: dict[str, Any] = {}
    old: dict[str, str] = {}
    for name, tensor in tensors.items():
        parts = name.removesuffix(":0").split("/")
        if parts[-1] in _OPTIMIZER or name == "global_step":
            continue
        new = _rename(parts, len(tensor.shape))
        order = _ORDER.get(len(tensor.shape)) if parts[-1] == "kernel" and len(parts) > 1 else None
        if new in found:
            raise CheckpointError(
                f"The tensors {old[new][:200]!r} and {name[:200]!r} are both {new[:200]!r} in a model; keep one."
            )
        old[new] = name
        found[new] = tensor.permute(*order) if order else tensor
    return joined_experts(found)


def align(tensors: Mapping[str, T], wanted: set[str], prefix: str, renames: Mapping[str, str]) -> dict[str, T]:
    """The tensors by a model's names: as `renames` says, and with the base model's prefix added or taken off.

    Whether a file has the prefix is told from all its names together: a head may have a part of the name of one of its
    body's. What a file with the prefix has outside of it is not the body's, and left out where it is called the same.
    """
    start = f"{prefix}."

    def own(name: str) -> str:
        new = renames.get(name, name)
        return new if name not in wanted and new in wanted and new not in tensors else name

    def inside(name: str) -> str | None:
        if name.startswith(start) and (short := name.removeprefix(start)) in wanted:
            return short
        name = own(name)
        if name.startswith(start):
            return short if (short := name.removeprefix(start)) in wanted else name
        return None if name in wanted else name

    def around(name: str) -> str:
        name = own(name)
        return start + name if start + name in wanted and start + name not in tensors else name

    readings: list[dict[str, T]] = []
    for form in (own, inside, around):
        named = ((form(name), tensor) for name, tensor in tensors.items())
        readings.append({name: tensor for name, tensor in named if name is not None})
        if wanted.issuperset(readings[-1]) or wanted.issubset(readings[-1]):
            break
    return max(readings, key=lambda reading: len(wanted.intersection(reading)))  # of equals the first


def wrapper(names: Iterable[str], wanted: set[str], prefix: str) -> str | None:
    """What stands before the names of a model that was saved inside of another module, such as "module."; else None."""
    taken_off, rest = "", list(names)
    for _ in range(_MOST_WRAPPERS):
        firsts = Counter(name.partition(".")[0] for name in rest)
        first = f"{max(firsts, key=lambda part: firsts[part], default='')}."
        taken_off += first
        rest = [name.removeprefix(first) for name in rest if name.startswith(first)]
        fitting = wanted.intersection(align(dict.fromkeys(rest), wanted, prefix, {}))
        if 2 * len(fitting) > len(wanted):
            return taken_off
    return None


def _rename(parts: list[str], dimensions: int) -> str:
    if len(parts) == 1:
        name = parts[0]
        for newer, older in _WEIGHT_NORM.items():
            name = name.removesuffix(newer) + older if name.endswith(newer) else name
        for was in ("gamma", "beta"):  # old torch checkpoints have TensorFlow's words for the layer norm
            if name.endswith(f".{was}"):
                return name.removesuffix(was) + _LAST[was]
        return name
    if "." in parts[0] and parts[0] == parts[1]:  # Keras: model.shared/model.shared/embeddings, a name with dots twice
        parts = parts[1:]
    inner = [_part(part) for part in parts[:-1]]
    last = parts[-1]
    if last.endswith("_embeddings") and dimensions == 2:  # TensorFlow 1 has a table under the name of its layer
        inner, last = [*inner, last], "weight"
    return ".".join([*inner, _LAST.get(last, last)])


def _part(part: str) -> str:
    part = part.rpartition("___")[2].replace("_._", ".")  # Keras: nsp___cls, layer_._0
    return part.replace("_", ".") if re.fullmatch(r"layer_\d+", part) else part
