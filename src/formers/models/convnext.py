"""ConvNeXT: convolutions of each column by itself, between layers as a transformer's feed-forward.

Source: Liu et al. 2022 (arXiv 2201.03545). Letters: B batch, D width, H and W height and width of a map.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import convolutional, vision
from ..backbone import BackboneConfig
from ..errors import InputError
from ..ops.activations import activation
from ..processing import BaseImageProcessor, PILImageResampling
from ..processing.sizes import SizeDict, target
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, Picture, size_of


class ConvNextConfig(BackboneConfig):
    """Defaults are those of facebook/convnext-tiny-224."""

    model_type = "convnext"
    attribute_map: ClassVar[dict[str, str]] = {"num_hidden_layers": "num_stages"}

    num_channels: int = 3
    patch_size: int | list[int] = 4
    num_stages: int = 4
    hidden_sizes: list[int] = [96, 192, 384, 768]
    depths: list[int] = [3, 3, 9, 3]
    hidden_act: str = "gelu"
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    layer_scale_init_value: float = 1e-6
    drop_path_rate: float = 0.0
    image_size: int | list[int] = 224
    out_features: list[str] | None = None
    out_indices: list[int] | None = None


_WARPED = 384  # from this edge on, images become squares whole


class ConvNextImageProcessor(BaseImageProcessor):
    """Images to squares: from 384 pixels on whole, below that the middle of a larger one.

    crop_pct: which part of the shortest edge the square below 384 pixels is.
    """

    do_resize = True
    size = {"shortest_edge": 384}
    default_to_square = False
    resample = PILImageResampling.BICUBIC
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    crop_pct: float = 224 / 256

    def resized(self, picture: Picture) -> Picture:
        edge = self.size.shortest_edge  # type: ignore[attr-defined]  # settings are made a SizeDict
        if not edge:
            raise InputError(f"size={dict(self.size)} must have shortest_edge.")
        if edge >= _WARPED:
            return self.resized_to(picture, (edge, edge))
        larger = SizeDict(shortest_edge=int(edge / self.crop_pct))
        picture = self.resized_to(picture, target(size_of(picture), larger))
        return self.cropped(picture, SizeDict(height=edge, width=edge))


class ConvNextLayerNorm(nn.LayerNorm):
    """Of the width of maps (B, D, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextEmbeddings(nn.Module):
    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        patch = vision.sides(config, "patch_size")
        self.patch_embeddings = nn.Conv2d(config.num_channels, config.hidden_sizes[0], kernel_size=patch, stride=patch)
        self.layernorm = ConvNextLayerNorm(config.hidden_sizes[0])

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.layernorm(self.patch_embeddings(pixel_values.to(self.patch_embeddings.weight.dtype)))


class ConvNextLayer(nn.Module):
    def __init__(self, config: ConvNextConfig, dim: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.layernorm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1, self.act, self.pwconv2 = (
            nn.Linear(dim, 4 * dim),
            activation(config.hidden_act),
            nn.Linear(4 * dim, dim),
        )
        scale = float(config.layer_scale_init_value)
        self.layer_scale_parameter = nn.Parameter(torch.full((dim,), scale)) if scale > 0 else None
        self.drop_path = vision.DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        made = self.layernorm(self.dwconv(x).permute(0, 2, 3, 1))  # (B, H, W, D)
        made = self.pwconv2(self.act(self.pwconv1(made)))
        made = made if self.layer_scale_parameter is None else self.layer_scale_parameter * made
        return x + self.drop_path(made.permute(0, 3, 1, 2))


class ConvNextStage(nn.Module):
    def __init__(self, config: ConvNextConfig, width: int, made: int, stride: int, rates: list[float]) -> None:
        super().__init__()
        smaller = [ConvNextLayerNorm(width), nn.Conv2d(width, made, kernel_size=2, stride=stride)]
        self.downsampling_layer = nn.Sequential(*(smaller if width != made or stride > 1 else ()))
        self.layers = nn.Sequential(*(ConvNextLayer(config, made, rate) for rate in rates))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.downsampling_layer(x))


class ConvNextEncoder(convolutional.Encoder):
    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        widths, depths = config.hidden_sizes, config.depths
        rates = vision.drop_rates(config, sum(depths))
        self.stages = nn.ModuleList(
            ConvNextStage(
                config, widths[max(i - 1, 0)], widths[i], 2 if i else 1, [next(rates) for _ in range(depths[i])]
            )
            for i in range(config.num_stages)
        )


class ConvNextPreTrainedModel(convolutional.ReadsMaps):
    """What ConvNeXT's models share."""

    config_class = ConvNextConfig
    base_model_prefix = "convnext"

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ConvNextLayer) and module.layer_scale_parameter is not None:
            nn.init.constant_(module.layer_scale_parameter, self.config.layer_scale_init_value)


class ConvNextModel(ConvNextPreTrainedModel, convolutional.MapBody):
    """The encoder: maps, and the mean of the last through a norm, (B, D)."""

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__(config)
        self.embeddings = ConvNextEmbeddings(config)
        self.encoder = ConvNextEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_sizes[-1], eps=config.layer_norm_eps)
        self.post_init()

    def pooled(self, last: Tensor) -> Tensor | None:
        return self.layernorm(last.mean([-2, -1]))


class ConvNextForImageClassification(ConvNextPreTrainedModel, convolutional.MapClassification):
    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__(config)
        self.convnext = ConvNextModel(config)
        self.add_classifier(config.hidden_sizes[-1])
        self.post_init()


class ConvNextBackbone(ConvNextPreTrainedModel, convolutional.MapBackbone, convolutional.MapBody):
    """The encoder, for models built on top of it: each map that is given goes through a norm of its own."""

    SIGNATURE = convolutional.MapBackbone.SIGNATURE

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_features = [config.hidden_sizes[0], *config.hidden_sizes]
        self.embeddings = ConvNextEmbeddings(config)
        self.encoder = ConvNextEncoder(config)
        given = zip(self.out_features, self.channels, strict=True)
        self.hidden_states_norms = nn.ModuleDict({name: ConvNextLayerNorm(width) for name, width in given})
        self.post_init()

    def as_map(self, name: str, state: Tensor, size: tuple[int, int]) -> Tensor:
        return self.hidden_states_norms[name](state)


MODEL_TYPES = {"convnext": ConvNextConfig}
TOKENIZER = None
IMAGE_PROCESSOR = ConvNextImageProcessor
HEADS = {
    "base": ConvNextModel,
    "image-classification": ConvNextForImageClassification,
    "backbone": ConvNextBackbone,
}
TINY = {
    "num_stages": 2,
    "hidden_sizes": [16, 24],
    "depths": [2, 1],
    "num_labels": 3,
    "out_indices": [0, 2],
    "image_size": 32,
    "layer_scale_init_value": 0.5,
}
