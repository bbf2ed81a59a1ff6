"""What the decoders have in common that are called as Llama is; no family has this name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows, places = model.embed_tokens(ids), torch.arange(ids.shape[1])[None]
    rows = rows * getattr(model.config, "embedding_multiplier", 1.0)
    kinds = getattr(model.rotary_emb, "of", None)
    for i, layer in enumerate(model.layers):
        turns = model.rotary_emb(rows, places, *((model.config.layer_types[i],) if kinds else ()))
        (rows,) = layer(rows, attention_mask=keep, position_embeddings=turns)
    return getattr(model, model.LAST)(rows)


def rotary(unseen: Mapping[str, str] | None = None, changed: Mapping[str, Any] | None = None, **more: Any) -> Facts:
    """The facts of such a family, with its own ones."""
    usual: dict[str, Any] = {
        "causal": True,
        "rates": ("attention_dropout",),
        "head_rate": None,
        "positions": None,
        "fused": {},
        "chain": chained,
    }
    return Facts(
        unseen={"max_position_embeddings": "rotary positions have no table", **(unseen or {})},
        changed={
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10.0},
            "head_dim": 8,
            "layer_types": ["full_attention"] * 2,
            **(changed or {}),
        },
        **{**usual, **more},
    )
