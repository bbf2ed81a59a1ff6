"""AST: spectrograms alone."""

from typing import Any

import torch

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Spectrograms (B, T, M), and a label of each."""
    config, generator = model.config, torch.Generator().manual_seed(3)
    given = {"input_values": torch.randn(2, config.max_length, config.num_mel_bins, generator=generator)}
    if labels and head == "audio-classification" and config.num_labels:
        given["labels"] = torch.tensor([0, config.num_labels - 1])
    return given


FACTS = Facts(
    inputs=inputs,
    changed={"max_length": 31, "num_mel_bins": 23},
    forms=(
        ("base", {"qkv_bias": False, "hidden_act": "relu"}),
        ("base", {"frequency_stride": 6, "time_stride": 9}),
        ("audio-classification", {"num_labels": 0}),
        ("audio-classification", {"num_labels": 1}),
    ),
)
