"""Labels of pixels: the task, and the heads that read maps of several layers.

Letters: B batch, D width, L labels, h and w height and width of a map, H and W those of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import heads, outputs, vision
from .errors import ConfigError, InputError
from .ops.layout import Layout


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (B, D, h, w) of another height and width, by bilinear interpolation."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class ConvModule(nn.Module):
    """A convolution that keeps height and width, its batch's normalisation, and ReLU."""

    def __init__(self, width: int, made: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, made, kernel_size=kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(made)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.bn(self.conv(x)))


class UperHead(nn.Module):
    """Labels from maps of four sizes: the last is seen at several scales, and each adds to the one before.

    Source: Xiao et al. 2018 (arXiv 1807.10221)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        D, scales = config.hidden_size, config.pool_scales
        self.classifier = nn.Conv2d(D, config.num_labels, kernel_size=1)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvModule(D, D, 1)) for scale in scales
        )
        self.bottleneck = ConvModule(D + len(scales) * D, D, 3)
        self.lateral_convs = nn.ModuleList(ConvModule(D, D, 1) for _ in range(3))
        self.fpn_convs = nn.ModuleList(ConvModule(D, D, 3) for _ in range(3))
        self.fpn_bottleneck = ConvModule(4 * D, D, 3)

    def forward(self, encoder_hidden_states: Sequence[Tensor]) -> Tensor:
        """Four maps, the largest first, to (B, L, h, w) of the first's size."""
        *larger, last = encoder_hidden_states
        pooled = [resized(module(last), last.shape[2:]) for module in self.psp_modules]
        maps = [conv(x) for conv, x in zip(self.lateral_convs, larger, strict=True)]
        maps.append(self.bottleneck(torch.cat([last, *pooled], dim=1)))
        for i in (2, 1, 0):
            maps[i] = maps[i] + resized(maps[i + 1], maps[i].shape[2:])
        made = [conv(x) for conv, x in zip(self.fpn_convs, maps, strict=False)]
        made.append(maps[-1])
        return self.classifier(self.fpn_bottleneck(torch.cat([resized(x, made[0].shape[2:]) for x in made], dim=1)))


class FCNHead(nn.Module):
    """Labels from one map of four, which training looks at too. Source: Long et al. 2014 (arXiv 1411.4038)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        D, inner, count = config.hidden_size, config.auxiliary_channels, config.auxiliary_num_convs
        self.convs = nn.Sequential(*(ConvModule(inner if i else D, inner, 3) for i in range(count)))
        self.conv_cat = ConvModule(D + inner, inner, 3) if config.auxiliary_concat_input else None
        self.classifier = nn.Conv2d(inner, config.num_labels, kernel_size=1)

    def forward(self, encoder_hidden_states: Sequence[Tensor]) -> Tensor:
        read = encoder_hidden_states[2]
        made = self.convs(read)
        made = made if self.conv_cat is None else self.conv_cat(torch.cat([read, made], dim=1))
        return self.classifier(made)


class Pyramid(vision.ReadsImages):
    """A model that makes maps of four sizes of those of four layers, which are all of one size."""

    fpn1: Any
    fpn2: Any
    fpn3: Any
    fpn4: Any

    def add_pyramid(self, width: int) -> None:
        """Make what enlarges the first two maps and shrinks the last one."""
        if len(self.config.out_indices) != 4:
            raise ConfigError(
                f"{type(self).__name__} reads four layers: set out_indices to their numbers, such as [3, 5, 7, 11], "
                f"instead of {self.config.out_indices}."
            )

        def doubled() -> nn.Module:
            return nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)

        self.fpn1 = nn.Sequential(doubled(), nn.BatchNorm2d(width), nn.GELU(), doubled())
        self.fpn2 = nn.Sequential(doubled())
        self.fpn3 = nn.Identity()
        self.fpn4 = nn.MaxPool2d(kernel_size=2, stride=2)

    def pyramid(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Four maps (B, D, h, w) to maps of 4, 2, 1 and ½ times their height and width."""
        made = zip((self.fpn1, self.fpn2, self.fpn3, self.fpn4), maps, strict=True)
        return tuple(module(x) for module, x in made)


class SemanticSegmentation(vision.ReadsImages, heads.Head):
    """Label pixels. labels (B, H, W): ids, `semantic_loss_ignore_index` to leave a pixel out; logits (B, L, h, w).

    A family's `segment` makes the logits of the states of all layers, and those that only training looks at."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.SemanticSegmenterOutput

    def segment(self, states: tuple[Tensor, ...], size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Logits, and maybe further ones, of pictures of that size."""
        raise NotImplementedError

    def compute(self, inputs: dict[str, Any]) -> Any:
        return_dict, asked = inputs.pop("return_dict", None), inputs.pop("output_hidden_states", None)
        found = super().compute({**inputs, "output_hidden_states": True, "return_dict": True})
        if not self.options(output_hidden_states=asked)["output_hidden_states"]:
            found = type(found)(**{name: value for name, value in found.items() if name != "hidden_states"})
        return self.returned(found, return_dict)

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        size, labels = (inputs["pixel_values"].shape[2], inputs["pixel_values"].shape[3]), targets["labels"]
        logits, beside = self.segment(body.hidden_states, size)
        return {"loss": None if labels is None else self.loss(logits, beside, labels), "logits": logits}

    def loss(self, logits: Tensor, beside: Tensor | None, labels: Tensor) -> Tensor:
        """The mean cross entropy of pixels, and a part of that of the logits beside."""
        if self.num_labels == 1:
            raise ConfigError("labels of pixels are of at least two kinds, but the configuration has num_labels=1.")
        if labels.dim() != 3 or len(labels) != len(logits):
            raise InputError(
                f"labels has shape {tuple(labels.shape)}; give one label a pixel, ({len(logits)}, height, width)."
            )
        ignored = self.config.semantic_loss_ignore_index
        wrong = (labels != ignored) & ((labels < 0) | (labels >= self.num_labels))
        if bool(wrong.any()):
            raise InputError(
                f"labels has {int(labels[wrong][0])}; the model has labels from 0 to {self.num_labels - 1}, and "
                f"{ignored} to leave a pixel out."
            )
        parts = [
            F.cross_entropy(resized(x, labels.shape[1:]), labels, ignore_index=ignored)
            for x in (logits, beside)
            if x is not None
        ]
        return parts[0] if len(parts) == 1 else parts[0] + self.config.auxiliary_loss_weight * parts[1]
