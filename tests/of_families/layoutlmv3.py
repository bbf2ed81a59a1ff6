"""LayoutLMv3: texts alone are tried as all families are; images, alone and with texts, in tests/test_layoutlmv3.py."""

from typing import Any

import torch

from . import Facts


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return model.encoder(model.embeddings(ids), attention_mask=keep).last_hidden_state


IMAGE = "images, in tests/test_layoutlmv3.py"

FACTS = Facts(
    texts_alone=True,
    unseen={
        **dict.fromkeys(("text_embed", "visual_embed", "input_size", "num_channels", "patch_size"), IMAGE),
    },
    seen=("pad_token_id",),
    forms=(("base", {"has_spatial_attention_bias": False}), ("base", {"has_relative_attention_bias": False})),
    per_query=False,  # it fails
    chain=chained,
)
