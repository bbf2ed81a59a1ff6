"""ModernBERT: rotary positions, windows, no module around the layers."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows, places = model.embeddings(ids), torch.arange(ids.shape[1])[None]
    for layer, kind in zip(model.layers, model.config.layer_types, strict=True):
        turns = model.rotary_emb(rows, places, kind)
        (rows,) = layer(rows, attention_mask=keep, position_embeddings=turns)
    return model.final_norm(rows)


FACTS = Facts(
    rates=("embedding_dropout", "attention_dropout", "mlp_dropout"),
    unseen={
        "max_position_embeddings": "rotary positions have no table",
        "initializer_cutoff_factor": "how new weights are drawn",
        "classifier_pooling": "classification only",
        "deterministic_flash_attn": "how a kernel that is not used here adds up gradients",
        **dict.fromkeys(("sparse_prediction", "sparse_pred_ignore_index"), "with labels only"),
    },
    changed={
        "classifier_pooling": "mean",
        "layer_types": ["full_attention"] * 4,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10.0}},
        "local_attention": 2,
    },
    forms=(
        ("sequence-classification", {"classifier_pooling": "mean"}),
        ("base", {"attention_bias": True, "mlp_bias": True, "norm_bias": True}),
        ("base", {"global_attn_every_n_layers": 2, "local_attention": 4}),
    ),
    positions=None,
    windows=True,
    chain=chained,
)
