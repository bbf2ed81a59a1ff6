"""What models require of the tensors that they are given. Letters: B batch, T columns, D width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, NotTensorError
from .layout import as_bool, carried, is_tracing


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


def token_labels(labels: Any) -> None:
    """Raise NotTensorError or InputError unless `labels` is a tensor of whole numbers (B, T)."""
    if not isinstance(labels, Tensor):
        raise NotTensorError(f"labels is a {type(labels).__name__}, not a tensor; torch.tensor(…) makes one of a list.")
    if labels.dim() != 2:
        hint = " For one text, add a batch dimension: labels[None]." if labels.dim() == 1 else ""
        raise InputError(f"labels has shape {tuple(labels.shape)}; it should be (batch, columns).{hint}")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(f"labels is {labels.dtype}; token ids are integers: labels.long().")


def read_mask(mask: Any, batch: int, columns: int, before: int = 0) -> Tensor:
    """An attention mask in the form that Layout takes: bool (B, T) over keys, or (B or 1, 1 or H, 1 or T, T) as given.

    mask: (B, T), or for each query (B, T, T): 1 or True for what is seen, 0 or False for what is not. With four
    dimensions also, floating, what is added to scores: the smallest number for what is not seen. A floating mask of
    zeros alone hides nothing. Raises InputError for other shapes and other values.
    before: columns that earlier passes had; a mask is of them and of the T new ones.
    """
    if not isinstance(mask, Tensor):
        raise NotTensorError(
            f"attention_mask is a {type(mask).__name__}, not a tensor; torch.tensor(…) makes one of a list."
        )
    shape, keys = tuple(mask.shape), before + columns
    fits = shape in ((batch, keys), (batch, columns, keys)) or (
        len(shape) == 4 and shape[0] in (1, batch) and shape[2] in (1, columns) and shape[3] == keys
    )
    if not fits:
        earlier = f", after {before} columns of past_key_values" if before else ""
        raise InputError(
            f"attention_mask has shape {shape}, but the batch is ({batch}, {columns}){earlier}: "
            "give 1 for each real token and 0 for padding, in the same shape."
        )
    if mask.dtype == torch.bool:
        return mask[:, None] if mask.dim() == 3 else mask
    if not is_tracing() and carried(mask) is not None:
        return as_bool(mask)
    known = is_tracing() or mask.device.type == "meta"  # values cannot be looked at
    if mask.dim() == 4 and mask.dtype.is_floating_point and (known or not bool((mask > 0).any())):
        return mask
    if not known and not bool(((mask == 0) | (mask == 1)).all()):
        if mask.dim() == 4 and mask.dtype.is_floating_point and not bool(mask.isnan().any()):
            return mask  # added to the scores
        wrong = mask[(mask != 0) & (mask != 1)].flatten()[0].item()
        hint = " A mask that is added to scores has four dimensions: (batch, 1, 1 or columns, columns)."
        raise InputError(
            f"attention_mask holds {wrong}; it should be 1 for what is seen and 0 for what is not."
            f"{hint if mask.dim() < 4 else ''}"
        )
    return mask[:, None].bool() if mask.dim() == 3 else mask.bool()
