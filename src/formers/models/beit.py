"""BEiT: a ViT whose patches attend by how far they are apart, trained to name the visual words of hidden patches.

Source: Bao et al. 2021 (arXiv 2106.08254); microsoft/unilm, beit.
Letters: B batch, P patches, T = P + 1 columns, the first of them the class token's, D width, H heads, V visual words, h
and w height and width of the grid of patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import heads, outputs, segmentation, vision
from ..backbone import BackboneConfig, PatchBackbone
from ..config import PretrainedConfig
from ..errors import InputError
from ..layers import HeadMasks, by_hand, first_column, run_layers, through
from ..modeling import OPTIONS
from ..ops import losses
from ..ops.attention import Bias
from ..ops.bias import Grid, by_distance
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput
from ..processing import BaseImageProcessor, BatchFeature, PILImageResampling
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, Array, Picture, as_array
from . import vit


class BeitConfig(BackboneConfig):
    """Defaults are those of microsoft/beit-base-patch16-224-pt22k, but for its positions and mask token."""

    model_type = "beit"

    vocab_size: int = 8192
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
    use_mask_token: bool = False
    use_absolute_position_embeddings: bool = False
    use_relative_position_bias: bool = False
    use_shared_relative_position_bias: bool = False
    layer_scale_init_value: float = 0.1
    drop_path_rate: float = 0.1
    use_mean_pooling: bool = True
    pool_scales: list[int] = [1, 2, 3, 6]
    use_auxiliary_head: bool = True
    auxiliary_loss_weight: float = 0.4
    auxiliary_channels: int = 256
    auxiliary_num_convs: int = 1
    auxiliary_concat_input: bool = False
    semantic_loss_ignore_index: int = 255
    out_features: list[str] | None = None
    out_indices: list[int] | None = None
    add_fpn: bool = False
    reshape_hidden_states: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        old = kwargs.pop("segmentation_indices", None)  # as it was called before there were backbones
        if old is not None and kwargs.get("out_indices") is None:
            kwargs["out_indices"] = old
        super().__init__(*args, **kwargs)
        self.pool_scales = list(self.pool_scales)


class BeitImageProcessor(BaseImageProcessor):
    """Images to squares of 224 pixels, and maps of labels beside them.

    do_reduce_labels: labels of maps count from 1, and 0, what has none, becomes 255, which losses pass over.
    """

    old_names = {"reduce_labels": "do_reduce_labels"}

    do_resize = True
    size = {"height": 224, "width": 224}
    resample = PILImageResampling.BICUBIC
    do_center_crop = False
    crop_size = {"height": 224, "width": 224}
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    do_reduce_labels: bool = False

    def preprocess(  # type: ignore[override]  # the reference has the maps second
        self, images: Any, segmentation_maps: Any = None, return_tensors: Any = None, **overrides: Any
    ) -> BatchFeature:
        """As the others; segmentation_maps, images or arrays (H, W) of labels, give `labels` (N, H, W)."""
        own = self.with_settings(overrides)
        found = own.batch(own.each(own.one, own.listed(images)))
        if segmentation_maps is not None:
            plain = {"do_convert_rgb": False, "do_rescale": False, "do_normalize": False}
            maps = self.with_settings({**overrides, **plain, "input_data_format": "channels_first"})
            found["labels"] = maps.each(maps.labels, maps.listed(segmentation_maps, dimensions=2))
        return own.feature(found, return_tensors)

    def labels(self, picture: Picture) -> Array:
        """(H, W) of int64: a map in the size of the images."""
        if self.do_reduce_labels:
            array = as_array(picture).copy()
            array[array == 0] = 255
            array -= 1
            array[array == 254] = 255
            picture = array
        labels: Array = self.one(picture)
        return labels[0].astype(np.int64)


@dataclass
class BeitModelOutputWithPooling(outputs.BaseModelOutputWithPooling):
    """`pooler_output` (B, D): the mean of the patches through a norm, or the class token as it is."""


class BeitEmbeddings(vit.ViTEmbeddings):
    """As ViT's, for pictures of any size; maybe without positions."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config, config.use_mask_token)
        if not config.use_absolute_position_embeddings:
            self.position_embeddings = None  # type: ignore[assignment]

    def forward(self, pixel_values: Tensor, bool_masked_pos: Tensor | None = None) -> Tensor:  # type: ignore[override]
        if self.position_embeddings is not None:
            return super().forward(pixel_values, bool_masked_pos, interpolate_pos_encoding=True)
        rows = vision.masked(self.patch_embeddings(pixel_values), self.mask_token, bool_masked_pos)
        return self.dropout(torch.cat([self.first().expand(rows.shape[0], -1, -1).to(rows.dtype), rows], dim=1))


class BeitRelativePositionBias(nn.Module):
    """What is added to scores, by how far patches are apart."""

    def __init__(self, config: PretrainedConfig, window_size: Grid | None = None) -> None:
        super().__init__()
        self.window_size = window_size or vision.grid_of(config)
        h, w = self.window_size
        self.num_relative_distance = (2 * h - 1) * (2 * w - 1) + 3
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(self.num_relative_distance, config.num_attention_heads)
        )

    def forward(self, window_size: Grid | None = None, *_: Any, **__: Any) -> Tensor:
        """(1, H, T, T), of a grid of another size where that is given."""
        table: Tensor = self.relative_position_bias_table
        h, w = self.window_size
        grid = window_size or self.window_size
        if grid != self.window_size:
            squares = table[:-3].view(1, 2 * h - 1, 2 * w - 1, -1).permute(0, 3, 1, 2)
            wanted = (2 * grid[0] - 1, 2 * grid[1] - 1)
            made = F.interpolate(squares.float(), size=wanted, mode="bilinear").to(table.dtype)
            table = torch.cat([made.permute(0, 2, 3, 1).flatten(0, 2), table[-3:]])
        return by_distance(table, grid, first=True)

    def keep(self, heads: list[int]) -> None:
        """Leave the columns of these heads alone."""
        table = self.relative_position_bias_table
        self.relative_position_bias_table = nn.Parameter(table.detach()[:, heads], requires_grad=table.requires_grad)


@dataclass(frozen=True)
class Apart:
    """What all layers know of distances: the grid of patches, None for the model's own, and biases that they share."""

    grid: Grid | None = None
    shared: Tensor | None = None


def _given(given: Mapping[str, Any]) -> Apart:
    bias = given.get("relative_position_bias")
    if bias is not None and not isinstance(bias, Tensor):
        raise InputError(
            "relative_position_bias is what the module of that name returns, (1, heads, columns, columns)."
        )
    return Apart(None, bias)


_called = by_hand(*vision.LAYER[:3], "relative_position_bias", "attention_mask", shared=_given)


class BeitSelfAttention(vit.ViTSelfAttention):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.key = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.relative_position_bias = BeitRelativePositionBias(config) if config.use_relative_position_bias else None

    def bias(self, step: Step) -> Bias | None:
        apart: Apart = step.shared or Apart()
        own = None if self.relative_position_bias is None else self.relative_position_bias(apart.grid)
        parts = [x for x in (own, apart.shared) if x is not None]
        if not parts:
            return None
        added = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return lambda q, k, distance: added.to(q.dtype)

    @_called
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attend(self.query(rows), self.key(rows), self.value(rows), step, head_mask)


class BeitAttention(vit.ViTAttention):
    SELF = BeitSelfAttention

    @_called
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attention, rows, step, head_mask)
        return self.output(context, rows), *weights

    def prune_heads(self, heads: list[int]) -> None:
        there = [head for head in range(self.attention.heads + len(self.pruned_heads)) if head not in self.pruned_heads]
        super().prune_heads(heads)
        if (bias := self.attention.relative_position_bias) is not None:
            bias.keep([place for place, head in enumerate(there) if head not in self.pruned_heads])


class BeitLayer(nn.Module):
    def __init__(self, config: PretrainedConfig, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        D, eps, scale = config.hidden_size, config.layer_norm_eps, config.layer_scale_init_value
        self.attention = BeitAttention(config)
        self.intermediate, self.output = vit.ViTIntermediate(config), vit.ViTOutput(config)
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(D, eps=eps), nn.LayerNorm(D, eps=eps)
        self.drop_path = vision.DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        self.lambda_1, self.lambda_2 = (
            nn.Parameter(torch.full((D,), float(scale))) if scale > 0 else None for _ in range(2)
        )
        self.biased = config.use_relative_position_bias or config.use_shared_relative_position_bias

    @_called
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        attended, *weights = through(self.attention, self.layernorm_before(rows), step, head_mask)
        rows = rows + self.drop_path(attended if self.lambda_1 is None else self.lambda_1 * attended)
        made = self.output(self.intermediate(self.layernorm_after(rows)))
        return rows + self.drop_path(made if self.lambda_2 is None else self.lambda_2 * made), *weights

    def block(self) -> Block:
        inner, up = self.attention.attention, self.intermediate
        scale = 1.0 if self.lambda_1 is None or self.lambda_2 is None else (self.lambda_1, self.lambda_2)
        return Block(
            *(inner.heads, (inner.query, inner.key, inner.value), self.attention.output.dense, self.layernorm_before),
            *(up.dense, up.intermediate_act_fn, self.output.dense, self.layernorm_after),
            attend=inner.attend if self.biased else None,
            pre=True,
            scale=scale,
        )


class BeitEncoder(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        shared = config.use_shared_relative_position_bias
        self.relative_position_bias = BeitRelativePositionBias(config) if shared else None
        self.layer = nn.ModuleList(
            BeitLayer(config, rate) for rate in vision.drop_rates(config, config.num_hidden_layers)
        )
        self.gradient_checkpointing = False

    @vision.by_hand_stack
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        apart: Apart = step.shared or Apart()
        if self.relative_position_bias is not None:
            step = replace(step, shared=replace(apart, shared=self.relative_position_bias(apart.grid)))
        kept = not (self.gradient_checkpointing and self.training)
        return run_layers(self.layer, rows, step, head_masks, checkpointing=not kept)


class BeitPooler(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        mean = config.use_mean_pooling
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if mean else None

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        return first_column(hidden_states) if self.layernorm is None else self.layernorm(hidden_states[:, 1:].mean(1))


class BeitPreTrainedModel(vision.ReadsImages):
    """What BEiT's models share. `interpolate_pos_encoding` changes nothing: pictures may be of any size anyway."""

    config_class = BeitConfig
    base_model_prefix = "beit"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*vision.INPUTS, "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = (heads.ITEMS, "attention_mask", "interpolate_pos_encoding")
    BUFFERS = ("relative_position_index",)
    OPTIONAL: ClassVar[tuple[str, ...]] = ("pooler.",)
    TOKENS = ()
    ZEROS = ("cls_token", "mask_token", "position_embeddings", "relative_position_bias_table")


class BeitModel(BeitPreTrainedModel, vision.ImageBody):
    """The encoder: hidden states (B, T, D), and the vector of the picture, (B, D)."""

    OUTPUT = BeitModelOutputWithPooling
    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "bool_masked_pos", "head_mask", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ("attention_mask", "interpolate_pos_encoding")
    EMBEDDED = ("pixel_values", "bool_masked_pos")

    def __init__(self, config: BeitConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        D, eps = config.hidden_size, config.layer_norm_eps
        self.embeddings = BeitEmbeddings(config)
        self.encoder = BeitEncoder(config)
        self.layernorm = nn.Identity() if config.use_mean_pooling else nn.LayerNorm(D, eps=eps)
        self.pooler = BeitPooler(config) if add_pooling_layer else None
        self.post_init()

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Apart:
        return Apart(vision.grid_of(self.config, *inputs["pixel_values"].shape[2:]))

    def _attentions(self) -> list[Any]:
        if self.encoder.relative_position_bias is not None:
            raise InputError(
                f"{type(self).__name__} has no heads that can be pruned: with use_shared_relative_position_bias all "
                "layers read one table of biases, which has a column for each head."
            )
        return [layer.attention for layer in self.encoder.layer]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, BeitLayer):
            for scale in (module.lambda_1, module.lambda_2):
                if scale is not None:
                    nn.init.constant_(scale, self.config.layer_scale_init_value)


class BeitForMaskedImageModeling(BeitPreTrainedModel, heads.Head):
    """Name the visual words of hidden patches. logits (B, P, V); labels: the words, of all that bool_masked_pos hides,
    one after the other."""

    OUTPUT = outputs.MaskedLMOutput
    SIGNATURE = ("pixel_values", "bool_masked_pos", "head_mask", "labels", *OPTIONS)

    def __init__(self, config: BeitConfig) -> None:
        super().__init__(config)
        self.beit = BeitModel(config, add_pooling_layer=False)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits = self.lm_head(self.layernorm(body.last_hidden_state[:, 1:]))
        labels, hidden = targets["labels"], inputs.get("bool_masked_pos")
        if labels is None:
            return {"loss": None, "logits": logits}
        if hidden is None or int(hidden.sum()) != labels.numel():
            count = "is not given" if hidden is None else f"hides {int(hidden.sum())} patches"
            raise InputError(
                f"labels are of the hidden patches: there are {labels.numel()}, but bool_masked_pos {count}."
            )
        return {
            "loss": losses.tokens(logits[hidden.bool()], labels.reshape(-1), targets[heads.ITEMS]),
            "logits": logits,
        }


class BeitForImageClassification(BeitPreTrainedModel, vision.PooledImageClassification):
    def __init__(self, config: BeitConfig) -> None:
        super().__init__(config)
        self.beit = BeitModel(config)
        self.add_classifier(config.hidden_size)
        self.post_init()


class BeitForSemanticSegmentation(BeitPreTrainedModel, segmentation.Pyramid, segmentation.SemanticSegmentation):
    def __init__(self, config: BeitConfig) -> None:
        super().__init__(config)
        self.beit = BeitModel(config, add_pooling_layer=False)
        self.add_pyramid(config.hidden_size)
        self.decode_head = segmentation.UperHead(config)
        self.auxiliary_head = segmentation.FCNHead(config) if config.use_auxiliary_head else None
        self.post_init()

    def segment(self, states: tuple[Tensor, ...], size: Grid) -> tuple[Tensor, Tensor | None]:
        grid = vision.grid_of(self.config, *size)
        # layer 1 reads the first state, and that is the one meant by it
        maps = self.pyramid([vision.as_map(states[i - 1][:, 1:], grid) for i in self.config.out_indices])
        return self.decode_head(maps), None if self.auxiliary_head is None else self.auxiliary_head(maps)


class BeitBackbone(segmentation.Pyramid, PatchBackbone, BeitModel):
    """The encoder, for models built on top of it; `add_fpn` gives maps of four sizes."""

    RENAMES = {  # as 5.x writes these of a backbone, and no others
        f"beit.{name}": name
        for name in (
            *("layernorm.weight", "layernorm.bias"),
            "encoder.relative_position_bias.relative_position_bias_table",
        )
    }

    def __init__(self, config: BeitConfig) -> None:
        super().__init__(config, add_pooling_layer=False)
        if config.add_fpn:
            self.add_pyramid(config.hidden_size)
            self.post_init()

    def finish(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.pyramid(maps) if self.config.add_fpn else maps


MODEL_TYPES = {"beit": BeitConfig}
TOKENIZER = None
IMAGE_PROCESSOR = BeitImageProcessor
HEADS = {
    "base": BeitModel,
    "masked-visual-words": BeitForMaskedImageModeling,
    "image-classification": BeitForImageClassification,
    "semantic-segmentation": BeitForSemanticSegmentation,
    "backbone": BeitBackbone,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 24,
    "patch_size": 8,
    "num_labels": 3,
    "use_mask_token": True,
    "use_absolute_position_embeddings": True,
    "use_relative_position_bias": True,
    "auxiliary_channels": 12,
    "pool_scales": [1, 2],
    "out_indices": [1, 2, 3, 4],
}
