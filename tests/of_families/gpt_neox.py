"""GPT-NeoX: turned queries and keys, two branches beside each other."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows, mask = model.embed_in(ids), model.get_extended_attention_mask(keep, ids.shape)
    turns = model.rotary_emb(rows, torch.arange(ids.shape[1])[None])
    for layer in model.layers:
        (rows,) = layer(rows, mask, position_embeddings=turns)
    return model.final_layer_norm(rows)


FACTS = Facts(
    causal=True,
    rates=("hidden_dropout", "attention_dropout"),
    head_rate=None,
    unseen={"max_position_embeddings": "rotary positions have no table"},
    changed={"rope_parameters": {"rope_type": "default", "rope_theta": 10.0, "partial_rotary_factor": 0.5}},
    forms=(
        ("base", {"use_parallel_residual": False, "attention_bias": False}),
        ("base", {"rotary_pct": 1.0, "rotary_emb_base": 100}),
        ("base", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}}),
    ),
    positions=None,
    chain=chained,
)
