"""ViT: a picture cut into patches, which an encoder reads as the tokens of a text; norms begin each branch.

Source: Dosovitskiy et al. 2020 (arXiv 2010.11929); google-research/vision_transformer.
Letters: B batch, P patches, T = P + 1 columns, the first of them the class token's, D width, F of the feed-forward.

    rows ─┬─ norm ─ self-attention ─ dense ─(+)─┬─ norm ─ dense ─ gelu ─ dense ─(+)─▶
          └──────────────────────────────────┘   └──────────────────────────────┘
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import vision
from ..config import PretrainedConfig
from ..cross_attention import EitherAttention
from ..layers import HeadMasks, first_column, run_layers, through
from ..ops.activations import activation
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput
from ..processing import BaseImageProcessor, PILImageResampling
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD
from ..pruning import keep, remaining
from .bert import head_width


class ViTConfig(PretrainedConfig):
    """Defaults are those of google/vit-base-patch16-224."""

    model_type = "vit"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    qkv_bias: bool = True
    encoder_stride: int = 16
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"


class ViTImageProcessor(BaseImageProcessor):
    """Images to squares of 224 pixels."""

    do_resize = True
    size = {"height": 224, "width": 224}
    resample = PILImageResampling.BILINEAR
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD


class ViTPatchEmbeddings(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.num_channels, patch = config.num_channels, vision.sides(config, "patch_size")
        self.image_size, self.patch_size = vision.sides(config, "image_size"), patch
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, kernel_size=patch, stride=patch)

    @property
    def num_patches(self) -> int:
        """P, of a picture of the configuration's size."""
        down, across = vision.grid_of(self)
        return down * across

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, C, H, W) to (B, P, D)."""
        images = vision.checked_images(type(self).__name__, pixel_values, self.num_channels)
        return vision.project(self.projection, images)


class ViTEmbeddings(nn.Module):
    """A row of each patch, with its position; before them BEFORE rows that are of the whole picture."""

    PATCHES: ClassVar[Any] = ViTPatchEmbeddings
    BEFORE: ClassVar[int] = 1

    def __init__(self, config: PretrainedConfig, use_mask_token: bool = False) -> None:
        super().__init__()
        D, self.config = config.hidden_size, config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, D))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, D)) if use_mask_token else None
        self.patch_embeddings = self.PATCHES(config)
        self.position_embeddings = nn.Parameter(torch.zeros(1, self.patch_embeddings.num_patches + self.BEFORE, D))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def first(self) -> Tensor:
        """The rows before those of patches, (1, BEFORE, D)."""
        return self.cls_token

    def forward(
        self, pixel_values: Tensor, bool_masked_pos: Tensor | None = None, interpolate_pos_encoding: bool | None = None
    ) -> Tensor:
        rows = vision.masked(self.patch_embeddings(pixel_values), self.mask_token, bool_masked_pos)
        rows = torch.cat([self.first().expand(rows.shape[0], -1, -1).to(rows.dtype), rows], dim=1)  # (B, T, D)
        size = (pixel_values.shape[2], pixel_values.shape[3])
        return self.dropout(
            vision.with_positions(rows, self.position_embeddings, self.config, size, interpolate_pos_encoding)
        )


class ViTSelfAttention(EitherAttention):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        D, self.heads, self.rate = config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
        self.attention_head_size, self.kernel = head_width(config), config._attn_implementation
        self.query = nn.Linear(D, D, bias=getattr(config, "qkv_bias", True))
        self.key = nn.Linear(D, D, bias=getattr(config, "qkv_bias", True))
        self.value = nn.Linear(D, D, bias=getattr(config, "qkv_bias", True))

    def run(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attend(self.query(rows), self.key(rows), self.value(rows), step, head_mask)

    forward = vision.by_hand_layer(run)


class ViTSelfOutput(nn.Module):
    """What follows a branch, without the sum."""

    def __init__(self, config: PretrainedConfig, width: int | None = None) -> None:
        super().__init__()
        self.dense = nn.Linear(width or config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor | None = None) -> Tensor:
        return self.dropout(self.dense(hidden_states))  # the layer adds its rows itself


class ViTAttention(nn.Module):
    SELF: ClassVar[Any] = ViTSelfAttention

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.attention = self.SELF(config)
        self.output = ViTSelfOutput(config)
        self.pruned_heads: set[int] = set()

    def run(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attention, rows, step, head_mask)
        return self.output(context, rows), *weights

    forward = vision.by_hand_layer(run)

    def prune_heads(self, heads: list[int]) -> None:
        inner = self.attention
        going, stay = remaining(heads, self.pruned_heads, inner.heads, inner.attention_head_size)
        inner.query, inner.key, inner.value = (keep(x, stay) for x in (inner.query, inner.key, inner.value))
        self.output.dense = keep(self.output.dense, stay, dim=1)
        inner.heads -= len(going)
        self.pruned_heads |= going


class ViTIntermediate(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = activation(config.hidden_act)

    def forward(self, rows: Tensor) -> Tensor:
        return self.intermediate_act_fn(self.dense(rows))  # rows of D -> rows of F


class ViTOutput(ViTSelfOutput):
    """The end of the feed-forward, which adds the rows."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config, config.intermediate_size)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor | None = None) -> Tensor:
        made = super().forward(hidden_states)
        return made if input_tensor is None else made + input_tensor


class ViTLayer(nn.Module):
    ATTENTION: ClassVar[Any] = ViTAttention

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.attention = self.ATTENTION(config)
        self.intermediate = ViTIntermediate(config)
        self.output = ViTOutput(config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def run(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        attended, *weights = through(self.attention, self.layernorm_before(rows), step, head_mask)
        rows = rows + attended
        return self.output(self.intermediate(self.layernorm_after(rows)), rows), *weights

    forward = vision.by_hand_layer(run)

    def block(self) -> Block:
        inner, up = self.attention.attention, self.intermediate
        return Block(
            *(inner.heads, (inner.query, inner.key, inner.value), self.attention.output.dense, self.layernorm_before),
            *(up.dense, up.intermediate_act_fn, self.output.dense, self.layernorm_after),
            pre=True,
        )


class ViTEncoder(nn.Module):
    LAYER: ClassVar[Any] = ViTLayer

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(self.LAYER(config) for _ in range(config.num_hidden_layers))
        self.gradient_checkpointing = False

    def run(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        return run_layers(
            self.layer, rows, step, head_masks, checkpointing=self.gradient_checkpointing and self.training
        )

    forward = vision.by_hand_stack(run)


class ViTPooler(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.pooler_output_size or config.hidden_size)
        self.activation = activation(config.pooler_act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.dense(first_column(hidden_states)))  # (B, D)


class ViTPreTrainedModel(vision.ReadsImages):
    """What ViT's models share."""

    config_class = ViTConfig
    base_model_prefix = "vit"
    OPTIONAL = ("pooler.",)


class ViTModel(ViTPreTrainedModel, vision.ImageBody):
    """The encoder: hidden states (B, T, D), and of the class token through a dense layer and tanh (B, D)."""

    SIGNATURE = ("pixel_values", "bool_masked_pos", "head_mask", *vision.INTERPOLATED)

    def __init__(self, config: ViTConfig, add_pooling_layer: bool = True, use_mask_token: bool = False) -> None:
        super().__init__(config)
        self.embeddings = ViTEmbeddings(config, use_mask_token)
        self.encoder = ViTEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = ViTPooler(config) if add_pooling_layer else None
        self.post_init()

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class ViTForMaskedImageModeling(ViTPreTrainedModel, vision.MaskedImageModeling):
    SIGNATURE = ViTModel.SIGNATURE

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.vit = ViTModel(config, add_pooling_layer=False, use_mask_token=True)
        self.add_decoder(config.hidden_size)
        self.post_init()


class ViTForImageClassification(ViTPreTrainedModel, vision.ImageClassification):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.add_classifier(config.hidden_size)
        self.post_init()


MODEL_TYPES = {"vit": ViTConfig}
TOKENIZER = None
IMAGE_PROCESSOR = ViTImageProcessor
HEADS = {
    "base": ViTModel,
    "masked-image-modeling": ViTForMaskedImageModeling,
    "image-classification": ViTForImageClassification,
}
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 24,
    "patch_size": 8,
    "encoder_stride": 8,
    "num_labels": 3,
    "pooler_output_size": 20,
}
