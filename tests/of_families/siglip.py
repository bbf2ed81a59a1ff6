"""SigLIP: a tower for texts, which are of one length, and one for pictures."""

from . import Facts
from .two_towers import inputs

FACTS = Facts(
    inputs=inputs,
    unseen={"initializer_factor": "how new weights are drawn"},
    forms=(
        ("text", {"projection_size": 40}),
        ("text", {"hidden_act": "gelu"}),
        ("vision", {"vision_use_head": False}),
    ),
)
