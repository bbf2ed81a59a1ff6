"""OPT: positions that count real tokens, projections between narrow embeddings and layers."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    decoder = model.decoder
    rows = decoder.project_in(decoder.embed_tokens(ids)) + decoder.embed_positions(keep, 0)
    mask = model.get_extended_attention_mask(keep, ids.shape)
    for layer in decoder.layers:
        (rows,) = layer(rows, mask)
    return decoder.project_out(decoder.final_layer_norm(rows))


FACTS = Facts(
    causal=True,
    rates=("dropout", "attention_dropout"),
    head_rate=None,
    unseen={"init_std": "how new weights are drawn"},
    changed={"activation_function": "gelu"},
    flat=("fc1", "fc2", "activation_fn", ".final_layer_norm"),
    forms=(
        ("base", {"do_layer_norm_before": False}),
        ("base", {"word_embed_proj_dim": 32, "enable_bias": False}),
        ("base", {"layer_norm_elementwise_affine": False}),
        ("causal-lm", {"_remove_final_layer_norm": True}),
    ),
    per_query=False,
    fused={"word_embed_proj_dim": 32},
    chain=chained,
)
