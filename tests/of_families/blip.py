"""BLIP: a tower of pictures, and texts that attend to what it sees."""

from __future__ import annotations

from typing import Any

import torch

from formers import registry

from . import Facts
from .two_towers import inputs as of_towers

IDS = torch.tensor([[3, 11, 12, 13, 14, 4], [3, 15, 16, 17, 18, 4]])


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """As of any two towers, and what is written."""
    given = of_towers(model, head, labels)
    if "input_ids" in given:
        given["input_ids"] = IDS
    if head == "visual-question-answering":  # whose output says nothing of an answer but its loss
        given["labels"] = IDS[:, :4]
    elif head == "image-text-to-text" and labels:
        given["labels"] = IDS.masked_fill(IDS == 13, -100)
    return given


NARROW = {"vision_config": {**registry.load("blip").TINY["vision_config"], "hidden_size": 24}}
FACTS = Facts(
    inputs=inputs,
    unseen={
        "encoder_hidden_size": "what the other tower's width is",
        "projection_dim": "read by no model, but where it is the whole's",
        "image_text_hidden_size": "the head that compares",
        "label_smoothing": "the loss of what is written",
        "initializer_factor": "how new weights are drawn",
        "sep_token_id": "the end of what is written",
    },
    forms=(
        ("base", NARROW),
        ("image-text-to-text", NARROW),
        ("image-text-retrieval", NARROW),
        ("vision", {"image_size": 32}),
        ("text", {"is_decoder": False}),
        ("text", {"hidden_act": "relu"}),
    ),
)
