"""What families with a tower for texts and one for pictures have in common."""

from __future__ import annotations

from typing import Any

import torch


def texts(model: Any, count: int = 2) -> dict[str, torch.Tensor]:
    """Ids without padding, with an end before the last column of the first text and in the last of the others."""
    config = getattr(model.config, "text_config", model.config)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, 90, (count, 7), generator=generator)
    if isinstance(config.eos_token_id, int):
        ids[0, 4] = ids[:, -1] = config.eos_token_id
    return {"input_ids": ids.clamp(max=config.vocab_size - 1)}


def patches(model: Any) -> dict[str, torch.Tensor]:
    """Two pictures of as many patches, and of different shapes."""
    config = getattr(model.config, "vision_config", model.config)
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(2, 12, config.num_channels * config.patch_size**2, generator=generator)
    mask, shapes = torch.ones(2, 12, dtype=torch.long), torch.tensor([[3, 4], [6, 2]])
    return {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shapes}


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Texts, pictures, or pairs of both with their loss, as the head reads them."""
    from images.towers import pixels

    reads, given = type(model).inputs(), dict[str, Any]()
    if "spatial_shapes" in reads:
        given |= patches(model)
    elif "pixel_values" in reads:
        given["pixel_values"] = pixels(model)
    if "input_ids" in reads:
        given |= texts(model)
    if labels and "return_loss" in reads:
        given["return_loss"] = True
    if labels and head == "image-classification" and model.config.num_labels:
        given["labels"] = torch.tensor([0, model.config.num_labels - 1])
    return given
