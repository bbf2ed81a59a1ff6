"""Swin: patches attend within windows of their map, every second layer within windows that lie across the others'
borders; between stages four patches become one, and twice as wide.

Source: Liu et al. 2021 (arXiv 2103.14030); microsoft/Swin-Transformer.
Letters: B batch, h and w height and width of a map, P = h · w rows, D width of a stage, H heads of a stage, s side of a
window, n windows of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import heads, outputs, vision
from ..backbone import Backbone, BackboneConfig
from ..errors import ConfigError, InputError
from ..layers import HeadMasks, by_hand, run_layers, through
from ..modeling import OPTIONS
from ..ops.attention import Bias
from ..ops.bias import Grid, by_distance
from ..ops.layout import Layout
from ..ops.step import Step
from ..ops.windows import Windows
from ..optimize import Block
from . import vit

_HIDDEN = -100.0  # what is added to scores that shifted windows hide, as models were trained


class SwinConfig(BackboneConfig):
    """Defaults are those of microsoft/swin-tiny-patch4-window7-224."""

    model_type = "swin"
    attribute_map: ClassVar[dict[str, str]] = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}

    image_size: int | list[int] = 224
    patch_size: int | list[int] = 4
    num_channels: int = 3
    embed_dim: int = 96
    depths: list[int] = [2, 2, 6, 2]
    num_heads: list[int] = [3, 6, 12, 24]
    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.1
    hidden_act: str = "gelu"
    use_absolute_embeddings: bool = False
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    encoder_stride: int = 32
    out_features: list[str] | None = None
    out_indices: list[int] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.depths, self.num_heads = list(self.depths), list(self.num_heads)
        self.num_layers = len(self.depths)
        self.hidden_size = self.embed_dim * 2 ** max(self.num_layers - 1, 0)  # of the last stage, as others read it

    def check(self) -> None:
        super().check()
        if not self.depths or len(self.depths) != len(self.num_heads):
            raise ConfigError(
                f"{type(self).__name__}: depths={self.depths} and num_heads={self.num_heads} each have a number for "
                "every stage."
            )

    def of_stage(self, number: int) -> Any:
        """The configuration of a ViT whose layers are as those of that stage."""
        found = copy(self)
        found.hidden_size, found.num_attention_heads = self.embed_dim * 2**number, self.num_heads[number]
        found.intermediate_size = int(self.mlp_ratio * found.hidden_size)
        return found


@dataclass
class SwinEncoderOutput(outputs.BaseModelOutput):
    """`reshaped_hidden_states`: the hidden states as maps, (B, D, h, w)."""

    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class SwinModelOutput(outputs.BaseModelOutputWithPooling):
    """`pooler_output` (B, D): the mean of the rows. `reshaped_hidden_states`: the states as maps, (B, D, h, w)."""

    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class SwinMaskedImageModelingOutput(outputs.MaskedImageModelingOutput):
    """`reshaped_hidden_states`: the hidden states as maps, (B, D, h, w)."""

    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class SwinImageClassifierOutput(outputs.ImageClassifierOutput):
    """`reshaped_hidden_states`: the hidden states as maps, (B, D, h, w)."""

    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Map:
    """What layers know of the map that their rows are.

    always: whether windows keep their size and shift where the map is no larger than one.
    early: whether a stage's map is noted before four patches become one.
    """

    grid: Grid
    always: bool = False
    early: bool = False

    @property
    def smaller(self) -> Map:
        """The map of which each place is four of this one's."""
        return replace(self, grid=((self.grid[0] + 1) // 2, (self.grid[1] + 1) // 2))


def _map(given: Mapping[str, Any]) -> Map:
    rows, grid = given["hidden_states"], given.get("input_dimensions")
    if not isinstance(grid, list | tuple) or len(grid) != 2 or grid[0] * grid[1] != rows.shape[1]:
        raise InputError(
            f"input_dimensions={grid!r}; give height and width of the map whose {rows.shape[1]} rows the layer reads."
        )
    asked = (bool(given.get(name)) for name in ("always_partition", "output_hidden_states_before_downsampling"))
    return Map((int(grid[0]), int(grid[1])), *asked)


# how Transformers calls what attends within windows, a layer or a stage, and all stages
_by_hand_windows = by_hand("hidden_states", "attention_mask", "head_mask", "output_attentions")
_LAYER = ("hidden_states", "input_dimensions", "head_mask", "output_attentions", "always_partition")
_STAGES = (
    *(*_LAYER[:4], "output_hidden_states", "output_hidden_states_before_downsampling", "always_partition"),
    "return_dict",
)
_by_hand_layer = by_hand(*_LAYER, shared=_map)
_by_hand_stages = by_hand(*_STAGES, shared=_map)


class SwinPatchEmbeddings(nn.Module):
    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch_size, self.num_channels = vision.sides(config, "patch_size"), config.num_channels
        self.grid_size = vision.grid_of(config)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        patch = self.patch_size
        self.projection = nn.Conv2d(config.num_channels, config.embed_dim, kernel_size=patch, stride=patch)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Grid]:
        """(B, C, H, W), with zeros where it does not divide into patches, to (B, P, D), and the height and width of its
        map."""
        images = vision.checked_images(type(self).__name__, pixel_values, self.num_channels)
        height, width = (-(-a // b) for a, b in zip(images.shape[2:], self.patch_size, strict=True))
        (down, across), size = self.patch_size, images.shape[2:]
        images = F.pad(images, (0, width * across - size[1], 0, height * down - size[0]))
        return vision.project(self.projection, images), (height, width)


class SwinEmbeddings(nn.Module):
    def __init__(self, config: SwinConfig, use_mask_token: bool = False) -> None:
        super().__init__()
        D, self.config = config.embed_dim, config
        self.patch_embeddings = SwinPatchEmbeddings(config)
        self.patch_grid = self.patch_embeddings.grid_size
        self.mask_token = nn.Parameter(torch.zeros(1, 1, D)) if use_mask_token else None
        positions = torch.zeros(1, self.patch_embeddings.num_patches, D)
        self.position_embeddings = nn.Parameter(positions) if config.use_absolute_embeddings else None
        self.norm = nn.LayerNorm(D)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, pixel_values: Tensor, bool_masked_pos: Tensor | None = None, interpolate_pos_encoding: bool | None = None
    ) -> tuple[Tensor, Grid]:
        rows, grid = self.patch_embeddings(pixel_values)
        rows = vision.masked(self.norm(rows), self.mask_token, bool_masked_pos)
        if self.position_embeddings is not None:
            patch = self.patch_embeddings.patch_size
            size = (grid[0] * patch[0], grid[1] * patch[1])
            rows = vision.with_positions(rows, self.position_embeddings, self.config, size, interpolate_pos_encoding)
        return self.dropout(rows), grid


class SwinPatchMerging(nn.Module):
    """Four rows of a map side by side, to one of twice their width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, input_feature: Tensor, input_dimensions: Grid) -> Tensor:
        """(B, h · w, D) to (B, ⌈h/2⌉ · ⌈w/2⌉, 2D)."""
        four = Windows(input_dimensions, 2).split(
            input_feature
        )  # (B · n, 4, D): above each other first, in checkpoints
        four = four.unflatten(1, (2, 2)).transpose(1, 2).flatten(1).unflatten(0, (len(input_feature), -1))
        return self.reduction(self.norm(four))


class SwinSelfAttention(vit.ViTSelfAttention):
    """Attention of each window's rows to each other, with a bias for how far they are apart."""

    def __init__(self, config: Any, shift: int) -> None:
        super().__init__(config)
        self.window_size, self.shift = config.window_size, shift
        distances = (2 * config.window_size - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(distances, config.num_attention_heads))

    def bias(self, step: Step) -> Bias | None:
        windows: Windows = step.shared
        reach = self.window_size - windows.side
        table: Tensor = self.relative_position_bias_table
        if reach:  # of windows that are smaller the distances in the middle
            size = 2 * self.window_size - 1
            table = table.view(size, size, -1)[reach : size - reach, reach : size - reach].flatten(0, 1)
        added = by_distance(table, (windows.side, windows.side))
        if (apart := windows.apart()) is not None:
            added = added + _HIDDEN * apart.to(added)[:, None]  # (n, H, s², s²)
            added = added.expand(step.layout.batch // len(added), *[-1] * 4).flatten(0, 1)
        return lambda q, k, distance: added.to(q.dtype)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        head_mask: Tensor | None = None,
        memory: Layout | None = None,
    ) -> tuple[Tensor, ...]:
        """Rows of a map, H · d wide, to the context; of windows where nobody says that there is a map."""
        place: Map | None = step.shared
        if place is None:
            windows, side = Windows((self.window_size, self.window_size), self.window_size), self.window_size
            if step.layout.columns != side**2:
                raise InputError(
                    f"{type(self).__name__} reads windows of {side} x {side} rows, not {step.layout.columns}."
                )
            return super().attend(query, key, value, replace(step, shared=windows), head_mask)
        make = Windows if place.always else Windows.of
        windows = make(place.grid, self.window_size, self.shift)
        # what fills windows has no more than the biases of keys and values
        parts = zip((query, key, value), (self.query, self.key, self.value), strict=True)
        query, key, value = (windows.split(x, layer.bias) for x, layer in parts)
        step = replace(step, layout=Layout(len(query), windows.side**2), shared=windows)
        context, *weights = super().attend(query, key, value, step, head_mask)
        return windows.join(context), *weights

    forward = _by_hand_windows(vit.ViTSelfAttention.run)


class SwinAttention(nn.Module):
    def __init__(self, config: Any, shift: int) -> None:
        super().__init__()
        self.self = SwinSelfAttention(config, shift)
        self.output = vit.ViTSelfOutput(config)

    @_by_hand_windows
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.self, rows, step, head_mask)
        return self.output(context, rows), *weights


class SwinLayer(nn.Module):
    def __init__(self, config: Any, drop_path_rate: float = 0.0, shift_size: int = 0) -> None:
        super().__init__()
        D, eps = config.hidden_size, config.layer_norm_eps
        self.window_size, self.shift_size = config.window_size, shift_size
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(D, eps=eps), nn.LayerNorm(D, eps=eps)
        self.attention = SwinAttention(config, shift_size)
        self.drop_path = vision.DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        self.intermediate, self.output = vit.ViTIntermediate(config), vit.ViTOutput(config)

    @_by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        attended, *weights = through(self.attention, self.layernorm_before(rows), step, head_mask)
        rows = rows + self.drop_path(attended)
        return rows + self.output(self.intermediate(self.layernorm_after(rows))), *weights

    def block(self) -> Block:
        inner, up = self.attention.self, self.intermediate
        return Block(
            *(inner.heads, (inner.query, inner.key, inner.value), self.attention.output.dense, self.layernorm_before),
            *(up.dense, up.intermediate_act_fn, self.output.dense, self.layernorm_after),
            attend=inner.attend,
            pre=True,
        )


class SwinStage(nn.Module):
    def __init__(self, config: SwinConfig, number: int, rates: list[float]) -> None:
        super().__init__()
        own, shifts = config.of_stage(number), (0, config.window_size // 2)
        self.blocks = nn.ModuleList(SwinLayer(own, rate, shifts[i % 2]) for i, rate in enumerate(rates))
        self.downsample = SwinPatchMerging(own.hidden_size) if number < len(config.depths) - 1 else None
        self.gradient_checkpointing = False

    @_by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Any, ...]:
        """The last rows, those before four became one, height and width of both maps, and the last layer's weights."""
        place: Map = step.shared
        found = run_layers(
            *(self.blocks, rows, replace(step, output_hidden_states=False), [head_mask] * len(self.blocks)),
            checkpointing=self.gradient_checkpointing and self.training,
        )
        before = last = found.last_hidden_state
        after = place if self.downsample is None else place.smaller
        if self.downsample is not None:
            last = self.downsample(before, place.grid)
        return last, before, (*place.grid, *after.grid), *(found.attentions or ())[-1:]


class SwinEncoder(nn.Module):
    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        rates = vision.drop_rates(config, sum(config.depths))
        self.layers = nn.ModuleList(
            SwinStage(config, i, [next(rates) for _ in range(depth)]) for i, depth in enumerate(config.depths)
        )

    @_by_hand_stages
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> SwinEncoderOutput:
        place: Map = step.shared
        states, maps = [rows], [vision.as_map(rows, place.grid)]
        weights: list[Tensor] = []
        for stage, mask in zip(self.layers, head_masks or [None] * len(self.layers), strict=True):
            own = replace(step, layout=Layout(len(rows), rows.shape[1]), shared=place)
            rows, before, dimensions, *more = through(stage, rows, own, mask)
            place = replace(place, grid=dimensions[2:])
            states, weights = [*states, rows], [*weights, *more]
            maps.append(vision.as_map(before, dimensions[:2]) if place.early else vision.as_map(rows, place.grid))
        asked = step.output_hidden_states
        return SwinEncoderOutput(
            rows,
            tuple(states) if asked else None,
            tuple(weights) if step.output_attentions else None,
            tuple(maps) if asked else None,
        )


class SwinPreTrainedModel(vision.ReadsImages):
    """What Swin's models share: they read pictures of any size, unless positions are looked up in a table."""

    config_class = SwinConfig
    base_model_prefix = "swin"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*vision.INPUTS, "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = (heads.ITEMS, "interpolate_pos_encoding")
    BUFFERS = ("relative_position_index",)
    TOKENS = ()
    ZEROS = ("mask_token", "position_embeddings", "relative_position_bias_table")

    def before(self) -> int:
        return 0

    def grid(self, height: int, width: int) -> Grid:
        """Height and width of the first map, of pictures of that size."""
        patch = vision.sides(self.config, "patch_size")
        return -(-height // patch[0]), -(-width // patch[1])

    def columns(self, height: int, width: int) -> int:
        grid = self.grid(height, width)
        return grid[0] * grid[1]


class SwinModel(SwinPreTrainedModel, vision.ImageBody):
    """The encoder: the last rows (B, P, D), and their mean (B, D)."""

    OUTPUT = SwinModelOutput
    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "bool_masked_pos", "head_mask", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = (
        *("interpolate_pos_encoding", "always_partition"),
        "output_hidden_states_before_downsampling",
    )

    def __init__(self, config: SwinConfig, add_pooling_layer: bool = True, use_mask_token: bool = False) -> None:
        super().__init__(config)
        self.num_layers = len(config.depths)
        self.num_features: Any = config.hidden_size
        self.embeddings = SwinEmbeddings(config, use_mask_token)
        self.encoder = SwinEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = nn.AdaptiveAvgPool1d(1) if add_pooling_layer else None
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        rows: Tensor = self.embeddings(**inputs)[0]
        return rows

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Map:
        asked = (bool(inputs.get(name)) for name in self.KEYWORDS[1:])
        return Map(self.grid(*inputs["pixel_values"].shape[2:]), *asked)

    def stack(self, rows: Tensor, step: Step, head_masks: Any) -> outputs.BaseModelOutput:
        found = through(self.encoder, rows, step, head_masks)[0]
        found.last_hidden_state = self.layernorm(found.last_hidden_state)
        return found

    def pool(self, rows: Tensor) -> Tensor:
        assert self.pooler is not None  # is asked where there is one
        return self.pooler(rows.transpose(1, 2)).flatten(1)


class SwinForMaskedImageModeling(SwinPreTrainedModel, vision.MaskedImageModeling):
    OUTPUT = SwinMaskedImageModelingOutput
    SIGNATURE = SwinModel.SIGNATURE

    def __init__(self, config: SwinConfig) -> None:
        super().__init__(config)
        self.swin = SwinModel(config, add_pooling_layer=False, use_mask_token=True)
        self.add_decoder(config.hidden_size)
        self.post_init()

    def grid_of_rows(self, height: int, width: int) -> Grid:
        place = Map(self.grid(height, width))
        for _ in self.config.depths[1:]:
            place = place.smaller
        return place.grid


class SwinForImageClassification(SwinPreTrainedModel, vision.PooledImageClassification):
    OUTPUT = SwinImageClassifierOutput

    def __init__(self, config: SwinConfig) -> None:
        super().__init__(config)
        self.swin = SwinModel(config)
        self.add_classifier(config.hidden_size)
        self.post_init()


class SwinBackbone(Backbone, SwinModel):
    """The encoder, for models built on top of it: each map that is given goes through a norm of its own."""

    OPTIONAL = (*Backbone.OPTIONAL, "layernorm.")  # which nobody reads
    RENAMES = {f"swin.layernorm.{name}": f"layernorm.{name}" for name in ("weight", "bias")}  # as 5.x writes these
    KEYWORDS = ()

    def __init__(self, config: SwinConfig) -> None:
        super().__init__(config, add_pooling_layer=False)
        self.num_features = [config.embed_dim, *(config.of_stage(i).hidden_size for i in range(len(config.depths)))]
        given = zip(self.out_features, self.channels, strict=True)
        self.hidden_states_norms = nn.ModuleDict({name: nn.LayerNorm(width) for name, width in given})
        self.post_init()

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Map:
        return replace(super().shared(rows, layout, inputs), always=True, early=True)

    def of_stages(self, body: Any) -> tuple[Tensor, ...]:
        states: tuple[Tensor, ...] = body.reshaped_hidden_states
        return states

    def as_map(self, name: str, state: Tensor, size: Grid) -> Tensor:
        normed: Tensor = self.hidden_states_norms[name](state.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2).contiguous()


MODEL_TYPES = {"swin": SwinConfig}
TOKENIZER = None
IMAGE_PROCESSOR = vit.ViTImageProcessor
HEADS = {
    "base": SwinModel,
    "masked-image-modeling": SwinForMaskedImageModeling,
    "image-classification": SwinForImageClassification,
    "backbone": SwinBackbone,
}
TINY = {
    "image_size": 24,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 3,
    "mlp_ratio": 2.0,
    "encoder_stride": 8,
    "num_labels": 3,
    "use_absolute_embeddings": True,
    "out_indices": [0, 1, 2],
}
