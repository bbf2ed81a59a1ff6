"""WavLM: sound as it is; the reference returns the mean of all heads' weights in the place of each."""

import torch

from . import Facts
from .hearing import CHANGED, UNSEEN, inputs

OTHER = {"do_stable_layer_norm": False, "feat_extract_norm": "group"}


def comparable(name: str, found: torch.Tensor) -> torch.Tensor:
    """Of weights of attention the mean of all heads."""
    return found.mean(1) if name.startswith("attentions") else found


FACTS = Facts(
    inputs=inputs,
    unseen={**UNSEEN, "num_ctc_classes": "nothing reads it"},
    changed={**CHANGED, **OTHER},
    together={"output_hidden_size": {"add_adapter": True}},
    comparable=comparable,
    forms=(
        ("base", OTHER),
        ("base", {"add_adapter": True, "output_hidden_size": 24}),
        ("ctc", OTHER),
        ("audio-classification", {"use_weighted_layer_sum": True}),
        ("audio-xvector", {"use_weighted_layer_sum": True}),
    ),
)
