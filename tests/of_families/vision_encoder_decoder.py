"""Pictures, and what is written of them."""

from typing import Any

import torch

from formers import registry

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Pictures and texts of two lengths."""
    from images.towers import pixels

    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, -100, -100]])
    given = {"pixel_values": pixels(model.encoder), "use_cache": False}
    return given | ({"labels": ids} if labels else {"decoder_input_ids": ids.clamp(min=1)})


def decoder(family: str, **changes: Any) -> dict[str, Any]:
    """The keys of a decoder of that family."""
    return {"decoder": {"model_type": family, **registry.load(family).TINY, **DECODER, **changes}}


DECODER = {"is_decoder": True, "add_cross_attention": True}
NARROW = {"encoder": {"model_type": "vit", **registry.load("vit").TINY, "hidden_size": 24}}
FACTS = Facts(
    inputs=inputs,
    own_defaults=("tie_encoder_decoder",),
    forms=(
        ("base", decoder("gpt2")),
        ("base", decoder("bert")),
        ("base", decoder("roberta") | NARROW),
        ("base", decoder("trocr", cross_attention_hidden_size=24) | NARROW),
        ("base", decoder("trocr", use_learned_position_embeddings=False, scale_embedding=True)),
        ("base", decoder("trocr", layernorm_embedding=False, tie_word_embeddings=False)),
    ),
)
