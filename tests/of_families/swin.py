"""Swin: pictures alone, in windows."""

from . import Facts

FACTS = Facts(
    own_defaults=("depths", "num_heads"),  # tuples there
    changed={"out_features": ["stage1"], "out_indices": [2], "depths": [2, 1], "num_heads": [4, 4], "embed_dim": 32},
    together={"out_features": {"out_indices": None}},
    forms=(
        ("base", {"qkv_bias": False, "window_size": 4, "image_size": 36}),  # maps of 9 and 5, which windows do not fill
        ("base", {"image_size": 48, "window_size": 5, "depths": [2, 3]}),
        ("base", {"image_size": 30, "use_absolute_embeddings": False, "patch_size": 4}),
        ("image-classification", {"use_absolute_embeddings": False, "num_labels": 0}),
        ("image-classification", {"image_size": [24, 40], "num_labels": 1}),
        ("image-classification", {"depths": [1, 2, 1], "num_heads": [1, 2, 4], "image_size": 48}),
        ("backbone", {"out_indices": [1], "window_size": 4}),  # windows larger than the last map
        ("backbone", {"qkv_bias": False, "image_size": 20, "window_size": 7}),
    ),
)
