"""Whisper: spectrograms, and what is written of them."""

from typing import Any

import torch

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Spectrograms and texts of two lengths; of the decoder alone what an encoder could have returned."""
    config, draw = model.config, torch.Generator().manual_seed(3)
    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, -100, -100]])
    if head == "causal-lm":
        rows = torch.randn(2, config.max_source_positions, config.d_model, generator=draw)
        given = {"input_ids": ids.clamp(min=1), "encoder_outputs": (rows,), "use_cache": False}
        return given | ({"labels": ids} if labels else {})
    features = torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions, generator=draw)
    if head == "audio-classification":
        sounds = {"input_features": features}
        return sounds | ({"labels": torch.tensor([0, config.num_labels - 1])} if labels else {})
    written = {"labels": ids} if labels and head != "base" else {"decoder_input_ids": ids.clamp(min=1)}
    return {"input_features": features, "use_cache": False, **written}


FACTS = Facts(
    inputs=inputs,
    unseen={
        **dict.fromkeys(("decoder_start_token_id", "suppress_tokens", "begin_suppress_tokens"), "of generation"),
        "is_encoder_decoder": "what the model is",
        "scale_embedding": "which Whisper's modules do not look at",
        "init_std": "how new weights are drawn",
        "median_filter_width": "for times of words",
        **dict.fromkeys(("classifier_proj_size", "use_weighted_layer_sum"), "of the head that labels sounds"),
        **dict.fromkeys(
            (
                *("apply_spec_augment", "mask_time_length", "mask_time_min_masks", "mask_time_prob"),
                *("mask_feature_prob", "mask_feature_length", "mask_feature_min_masks"),
            ),
            "what training hides",
        ),
    },
    changed={
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 8),
        "d_model": 64,
        "begin_suppress_tokens": [7],
        "suppress_tokens": [7],
    },
    forms=(
        ("speech-seq2seq", {"tie_word_embeddings": False}),
        ("speech-seq2seq", {"activation_function": "relu", "scale_embedding": True}),
        ("audio-classification", {"use_weighted_layer_sum": True}),
        ("audio-classification", {"num_labels": 5}),
    ),
)
