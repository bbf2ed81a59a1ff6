"""DINOv2: ViT trained without labels, each of whose branches is scaled column by column before it is added.

Source: Oquab et al. 2023 (arXiv 2304.07193); facebookresearch/dinov2. Layer scale: Touvron et al. 2021 (arXiv
2103.17239). The feed-forward with a gate: Shazeer 2020 (arXiv 2002.05202).
Letters: B batch, P patches, T = P + 1 columns, the first of them the class token's, D width, F of the feed-forward.

    rows ─┬─ norm ─ self-attention ─ scale ─(+)─┬─ norm ─ feed-forward ─ scale ─(+)─▶
          └──────────────────────────────────────┘   └────────────────────────────────┘
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import vision
from ..backbone import BackboneConfig, PatchBackbone
from ..config import PretrainedConfig
from ..layers import first_column, through
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..ops.step import Step
from ..optimize import Block
from ..processing import BaseImageProcessor, PILImageResampling
from ..processing.transforms import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from . import vit


class Dinov2Config(BackboneConfig):
    """Defaults are those of facebook/dinov2-base, but for its pictures of 518 pixels."""

    model_type = "dinov2"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: int = 4
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-6
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 14
    num_channels: int = 3
    qkv_bias: bool = True
    layerscale_value: float = 1.0
    drop_path_rate: float = 0.0
    use_swiglu_ffn: bool = False
    out_features: list[str] | None = None
    out_indices: list[int] | None = None
    apply_layernorm: bool = True
    reshape_hidden_states: bool = True
    use_mask_token: bool = True


class BitImageProcessor(BaseImageProcessor):
    """RGB images, the middle 224 × 224 pixels of the shortest edge at 224."""

    do_resize = True
    size = {"shortest_edge": 224}
    resample = PILImageResampling.BICUBIC
    default_to_square = False
    do_center_crop = True
    crop_size = {"height": 224, "width": 224}
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD


class Dinov2Embeddings(vit.ViTEmbeddings):
    """As ViT's, for pictures of any size."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        if getattr(config, "use_mask_token", True):
            self.mask_token = nn.Parameter(torch.zeros(1, config.hidden_size))

    def forward(self, pixel_values: Tensor, bool_masked_pos: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return super().forward(pixel_values, bool_masked_pos, interpolate_pos_encoding=True)


class Dinov2LayerScale(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.full((config.hidden_size,), float(config.layerscale_value)))

    def forward(self, hidden_state: Tensor) -> Tensor:
        return hidden_state * self.lambda1


class Dinov2MLP(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        D, inner = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
        self.fc1, self.activation, self.fc2 = nn.Linear(D, inner), activation(config.hidden_act), nn.Linear(inner, D)

    def forward(self, hidden_state: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(hidden_state)))

    def parts(self) -> dict[str, Any]:
        """What a Block says of it."""
        return {"up": self.fc1, "activation": self.activation, "down": self.fc2}


class Dinov2SwiGLUFFN(nn.Module):
    """A gate, silu of one half of the first layer's outputs, on the other half."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        inner = (int(int(config.hidden_size * config.mlp_ratio) * 2 / 3) + 7) // 8 * 8
        self.weights_in = nn.Linear(config.hidden_size, 2 * inner)
        self.weights_out = nn.Linear(inner, config.hidden_size)

    def forward(self, hidden_state: Tensor) -> Tensor:
        gate, value = self.weights_in(hidden_state).chunk(2, dim=-1)
        return self.weights_out(F.silu(gate) * value)

    def parts(self) -> dict[str, Any]:
        """What a Block says of it."""
        return {"up": self.weights_in, "activation": nn.SiLU(), "down": self.weights_out, "gated": True}


class Dinov2Layer(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        D, eps, rate = config.hidden_size, config.layer_norm_eps, config.drop_path_rate
        self.norm1 = nn.LayerNorm(D, eps=eps)
        self.attention = vit.ViTAttention(config)
        self.layer_scale1 = Dinov2LayerScale(config)
        self.drop_path = vision.DropPath(rate) if rate > 0 else nn.Identity()
        self.norm2 = nn.LayerNorm(D, eps=eps)
        self.mlp: Any = Dinov2SwiGLUFFN(config) if config.use_swiglu_ffn else Dinov2MLP(config)
        self.layer_scale2 = Dinov2LayerScale(config)

    @vision.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        attended, *weights = through(self.attention, self.norm1(rows), step, head_mask)
        rows = rows + self.drop_path(self.layer_scale1(attended))
        return rows + self.drop_path(self.layer_scale2(self.mlp(self.norm2(rows)))), *weights

    def block(self) -> Block:
        inner = self.attention.attention
        return Block(
            heads=inner.heads,
            projections=(inner.query, inner.key, inner.value),
            output=self.attention.output.dense,
            attention_norm=self.norm1,
            output_norm=self.norm2,
            pre=True,
            scale=(self.layer_scale1.lambda1, self.layer_scale2.lambda1),
            **self.mlp.parts(),
        )


class Dinov2Encoder(vit.ViTEncoder):
    LAYER = Dinov2Layer


class Dinov2PreTrainedModel(vision.ReadsImages):
    """What DINOv2's models share."""

    config_class = Dinov2Config
    base_model_prefix = "dinov2"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*vision.INPUTS, "labels", *OPTIONS)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Dinov2LayerScale):
            nn.init.constant_(module.lambda1, self.config.layerscale_value)


class Dinov2Model(Dinov2PreTrainedModel, vision.ImageBody):
    """The encoder: hidden states (B, T, D), and the class token's, (B, D)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "bool_masked_pos", "head_mask", *OPTIONS)
    EMBEDDED = ("pixel_values", "bool_masked_pos")
    EMBEDDINGS: ClassVar[Any] = Dinov2Embeddings
    pooler = staticmethod(first_column)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = self.EMBEDDINGS(config)
        self.encoder = Dinov2Encoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class Classification(vision.ImageClassification):
    """Label a picture by its class token and the mean of its patches."""

    READS = "tokens"

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(torch.cat([rows[:, 0], rows[:, self.before() :].mean(1)], dim=1))  # (B, 2D) -> (B, L)


class Dinov2ForImageClassification(Dinov2PreTrainedModel, Classification):
    def __init__(self, config: Dinov2Config) -> None:
        super().__init__(config)
        self.dinov2 = Dinov2Model(config)
        self.add_classifier(2 * config.hidden_size)
        self.post_init()


class Maps(PatchBackbone):
    """Maps of layers, through the last norm where `apply_layernorm` says so."""

    layernorm: nn.LayerNorm

    def as_map(self, name: str, state: Tensor, size: tuple[int, int]) -> Tensor:
        return super().as_map(name, self.layernorm(state) if self.config.apply_layernorm else state, size)


class Dinov2Backbone(Maps, Dinov2Model):
    """The encoder, for models built on top of it."""


MODEL_TYPES = {"dinov2": Dinov2Config}
TOKENIZER = None
IMAGE_PROCESSOR = BitImageProcessor
HEADS = {
    "base": Dinov2Model,
    "image-classification": Dinov2ForImageClassification,
    "backbone": Dinov2Backbone,
}
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "mlp_ratio": 2,
    "image_size": 24,
    "patch_size": 8,
    "num_labels": 3,
    "layerscale_value": 0.5,
    "out_indices": [1, 3],
}
