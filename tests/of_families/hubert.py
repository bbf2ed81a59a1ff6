"""HuBERT: sound as it is."""

from . import Facts
from .hearing import CHANGED, UNSEEN, inputs
from .wav2vec2 import STABLE

FACTS = Facts(
    inputs=inputs,
    unseen=UNSEEN,
    changed=CHANGED,
    forms=(
        ("base", STABLE),
        ("base", {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False}),
        ("ctc", {**STABLE, "adapter_attn_dim": 6}),
        ("audio-classification", {"use_weighted_layer_sum": True}),
    ),
)
