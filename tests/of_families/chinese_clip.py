"""Chinese-CLIP: BERT for texts, and CLIP's tower for pictures."""

from . import Facts
from .two_towers import inputs

FACTS = Facts(
    inputs=inputs,
    unseen={
        "projection_dim": "of models of one tower with a projection",
        "initializer_factor": "how new weights are drawn",
        "classifier_dropout": "of heads that label texts",
    },
)
