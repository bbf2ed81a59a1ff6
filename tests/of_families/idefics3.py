"""Idefics 3: a decoder that reads pictures in texts."""

from . import Facts
from .llama import FACTS as LLAMA
from .seeing import UNSEEN, inputs

FACTS = Facts(
    inputs=inputs,
    unseen={**LLAMA.unseen, **UNSEEN},
    changed=LLAMA.changed,
    together=LLAMA.together,
    own_defaults=("pad_token_id",),  # which the reference warns of there, and takes from text_config
    forms=(
        ("image-text-to-text", {"tie_word_embeddings": True}),
        ("image-text-to-text", {"scale_factor": 4}),
        (
            "base",
            {
                "text_config": {
                    "model_type": "qwen2",
                    "vocab_size": 99,
                    "hidden_size": 32,
                    "num_hidden_layers": 2,
                    "intermediate_size": 37,
                    "num_attention_heads": 4,
                    "num_key_value_heads": 2,
                }
            },
        ),
    ),
)
