"""DistilBERT: names of its own for layers and their arguments, masks of ones and zeros."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    rows = model.embeddings(ids)
    return model.transformer(x=rows, attn_mask=keep, head_mask=[None] * model.depth()).last_hidden_state


FACTS = Facts(
    rates=("dropout", "attention_dropout"),
    head_rate="seq_classif_dropout",
    unseen={"sinusoidal_pos_embds": "how new position embeddings are drawn, and that they are not trained"},
    chain=chained,
    attentions=lambda layer: [],  # its arguments are query, key, value
)
