"""Experts that are kept one by one -> the tensors that hold all of a layer's.

    ….experts.0.gate_proj.weight  (F, D)   ┐
    ….experts.0.up_proj.weight    (F, D)   ├─▶ ….experts.gate_up_proj  (E, 2 F, D)
    ….experts.1.gate_proj.weight  …        ┘
    ….experts.0.down_proj.weight  (D, F)   ──▶ ….experts.down_proj     (E, D, F)

Mixtral's files call these w1, w3 and w2, and the module around them block_sparse_moe, which is mlp of today.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .tensor import LazyTensor

_ONE = re.compile(r"(.+)\.experts\.(\d{1,5})\.(gate_proj|up_proj|down_proj|w[123])\.weight")
_TODAY = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}


def joined_experts(tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors (lazy ones, or torch's own), with a layer's experts as one.

    Errors: CheckpointError where some expert lacks a part, or has one of another shape.
    """
    found: dict[str, Any] = {}
    layers: dict[str, dict[str, dict[int, Any]]] = {}
    for name, tensor in tensors.items():
        one = _ONE.fullmatch(name)
        if one is None:
            found[name] = tensor
        else:
            parts = layers.setdefault(one[1], {})
            parts.setdefault(_TODAY.get(one[3], one[3]), {})[int(one[2])] = tensor
    if not layers:
        return tensors
    for name, parts in layers.items():
        gates, ups, downs = (_in_order(name, part, parts) for part in ("gate_proj", "up_proj", "down_proj"))
        found[f"{name}.experts.gate_up_proj"] = _stacked(name, list(zip(gates, ups, strict=True)))
        found[f"{name}.experts.down_proj"] = _stacked(name, [(down,) for down in downs])
    return {name.replace(".block_sparse_moe.", ".mlp."): tensor for name, tensor in found.items()}


def _in_order(name: str, part: str, parts: Mapping[str, Mapping[int, Any]]) -> list[Any]:
    numbers = sorted({number for those in parts.values() for number in those})
    lacking = [number for number in range(max(numbers) + 1) if number not in parts.get(part, {})]
    if lacking:
        raise CheckpointError(
            f"{name}.experts: expert {lacking[0]} of {max(numbers) + 1} lacks its {part}. Is a shard of it missing?"
        )
    return [parts[part][number] for number in numbers]


def _stacked(name: str, experts: Sequence[tuple[Any, ...]]) -> Any:
    """For each expert tensors of one width, one above the other: (E, rows, width)."""
    first = experts[0][0]
    shapes = {tuple(tensor.shape) for expert in experts for tensor in expert}
    if len(shapes) > 1 or len(first.shape) != 2:
        raise CheckpointError(f"{name}.experts have tensors of the shapes {sorted(shapes)}; all should be alike.")

    def read() -> Tensor:
        rows = [t if isinstance(t, Tensor) else t.load() for expert in experts for t in expert]
        return torch.cat(rows).view(len(experts), -1, first.shape[1])

    if not isinstance(first, LazyTensor):
        return read()
    shape = (len(experts), len(experts[0]) * first.shape[0], first.shape[1])
    return LazyTensor(name=f"{name}.experts", shape=shape, dtype=first.dtype, file=first.file, read=read)
