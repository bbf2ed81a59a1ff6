"""ResNet: pictures alone."""

from . import Facts

FACTS = Facts(
    fused=None,
    own_defaults=("depths", "hidden_sizes"),  # tuples there
    changed={"out_features": ["stage1"], "out_indices": [1], "layer_type": "basic", "hidden_act": "gelu"},
    together={
        "out_features": {"out_indices": None},
        "depths": {"hidden_sizes": [16, 24], "depths": [1, 1]},
    },
    forms=(
        ("base", {"layer_type": "basic", "downsample_in_first_stage": True}),
        ("image-classification", {"downsample_in_bottleneck": True, "num_labels": 0}),
        ("backbone", {"out_indices": None}),
    ),
)
