"""Data2Vec for sound."""

from . import Facts
from .hearing import CHANGED, UNSEEN, inputs

FACTS = Facts(
    inputs=inputs,
    unseen=UNSEEN,
    changed={**CHANGED, "num_conv_pos_embeddings": 3},
    together={"output_hidden_size": {"add_adapter": True}},
    forms=(
        ("base", {"conv_pos_kernel_size": 4, "conv_bias": False}),
        ("base", {"add_adapter": True, "output_hidden_size": 24}),
        ("audio-classification", {"use_weighted_layer_sum": True}),
        ("audio-xvector", {"use_weighted_layer_sum": True}),
    ),
)
