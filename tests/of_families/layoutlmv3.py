"""LayoutLMv3: texts alone are tried as all families are; images, alone and with texts, in tests/test_layoutlmv3.py."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return model.encoder(model.embeddings(ids), attention_mask=keep).last_hidden_state


IMAGE = "images, in tests/test_layoutlmv3.py"

FACTS = Facts(
    texts_alone=True,
    unseen={"text_embed": IMAGE, "max_rel_2d_pos": "where there are no boxes"},
    changed={"text_embed": True, "shape_size": 6, "max_rel_pos": 40, "input_size": 32},
    together={
        "hidden_size": {"coordinate_size": 14},
        "coordinate_size": {"shape_size": 2},
        "shape_size": {"coordinate_size": 5},
    },
    seen=("pad_token_id",),
    forms=(
        ("base", {"has_spatial_attention_bias": False}),
        ("base", {"has_relative_attention_bias": False}),
        ("base", {"max_rel_2d_pos": 900, "max_rel_pos": 40}),
    ),
    per_query=False,  # it fails
    embeds=False,  # it fails but beside images
    chain=chained,
)
