"""ViT: pictures alone."""

from . import Facts

FACTS = Facts(
    own_defaults=("pooler_output_size",),  # of old, which is the hidden size
    forms=(
        ("base", {"qkv_bias": False, "pooler_act": "relu", "pooler_output_size": None}),
        ("image-classification", {"image_size": [16, 32]}),
        ("image-classification", {"num_labels": 0}),
        ("image-classification", {"num_labels": 1}),
    ),
)
