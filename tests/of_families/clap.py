"""CLAP: RoBERTa for texts, and a Swin for spectrograms."""

from typing import Any

import torch

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Texts, sounds of fewer frames than fit, two of them long, or pairs of both with their loss."""
    config, reads, given = getattr(model.config, "audio_config", model.config), type(model).inputs(), dict[str, Any]()
    if "input_features" in reads:
        channels = 4 if config.enable_fusion else config.patch_embed_input_channels
        generator, frames = (
            torch.Generator().manual_seed(3),
            config.spec_size * (config.spec_size // config.num_mel_bins),
        )
        given["input_features"] = torch.randn(3, channels, frames - 14, config.num_mel_bins, generator=generator)
        given["is_longer"] = torch.tensor([[False], [True], [True]])
    if "input_ids" in reads:
        ids = torch.randint(4, 99, (3, 7), generator=torch.Generator().manual_seed(2))
        ids[:, 0] = 0
        given["input_ids"] = ids
    if labels and "return_loss" in reads:
        given["return_loss"] = True
    return given


FACTS = Facts(
    inputs=inputs,
    own_defaults=("patch_stride", "depths", "num_attention_heads"),  # tuples there
    seen=("pad_token_id",),
    unseen={
        "projection_dim": "of models of one tower with a projection",
        "projection_hidden_act": "of models of one tower with a projection",
        "initializer_factor": "how new weights are drawn",
        "num_classes": "of a head that nobody has",
        "fusion_type": "of a kind of fusion that cannot be run",
        "audio_config.num_hidden_layers": "how new weights are drawn",
        "classifier_dropout": "of heads that label texts",
    },
    changed={"depths": [2, 1], "num_attention_heads": [4, 8], "spec_size": 64, "window_size": 2, "patch_stride": 2},
    forms=(
        ("base", {"projection_hidden_act": "gelu"}),
        ("audio", {"enable_fusion": False, "qkv_bias": False}),
        ("audio", {"enable_fusion": False, "patch_embed_input_channels": 2, "enable_patch_layer_norm": False}),
        ("audio", {"patch_size": 6, "window_size": 2}),
        ("audio", {"depths": [1, 2, 1], "num_attention_heads": [1, 2, 4], "spec_size": 64, "hidden_size": 32}),
        ("audio-projection", {"enable_fusion": False}),
        ("text", {"pad_token_id": 3}),
    ),
)
