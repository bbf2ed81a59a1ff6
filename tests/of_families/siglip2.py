"""SigLIP 2: a tower for texts, which are of one length, and one for pictures of any shape."""

from . import Facts
from .two_towers import inputs

FACTS = Facts(
    inputs=inputs,
    unseen={"initializer_factor": "how new weights are drawn"},
    changed={"num_patches": 16},
    forms=(("text", {"projection_size": 40}), ("vision", {"vision_use_head": False})),
)
