"""Sounds, and what is written of them."""

from typing import Any

import torch

from formers import registry

from . import Facts
from .vision_encoder_decoder import decoder


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Sounds and texts of two lengths."""
    from .hearing import waves

    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, -100, -100]])
    given = {"inputs": waves(), "use_cache": False}
    return given | ({"labels": ids} if labels else {"decoder_input_ids": ids.clamp(min=1)})


def encoder(**changes: Any) -> dict[str, Any]:
    """The keys of an encoder."""
    return {"encoder": {"model_type": "wav2vec2", **registry.load("wav2vec2").TINY, **changes}}


ADAPTED = encoder(add_adapter=True, num_adapter_layers=2)
NARROW = encoder(hidden_size=24)
FACTS = Facts(
    inputs=inputs,
    own_defaults=("tie_encoder_decoder", "tie_word_embeddings"),
    forms=(
        ("base", decoder("gpt2")),
        ("base", decoder("roberta") | NARROW),
        ("base", ADAPTED),
        ("base", encoder(add_adapter=True, output_hidden_size=32, hidden_size=24)),
        ("base", encoder(do_stable_layer_norm=True, feat_extract_norm="layer")),
    ),
)
