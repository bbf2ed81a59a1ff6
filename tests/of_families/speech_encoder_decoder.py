"""Sounds, and what is written of them."""

from typing import Any

import torch

from formers import registry

from . import Facts
from .hearing import waves
from .vision_encoder_decoder import decoder


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Sounds and texts of two lengths."""
    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, -100, -100]])
    given = {"input_values": waves(), "use_cache": False}
    return given | ({"labels": ids} if labels else {"decoder_input_ids": ids.clamp(min=1)})


def encoder(family: str, **changes: Any) -> dict[str, Any]:
    """The keys of an encoder of that family."""
    module = registry.load(family)
    return {"encoder": {"model_type": next(iter(module.MODEL_TYPES)), **module.TINY, **changes}}


FACTS = Facts(
    inputs=inputs,
    own_defaults=("tie_encoder_decoder",),
    forms=(
        ("base", decoder("gpt2")),
        ("base", decoder("trocr") | encoder("hubert", hidden_size=24)),
        ("base", encoder("wavlm")),
        ("base", encoder("wav2vec2", add_adapter=True, num_adapter_layers=2)),
    ),
)
