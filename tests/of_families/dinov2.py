"""DINOv2: pictures alone."""

from . import Facts

FACTS = Facts(
    unseen={
        "layerscale_value": "how new scales are set",
        "apply_layernorm": "the backbone alone",
    },
    changed={"out_features": ["stage1"], "out_indices": [2]},
    together={"out_features": {"out_indices": None}},
    forms=(
        ("base", {"qkv_bias": False, "use_swiglu_ffn": True}),
        ("image-classification", {"num_labels": 0, "use_mask_token": False}),
        ("backbone", {"apply_layernorm": False, "out_indices": None, "out_features": ["stem", "stage2"]}),
        ("backbone", {"reshape_hidden_states": False, "out_indices": [-2]}),
    ),
)
