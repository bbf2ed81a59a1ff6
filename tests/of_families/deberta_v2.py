"""DeBERTa-v2: no positions in the embeddings but by configuration, a convolution beside the first layer."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return model.encoder(model.embeddings(ids, mask=keep), keep).last_hidden_state


FACTS = Facts(
    head_rate="cls_dropout",
    unseen={
        "max_position_embeddings": "there is no table where positions are no input",
        "max_relative_positions": "buckets are what short texts see",
        "pooler_hidden_act": "classification only",
    },
    changed={"pos_att_type": ["c2p"]},
    forms=(
        ("masked-lm", {"legacy": False}),
        ("masked-lm", {"embedding_size": 24, "type_vocab_size": 2}),
        ("base", {"share_att_key": True, "position_biased_input": True, "position_buckets": -1}),
        ("base", {"pos_att_type": "c2p", "conv_kernel_size": 0, "norm_rel_ebd": "none"}),
        ("base", {"position_buckets": 12, "max_relative_positions": 8}),
        ("base", {"position_buckets": 40, "max_relative_positions": 80}),
        ("base", {"relative_attention": False, "position_biased_input": True}),
    ),
    positions={"position_biased_input": True},
    between={"conv_kernel_size": 0},
    per_query=False,  # it fails
    chain=chained,
)
