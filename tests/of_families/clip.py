"""CLIP: a tower for texts, whose tokens see no later ones, and one for pictures."""

from . import Facts
from .two_towers import inputs

FACTS = Facts(
    inputs=inputs,
    unseen={
        "projection_dim": "of models of one tower with a projection",
        "initializer_factor": "how new weights are drawn",
    },
    seen=("eos_token_id",),
    forms=(
        ("text", {"eos_token_id": 2}),
        ("text", {"hidden_act": "gelu"}),
        ("vision", {"image_size": 32}),
        ("image-classification", {"num_labels": 0}),
        ("image-classification", {"num_labels": 1}),
    ),
)
