"""What families have in common that read sound as it is."""

from __future__ import annotations

from typing import Any

import torch

SAMPLES = 400
UNSEEN = {
    **dict.fromkeys(
        ("num_codevectors_per_group", "num_codevector_groups", "codevector_dim", "proj_codevector_dim"),
        "of the head for pretraining",
    ),
    **dict.fromkeys(
        ("contrastive_logits_temperature", "num_negatives", "diversity_loss_weight"), "the loss of pretraining"
    ),
    **dict.fromkeys(("ctc_loss_reduction", "ctc_zero_infinity"), "the loss of what is said"),
    **dict.fromkeys(("use_weighted_layer_sum", "classifier_proj_size"), "of heads that label sounds"),
    **dict.fromkeys(("tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim"), "of the head of voices"),
    **dict.fromkeys(
        (
            *("apply_spec_augment", "mask_time_length", "mask_time_min_masks", "mask_time_prob"),
            *("mask_feature_prob", "mask_feature_length", "mask_feature_min_masks"),
        ),
        "what training hides",
    ),
    **dict.fromkeys(("adapter_kernel_size", "adapter_stride", "num_adapter_layers"), "of adapters alone"),
}
CHANGED = {
    "feat_extract_norm": "layer",
    "conv_dim": [8, 12, 20],
    "conv_stride": [4, 2, 2],
    "conv_kernel": [10, 4, 2],
    "num_conv_pos_embeddings": 5,
    "num_conv_pos_embedding_groups": 4,
}


def waves(count: int = 2, samples: int = SAMPLES) -> torch.Tensor:
    """Sounds (B, S)."""
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(3))


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Sounds without padding, and labels of the head's kind."""
    values, draw = waves(), torch.Generator().manual_seed(1)
    given: dict[str, Any] = {"input_values": values}
    config, frames = model.config, int(model._get_feat_extract_output_lengths(SAMPLES, add_adapter=False))
    if head == "pretraining":
        hidden = torch.rand(2, frames, generator=draw) < 0.5
        given["mask_time_indices"] = hidden
        if labels:
            given["sampled_negative_indices"] = torch.randint(0, 2 * frames, (2, frames, 5), generator=draw)
    elif labels and head == "ctc":
        given["labels"] = torch.randint(1, config.vocab_size, (2, 5), generator=draw)
        given["labels"][1, 3:] = -100
    elif labels and head == "audio-frame-classification":
        wanted = torch.randint(0, config.num_labels, (2, frames), generator=draw)
        given["labels"] = torch.nn.functional.one_hot(wanted, config.num_labels)
    elif labels and head != "base":
        given["labels"] = torch.tensor([0, config.num_labels - 1])
    return given
