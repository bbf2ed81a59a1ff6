"""A picture as a model sees it: cut into patches, which attend to each other."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, HeadError
from ..vision import grid_of, of_pictures
from .running import in_evaluation


@dataclass(frozen=True)
class Picture:
    """What a model reads of a picture.

    pixels: (H, W, 3) bytes on the CPU, after resizing and cropping. grid: how many patches there are below each other
    and side by side. before: how many columns come before theirs.
    """

    pixels: Tensor
    grid: tuple[int, int]
    before: int

    @property
    def tokens(self) -> list[str]:
        """What the columns are called."""
        first = ["[CLS]", *(f"[{i}]" for i in range(1, self.before))][: self.before]
        down, across = self.grid
        return [*first, *(f"row {row}, column {column}" for row in range(down) for column in range(across))]

    def about(self) -> dict[str, int]:
        """Its sizes, for the page."""
        height, width, _ = self.pixels.shape
        return {"width": width, "height": height, "down": self.grid[0], "across": self.grid[1], "before": self.before}

    def packed(self) -> str:
        """Its pixels as bytes, deflated, in base64."""
        return base64.b64encode(zlib.compress(self.pixels.contiguous().numpy().tobytes(), 6)).decode()


def seen(model: Any, processor: Any, image: Any) -> tuple[Picture, tuple[Tensor, ...]]:
    """A picture, and the attentions of a model that reads it, each (1, H, T, T).

    model: one that reads pictures, or of two towers, of which it is that one. processor: an image processor, or what
    holds one. Raises HeadError for a model without attention from each patch to each.
    """
    tower = getattr(model, "vision_model", model)
    prepare = getattr(processor, "image_processor", processor)
    if not callable(prepare) or not hasattr(prepare, "to_dict"):
        raise ArgumentError(
            f"An image processor is needed, got {processor!r:.80}: AutoImageProcessor.from_pretrained(…) loads one."
        )
    values = prepare(images=image, return_tensors="pt")["pixel_values"]
    with in_evaluation(tower), torch.no_grad():
        found = tower(values.to(tower.device, tower.dtype), output_attentions=True, return_dict=True)
    weights, config = found.get("attentions"), of_pictures(tower.config)
    if values.dim() != 4 or not weights or not hasattr(config, "patch_size"):
        raise HeadError(f"{type(model).__name__} gives no attentions of a picture's patches that could be shown.")
    grid = grid_of(config, *values.shape[2:])
    before = weights[0].shape[-1] - grid[0] * grid[1]
    if before < 0 or any(own.shape[-1] != weights[0].shape[-1] for own in weights):
        raise HeadError(
            f"In {type(model).__name__} a patch attends to some of the others only, which is not shown yet."
        )
    return Picture(_pixels(values[0], prepare), grid, before), tuple(weights)


def _pixels(values: Tensor, processor: Any) -> Tensor:
    """Bytes (H, W, 3) of what a processor has scaled and normalised, (C, H, W)."""
    values = values.float().cpu()
    if getattr(processor, "do_normalize", False):
        mean, std = (torch.tensor(getattr(processor, f"image_{name}")).view(-1, 1, 1) for name in ("mean", "std"))
        values = values * std + mean
    scale = getattr(processor, "rescale_factor", 1 / 255) if getattr(processor, "do_rescale", True) else 1.0
    pixels = (values / scale).round().clamp(0, 255).to(torch.uint8)
    return pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous()
