"""BLOOM: scores that rise with the places of keys."""

from typing import Any

import torch

from formers.models.bloom import build_alibi_tensor

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows = model.word_embeddings_layernorm(model.word_embeddings(ids))
    rises = build_alibi_tensor(keep, model.num_heads, rows.dtype)
    mask = model.get_extended_attention_mask(keep, ids.shape)
    for block in model.h:
        (rows,) = block(rows, rises, mask)
    return model.ln_f(rows)


FACTS = Facts(
    causal=True,
    rates=("hidden_dropout", "attention_dropout"),
    head_rate=None,
    unseen=dict.fromkeys(("pretraining_tp", "slow_but_exact"), "in how many sums products are computed"),
    forms=(
        ("base", {"apply_residual_connection_post_layernorm": True}),
        ("base", {"n_head": 8}),
        ("base", {"n_head": 2, "hidden_size": 24}),
        ("base", {"n_head": 6, "hidden_size": 24}),
    ),
    positions=None,
    per_query=False,
    short_tuples=("token-classification", "question-answering"),
    chain=chained,
)
