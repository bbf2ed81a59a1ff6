"""Masks as people who call a model's modules by hand make them, and head masks as its layers read them.

Letters: B batch, T columns, L layers, H heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import InputError, NotTensorError


class Masks:
    """The part of a model that makes masks. A mask that is added to scores has 0 for what is seen, and for what is not
    the smallest number of its type."""

    config: Any
    dtype: Any

    def causal(self) -> bool:
        """Whether no column sees a later one."""
        return bool(getattr(self.config, "is_decoder", False))

    def get_extended_attention_mask(
        self, attention_mask: Tensor, input_shape: tuple[int, ...], device: Any = None, dtype: Any = None
    ) -> Tensor:
        """What the layers add to scores, (B, 1, 1 or T, T), from a mask of ones and zeros, (B, T) or (B, T, T).

        Of a causal model, a mask (B, T) hides later columns too. input_shape: (B, T).
        """
        if attention_mask.dim() == 4:
            return attention_mask
        dtype = dtype or self.dtype
        if attention_mask.dim() == 3:
            seen = attention_mask[:, None]
        elif attention_mask.dim() == 2:
            seen = attention_mask[:, None, None]
            if self.causal():
                T = input_shape[1]
                seen = seen * torch.ones(T, T, dtype=seen.dtype, device=seen.device).tril()
        else:
            raise InputError(
                f"attention_mask has shape {tuple(attention_mask.shape)}, but the batch is {tuple(input_shape)}: "
                "give (batch, columns) or (batch, columns, columns)."
            )
        return (1.0 - seen.to(dtype)) * torch.finfo(dtype).min

    def invert_attention_mask(self, encoder_attention_mask: Tensor) -> Tensor:
        """What attention to an encoder's states adds to scores, (B, 1, 1 or T, K), from ones and zeros, (B, K) or
        (B, T, K)."""
        seen = encoder_attention_mask[:, None]
        seen = seen if encoder_attention_mask.dim() == 3 else seen[:, None]
        return (1.0 - seen.to(self.dtype)) * torch.finfo(self.dtype).min

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> Tensor | list[None]:
        """(L, 1, H, 1, 1) from (H,) or (L, H), 1 keeps a head; a list of None from None."""
        masks = self.head_masks(head_mask, num_hidden_layers)
        if head_mask is None:
            return [None] * num_hidden_layers
        stacked = torch.stack([mask for mask in masks if mask is not None])
        return stacked[..., None] if is_attention_chunked else stacked

    def head_masks(self, head_mask: Tensor | None, layers: int, name: str = "head_mask") -> list[Tensor | None]:
        """One mask a layer, broadcastable to (B, H, T, T), from (H,), (L, H) or (L, B, H, T, T); 1 keeps a head."""
        if head_mask is None:
            return [None] * layers
        if not isinstance(head_mask, Tensor):
            raise NotTensorError(f"{name} is a {type(head_mask).__name__}, not a tensor; torch.tensor(…) makes one.")
        if head_mask.dim() not in (1, 2, 5) or (head_mask.dim() > 1 and head_mask.shape[0] != layers):
            raise InputError(
                f"{name} has shape {tuple(head_mask.shape)}; give (heads,) or ({layers}, heads): 1 keeps a head."
            )
        masks = head_mask.to(self.dtype)
        if masks.dim() == 1:
            masks = masks.expand(layers, -1)
        return list(masks if masks.dim() == 5 else masks[:, None, :, None, None])
