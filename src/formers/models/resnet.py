"""ResNet: convolutions in residual branches.

Source: He et al. 2015 (arXiv 1512.03385). Letters: B batch, D width, H and W height and width of a map.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from .. import convolutional
from ..backbone import BackboneConfig
from ..errors import ConfigError
from ..ops.activations import activation
from .convnext import ConvNextImageProcessor


class ResNetConfig(BackboneConfig):
    """Defaults are those of microsoft/resnet-50."""

    model_type = "resnet"

    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: list[int] = [256, 512, 1024, 2048]
    depths: list[int] = [3, 4, 6, 3]
    layer_type: str = "bottleneck"
    hidden_act: str = "relu"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False
    out_features: list[str] | None = None
    out_indices: list[int] | None = None
    image_size: int = 224  # of pictures that are made up, as `dummy_inputs` are

    def check(self) -> None:
        super().check()
        if self.layer_type not in ("basic", "bottleneck"):
            raise ConfigError(f"layer_type={self.layer_type!r} is unknown; it is basic or bottleneck.")


class ResNetConvLayer(nn.Module):
    def __init__(self, width: int, made: int, kernel_size: int = 3, stride: int = 1, act: str | None = "relu") -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, made, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.normalization = nn.BatchNorm2d(made)
        self.activation = nn.Identity() if act is None else activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.normalization(self.convolution(x)))


class ResNetEmbeddings(nn.Module):
    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.embedder = ResNetConvLayer(config.num_channels, config.embedding_size, 7, 2, config.hidden_act)
        self.pooler = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.pooler(self.embedder(pixel_values.to(self.embedder.convolution.weight.dtype)))


class ResNetShortCut(nn.Module):
    def __init__(self, width: int, made: int, stride: int = 2) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, made, kernel_size=1, stride=stride, bias=False)
        self.normalization = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalization(self.convolution(x))


class ResNetLayer(nn.Module):
    """A residual branch of two convolutions, or of three through a quarter of the width."""

    def __init__(self, config: ResNetConfig, width: int, made: int, stride: int = 1) -> None:
        super().__init__()
        self.shortcut = ResNetShortCut(width, made, stride) if width != made or stride != 1 else nn.Identity()
        if config.layer_type == "basic":
            self.layer = nn.Sequential(ResNetConvLayer(width, made, 3, stride), ResNetConvLayer(made, made, act=None))
        else:
            first, inner = (stride if config.downsample_in_bottleneck else 1), made // 4
            self.layer = nn.Sequential(
                ResNetConvLayer(width, inner, 1, first),
                ResNetConvLayer(inner, inner, 3, stride // first),
                ResNetConvLayer(inner, made, 1, act=None),
            )
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.layer(x) + self.shortcut(x))


class ResNetStage(nn.Module):
    def __init__(self, config: ResNetConfig, width: int, made: int, stride: int, depth: int) -> None:
        super().__init__()
        first = ResNetLayer(config, width, made, stride)
        self.layers = nn.Sequential(first, *(ResNetLayer(config, made, made) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ResNetEncoder(convolutional.Encoder):
    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        widths = [config.embedding_size, *config.hidden_sizes]
        strides = [2 if config.downsample_in_first_stage else 1, *[2] * len(config.depths)]
        self.stages = nn.ModuleList(
            ResNetStage(config, widths[i], widths[i + 1], strides[i], depth) for i, depth in enumerate(config.depths)
        )


class ResNetPreTrainedModel(convolutional.ReadsMaps):
    """What ResNet's models share."""

    config_class = ResNetConfig
    base_model_prefix = "resnet"
    WORDS = "embedder"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            nn.init.uniform_(module.bias, -(module.in_features**-0.5), module.in_features**-0.5)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


class ResNetModel(ResNetPreTrainedModel, convolutional.MapBody):
    """The encoder: maps, and the mean of the last, (B, D, 1, 1)."""

    STEM = "embedder"

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        self.embedder = ResNetEmbeddings(config)
        self.encoder = ResNetEncoder(config)
        self.pooler = nn.AdaptiveAvgPool2d((1, 1))
        self.post_init()

    def pooled(self, last: Tensor) -> Tensor | None:
        return self.pooler(last)


class ResNetForImageClassification(ResNetPreTrainedModel, convolutional.MapClassification):
    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        self.resnet = ResNetModel(config)
        self.classifier = nn.Sequential(nn.Flatten(), self.made_classifier(config.hidden_sizes[-1]))
        self.post_init()


class ResNetBackbone(convolutional.MapBackbone, ResNetModel):
    """The encoder, for models built on top of it."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_features = [config.embedding_size, *config.hidden_sizes]


MODEL_TYPES = {"resnet": ResNetConfig}
TOKENIZER = None
IMAGE_PROCESSOR = ConvNextImageProcessor
HEADS = {"base": ResNetModel, "image-classification": ResNetForImageClassification, "backbone": ResNetBackbone}
TINY = {
    "embedding_size": 12,
    "hidden_sizes": [16, 24],
    "depths": [2, 1],
    "num_labels": 3,
    "out_indices": [0, 2],
    "image_size": 32,
}
