"""DINOv2 with registers: further tokens of the whole picture, where the model keeps what it would put into patches.

Source: Darcet et al. 2023 (arXiv 2309.16588); facebookresearch/dinov2.
Letters: B batch, P patches, R registers, T = 1 + R + P columns, D width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import vision
from ..config import PretrainedConfig
from . import dinov2


class Dinov2WithRegistersConfig(dinov2.Dinov2Config):
    """Defaults are those of facebook/dinov2-with-registers-base, but for its pictures and patches."""

    model_type = "dinov2_with_registers"

    patch_size: int | list[int] = 16
    num_register_tokens: int = 4


class Dinov2WithRegistersEmbeddings(dinov2.Dinov2Embeddings):
    """Registers stand between the class token and the patches, and have no positions."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.register_tokens = nn.Parameter(torch.zeros(1, config.num_register_tokens, config.hidden_size))

    def forward(self, pixel_values: Tensor, bool_masked_pos: Tensor | None = None) -> Tensor:  # type: ignore[override]
        rows = vision.masked(self.patch_embeddings(pixel_values), self.mask_token, bool_masked_pos)
        own, grid = vision.grid_of(self.config), vision.grid_of(self.config, *pixel_values.shape[2:])
        table = vision.interpolated(self.position_embeddings, own, grid, antialias=True)
        first = torch.cat([self.cls_token + table[:, :1], self.register_tokens], dim=1).expand(rows.shape[0], -1, -1)
        return self.dropout(torch.cat([first.to(rows.dtype), rows + table[:, 1:]], dim=1))  # (B, T, D)


class Dinov2WithRegistersPreTrainedModel(dinov2.Dinov2PreTrainedModel):
    """What the models share."""

    config_class = Dinov2WithRegistersConfig
    base_model_prefix = "dinov2_with_registers"
    ZEROS = (*dinov2.Dinov2PreTrainedModel.ZEROS, "register_tokens")

    def before(self) -> int:
        return 1 + self.config.num_register_tokens


class Dinov2WithRegistersModel(Dinov2WithRegistersPreTrainedModel, dinov2.Dinov2Model):
    """The encoder: hidden states (B, T, D), and the class token's, (B, D)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = dinov2.Dinov2Model.SIGNATURE
    EMBEDDINGS = Dinov2WithRegistersEmbeddings


class Dinov2WithRegistersForImageClassification(Dinov2WithRegistersPreTrainedModel, dinov2.Classification):
    def __init__(self, config: Dinov2WithRegistersConfig) -> None:
        super().__init__(config)
        self.dinov2_with_registers = Dinov2WithRegistersModel(config)
        self.add_classifier(2 * config.hidden_size)
        self.post_init()


class Dinov2WithRegistersBackbone(dinov2.Maps, Dinov2WithRegistersModel):
    """The encoder, for models built on top of it."""


MODEL_TYPES = {"dinov2_with_registers": Dinov2WithRegistersConfig}
TOKENIZER = None
IMAGE_PROCESSOR = dinov2.BitImageProcessor
HEADS = {
    "base": Dinov2WithRegistersModel,
    "image-classification": Dinov2WithRegistersForImageClassification,
    "backbone": Dinov2WithRegistersBackbone,
}
TINY = {**dinov2.TINY, "num_register_tokens": 3}
