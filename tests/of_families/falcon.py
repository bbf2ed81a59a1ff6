"""Falcon: heads that share keys, turned or with scores that rise with the places of keys."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows, mask = model.word_embeddings(ids), model.get_extended_attention_mask(keep, ids.shape)
    turns = model.rotary_emb(rows, torch.arange(ids.shape[1])[None])
    for layer in model.h:
        (rows,) = layer(rows, None, mask, position_embeddings=turns)
    return model.ln_f(rows)


FACTS = Facts(
    causal=True,
    rates=("hidden_dropout",),  # attention drops nothing where it is turned
    head_rate=None,
    unseen={
        "max_position_embeddings": "rotary positions have no table",
        **dict.fromkeys(("num_kv_heads", "num_ln_in_parallel_attn"), "with new_decoder_architecture only"),
    },
    changed={"rope_parameters": {"rope_type": "default", "rope_theta": 10.0}},
    forms=(
        ("base", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("base", {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}),
        ("base", {"multi_query": False, "bias": True}),
        ("base", {"parallel_attn": False}),
        ("base", {"alibi": True, "parallel_attn": False}),
        ("base", {"alibi": True, "num_attention_heads": 6, "hidden_size": 24, "multi_query": False}),
        ("causal-lm", {"ffn_hidden_size": None}),
    ),
    positions=None,
    wrong_eager=("alibi",),  # it is added twice
    short_tuples=("token-classification", "question-answering"),
    chain=chained,
)
