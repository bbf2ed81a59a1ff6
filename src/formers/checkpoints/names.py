"""Names of other frameworks and times -> torch's names of today. What one family alone needs stands in its own file.

A name with a '/' is TensorFlow's or Flax's; torch's parts are joined by '.':

    bert/encoder/layer_._0/output/dense/kernel:0        Keras (one file, or a shard)
    bert/encoder/layer_0/output/dense/kernel            TensorFlow 1
    bert/encoder/layer/0/output/dense/kernel            Flax
    bert.encoder.layer.0.output.dense.weight            torch, with the kernel's dimensions the other way round
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError

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
        new = _rename(parts)
        order = _ORDER.get(len(tensor.shape)) if parts[-1] == "kernel" and len(parts) > 1 else None
        if new in found:
            raise CheckpointError(
                f"The tensors {old[new][:200]!r} and {name[:200]!r} are both {new[:200]!r} in a model; keep one."
            )
        old[new] = name
        found[new] = tensor.permute(*order) if order else tensor
    return found


def _rename(parts: list[str]) -> str:
    if len(parts) == 1:
        name = parts[0]
        for was in ("gamma", "beta"):  # old torch checkpoints have TensorFlow's words for the layer norm
            if name.endswith(f".{was}"):
                return name.removesuffix(was) + _LAST[was]
        return name
    inner = [_part(part) for part in parts[:-1]]
    last = parts[-1]
    if last.endswith("_embeddings"):  # TensorFlow 1 has a table under the name of its layer
        inner, last = [*inner, last], "weight"
    return ".".join([*inner, _LAST.get(last, last)])


def _part(part: str) -> str:
    part = part.rpartition("___")[2].replace("_._", ".")  # Keras: nsp___cls, layer_._0
    return part.replace("_", ".") if re.fullmatch(r"layer_\d+", part) else part
