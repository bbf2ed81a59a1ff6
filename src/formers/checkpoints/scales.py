"""Weights of 8 bits that are kept with their scales: x.weight with x.weight_scale_inv or x.weight_scale.

    weight (R, C), float8, int8   scale, one number for each block of 128 rows and 128 columns, for each row, or for all
    ┌────────┬───┐                ┌──────┬──────┐
    │   a    │ b │                │ s(a) │ s(b) │        number = weight · scale, by both names
    ├────────┼───┤                ├──────┼──────┤
    │   c    │ d │                │ s(c) │ s(d) │
    └────────┴───┘                └──────┴──────┘

Sources: https://huggingface.co/deepseek-ai/DeepSeek-V3 (README_WEIGHTS.md), https://github.com/vllm-project/compressed-tensors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .tensor import LazyTensor

_BLOCK = 128
_ENDINGS = ("_scale_inv", "_scale")


def scaled(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tensors (lazy ones, or torch's own), those with scales multiplied by them, in float32.

    Errors: CheckpointError for 8-bit weights beside which there are scales of another kind.
    """
    eight = [name for name, tensor in tensors.items() if _is_eight(name, tensor.dtype, tensors)]
    if not eight:
        return tensors
    found, used = dict(tensors), set()
    for name in eight:
        scale = next((name + ending for ending in _ENDINGS if name + ending in tensors), None)
        if scale is not None:
            found[name] = _product(name, tensors[name], tensors[scale])
            used.add(scale)
        elif others := [n for n in tensors if n.startswith(name.rpartition(".")[0] + ".") and "scale" in n]:
            raise CheckpointError(
                f"{name!r} is {tensors[name].dtype}, and what its scale {others[0]!r} means is not known here. "
                "Get the model's weights in 16 or 32 bits, or convert them with the program that wrote these."
            )
    return {name: tensor for name, tensor in found.items() if name not in used}


def _is_eight(name: str, dtype: torch.dtype, tensors: Mapping[str, Any]) -> bool:
    if dtype == torch.int8:  # without a scale, or with a zero that is not 0, integers mean something else
        return f"{name}_scale" in tensors and f"{name}_zero_point" not in tensors
    return dtype.is_floating_point and dtype.itemsize == 1


def _product(name: str, weight: Any, scale: Any) -> Any:
    blocks = _blocks(tuple(weight.shape), tuple(scale.shape))
    if blocks is None:
        raise CheckpointError(
            f"{name!r} has shape {tuple(weight.shape)} and its scales {tuple(scale.shape)}, which is not one for each "
            f"block of {_BLOCK} by {_BLOCK}, nor for each row, nor for all. Download or save them again."
        )

    def read() -> Tensor:
        numbers, factors = (t if isinstance(t, Tensor) else t.load() for t in (weight, scale))
        if not blocks:
            return numbers.float() * factors.float().reshape(())
        factors = factors.float().reshape(factors.shape[0], -1)
        for dim, block in enumerate(blocks):
            factors = factors.repeat_interleave(block, dim).narrow(dim, 0, weight.shape[dim])
        return numbers.float() * factors

    return replace(weight, dtype=torch.float32, read=read) if isinstance(weight, LazyTensor) else read()


def _blocks(weight: tuple[int, ...], scale: tuple[int, ...]) -> tuple[int, ...] | None:
    """How many rows and columns have one scale; none for one that all share; None where the two do not fit."""
    if all(size == 1 for size in scale):
        return ()
    if len(scale) == 1:
        scale = (*scale, 1)
    if len(weight) != 2 or len(scale) != 2 or not all(scale):
        return None
    if scale == tuple(-(-size // _BLOCK) for size in weight):
        return _BLOCK, _BLOCK
    if any(size % count for size, count in zip(weight, scale, strict=True)):
        return None
    return weight[0] // scale[0], weight[1] // scale[1]
