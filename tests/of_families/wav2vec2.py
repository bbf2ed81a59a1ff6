"""Wav2Vec2: sound as it is."""

from . import Facts
from .hearing import CHANGED, UNSEEN, inputs

STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
FACTS = Facts(
    inputs=inputs,
    unseen=UNSEEN,
    changed=CHANGED,
    together={
        "output_hidden_size": {"add_adapter": True},
        "adapter_attn_dim": {"do_stable_layer_norm": True},
    },
    forms=(
        ("base", STABLE),
        ("base", {"conv_bias": False, "hidden_act": "relu", "feat_extract_activation": "relu"}),
        ("base", {"num_conv_pos_embeddings": 5, "mask_time_prob": 0.0}),
        ("base", {"add_adapter": True, "output_hidden_size": 24}),
        ("ctc", STABLE),
        ("ctc", {**STABLE, "adapter_attn_dim": 6}),
        ("ctc", {"add_adapter": True, "num_adapter_layers": 1}),
        ("ctc", {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}),
        ("pretraining", STABLE),
        ("audio-classification", {"use_weighted_layer_sum": True}),
        ("audio-classification", {"use_weighted_layer_sum": True, **STABLE}),
        ("audio-frame-classification", {"use_weighted_layer_sum": True}),
        ("audio-xvector", {"use_weighted_layer_sum": True}),
    ),
)
