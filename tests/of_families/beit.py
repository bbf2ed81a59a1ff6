"""BEiT: pictures alone; labels of hidden patches, and of pixels."""

from typing import Any

import torch

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """A batch of each head."""
    config, generator = model.config, torch.Generator().manual_seed(1)
    side = config.image_size
    height, width = (side, side) if isinstance(side, int) else side
    given: dict[str, Any] = {"pixel_values": torch.randn(2, config.num_channels, height, width, generator=generator)}
    if head == "masked-visual-words":
        hidden = torch.zeros(2, (height // config.patch_size) * (width // config.patch_size), dtype=torch.bool)
        hidden[0, :4] = hidden[1, 2:5] = True
        given["bool_masked_pos"] = hidden
    if labels and head == "masked-visual-words":
        given["labels"] = torch.randint(0, config.vocab_size, (7,), generator=generator)
    elif labels and head == "semantic-segmentation":
        given["labels"] = torch.randint(0, config.num_labels, (2, height, width), generator=generator)
        given["labels"][:, :5] = config.semantic_loss_ignore_index
    elif labels and head == "image-classification" and config.num_labels:
        given["labels"] = torch.tensor([0, config.num_labels - 1])
    return given


OF_SEGMENTS = (
    "pool_scales",
    "use_auxiliary_head",
    "auxiliary_channels",
    "auxiliary_num_convs",
    "auxiliary_concat_input",
)
FACTS = Facts(
    inputs=inputs,
    own_defaults=("pool_scales",),  # a tuple there
    unseen={
        **dict.fromkeys(OF_SEGMENTS, "the head that labels pixels"),
        "vocab_size": "the head that names visual words",
        "layer_scale_init_value": "how new scales are set, where it is not zero",
        "add_fpn": "the backbone alone",
    },
    changed={"out_features": ["stage1"], "out_indices": [2]},
    together={"out_features": {"out_indices": None}},
    forms=(
        ("base", {"use_mean_pooling": False, "layer_scale_init_value": 0.0}),
        ("image-classification", {"use_relative_position_bias": False, "use_absolute_position_embeddings": False}),
        ("image-classification", {"use_shared_relative_position_bias": True, "num_labels": 0}),
        ("image-classification", {"use_relative_position_bias": False, "use_shared_relative_position_bias": True}),
        ("semantic-segmentation", {"use_auxiliary_head": False}),
        ("semantic-segmentation", {"auxiliary_concat_input": True, "auxiliary_num_convs": 2}),
        ("backbone", {"add_fpn": True, "use_shared_relative_position_bias": True}),
        ("backbone", {"use_mean_pooling": False, "reshape_hidden_states": False, "out_indices": [0, 3]}),
    ),
)
