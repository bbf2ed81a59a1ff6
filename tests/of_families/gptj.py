"""GPT-J: turned queries and keys, whose positions a layer finds by itself."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows, mask = model.wte(ids), model.get_extended_attention_mask(keep, ids.shape)
    for block in model.h:
        (rows,) = block(rows, attention_mask=mask)
    return model.ln_f(rows)


FACTS = Facts(
    causal=True,
    rates=("embd_pdrop", "resid_pdrop", "attn_pdrop"),
    head_rate=None,
    unseen={"n_positions": "rotary positions have no table"},
    changed={"rotary_dim": 2},
    forms=(("base", {"n_inner": None}), ("base", {"rotary_dim": 8})),
    positions=None,
    short_tuples=("question-answering",),
    types_are_words=True,
    chain=chained,
)
