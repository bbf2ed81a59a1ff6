"""LLaVA: a decoder that reads pictures in texts."""

from . import Facts
from .clip import FACTS as CLIP
from .llama import FACTS as LLAMA
from .seeing import UNSEEN, inputs

FACTS = Facts(
    inputs=inputs,
    unseen={**LLAMA.unseen, **CLIP.unseen, **UNSEEN},
    changed=LLAMA.changed,
    together=LLAMA.together,
    forms=(
        ("image-text-to-text", {"tie_word_embeddings": True}),
        ("image-text-to-text", {"vision_feature_layer": [-1, 0]}),
        ("image-text-to-text", {"vision_feature_select_strategy": "full"}),
        ("base", {"multimodal_projector_bias": False, "projector_hidden_act": "relu"}),
    ),
)
