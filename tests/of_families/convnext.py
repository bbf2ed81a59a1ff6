"""ConvNeXT: pictures alone."""

from . import Facts

FACTS = Facts(
    fused=None,
    own_defaults=("depths", "hidden_sizes"),  # tuples there
    unseen={"layer_scale_init_value": "how new scales are set"},
    changed={"out_features": ["stage1"], "out_indices": [1], "num_stages": 1},
    together={
        "out_features": {"out_indices": None},
        "num_stages": {"hidden_sizes": [16], "depths": [2], "out_indices": None},
    },
    forms=(
        ("base", {"layer_scale_init_value": 0.0, "patch_size": 2}),
        ("image-classification", {"num_labels": 0}),
        ("backbone", {"out_indices": None}),
    ),
)
