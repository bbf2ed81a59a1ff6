"""Moonshine: waves, and what is written of them."""

from typing import Any

import torch

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Waves and texts of two lengths."""
    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, -100, -100]])
    given = {"input_values": torch.randn(2, 9000, generator=torch.Generator().manual_seed(3)), "use_cache": False}
    written = {"labels": ids} if labels and head != "base" else {"decoder_input_ids": ids.clamp(min=1)}
    return given | written


FACTS = Facts(
    inputs=inputs,
    unseen={
        "pad_head_dim_to_multiple_of": "of kernels that read some widths alone",
        "max_position_embeddings": "for kinds of angles that depend on it",
        "decoder_start_token_id": "of labels and generation",
        "is_encoder_decoder": "what the model is",
    },
    changed={
        "hidden_size": 64,
        **dict.fromkeys(("encoder_num_attention_heads", "decoder_num_attention_heads"), 3),
        **dict.fromkeys(("encoder_num_key_value_heads", "decoder_num_key_value_heads"), 2),
    },
    forms=(
        ("base", {"attention_bias": True, "encoder_hidden_act": "relu", "decoder_hidden_act": "gelu"}),
        ("base", {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}}),
        ("base", {"pad_head_dim_to_multiple_of": 8}),
        ("speech-seq2seq", {"tie_word_embeddings": False}),
    ),
)
