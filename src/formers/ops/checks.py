"""What models require of the tensors that they are given. Letters: B batch, T columns, D width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, NotTensorError


def batch_shape(model: str, input_ids: Any, inputs_embeds: Any) -> tuple[int, int]:
    """B and T, of input_ids (B, T) or inputs_embeds (B, T, D); `model` is the name that errors give."""
    if (input_ids is None) == (inputs_embeds is None):
        given = "none" if input_ids is None else "both"
        raise InputError(f"{model} reads input_ids or inputs_embeds: give one of them, got {given}.")
    name, value, dims = ("input_ids", input_ids, 2) if input_ids is not None else ("inputs_embeds", inputs_embeds, 3)
    if not isinstance(value, Tensor):
        raise NotTensorError(
            f"{name} is a {type(value).__name__}, not a tensor: tokenizer(…, return_tensors='pt') gives tensors; "
            "torch.tensor(…) makes one of a list."
        )
    if value.dim() != dims:
        form = "(batch, columns)" if dims == 2 else "(batch, columns, width)"
        hint = f" For one text, add a batch dimension: {name}[None]." if value.dim() == dims - 1 else ""
        raise InputError(f"{name} has shape {tuple(value.shape)}; it should be {form}.{hint}")
    if dims == 2 and (value.is_floating_point() or value.dtype == torch.bool):
        raise InputError(f"input_ids is {value.dtype}; token ids are integers: input_ids.long().")
    if not value.shape[1]:
        raise InputError(f"{name} has shape {tuple(value.shape)}: no columns. A text needs at least one token.")
    return value.shape[0], value.shape[1]


def check_mask(mask: Any, batch: int, columns: int) -> None:
    """Raise unless the mask is (B, T), or per query (B, T, T) or (B, 1, T, T)."""
    if not isinstance(mask, Tensor):
        raise NotTensorError(
            f"attention_mask is a {type(mask).__name__}, not a tensor; torch.tensor(…) makes one of a list."
        )
    allowed = ((batch, columns), (batch, columns, columns), (batch, 1, columns, columns))
    if tuple(mask.shape) not in allowed:
        raise InputError(
            f"attention_mask has shape {tuple(mask.shape)}, but the batch is ({batch}, {columns}): "
            "give 1 for each real token and 0 for padding, in the same shape."
        )
