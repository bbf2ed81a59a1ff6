"""GPT-2: learned positions, norms before attention and feed-forward, no module around the layers."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows = model.wte(ids) + model.wpe(torch.arange(ids.shape[1]))[None]
    mask = model.get_extended_attention_mask(keep, ids.shape)
    for block in model.h:
        (rows,) = block(rows, attention_mask=mask)
    return model.ln_f(rows)


SUMMARY = ("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels")
FACTS = Facts(
    causal=True,
    rates=("embd_pdrop", "resid_pdrop", "attn_pdrop"),
    head_rate=None,
    unseen={
        **dict.fromkeys(SUMMARY, "the head of two tasks only"),
        "reorder_and_upcast_attn": "how scores are computed in half precision",
    },
    changed={"summary_type": "last", "summary_activation": "tanh"},
    forms=(
        ("base", {"scale_attn_by_inverse_layer_idx": True}),
        ("base", {"n_inner": None}),
        ("causal-lm", {"scale_attn_weights": False}),
    ),
    fused={},
    types_are_words=True,
    chain=chained,
)
