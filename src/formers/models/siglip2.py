"""SigLIP 2: SigLIP for pictures of any shape, each cut into as many patches as it needs, up to a limit.

    pixel_values (B, P, C·p·p), patches as rows; spatial_shapes (B, 2), how many below each other and side by side;
    pixel_attention_mask (B, P), 1 for patches and 0 for padding, which is not computed

Source: Tschannen et al. 2025 (arXiv 2502.14786); google-research/big_vision.
Letters: B batch, P patches of the largest picture, C channels, p side of a patch, N patches of all pictures, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import normalizers
from torch import Tensor, nn

from .. import vision
from ..cache import Cache
from ..config import PretrainedConfig
from ..errors import InputError, NotTensorError
from ..layers import keeps_padding
from ..modeling import OPTIONS
from ..ops.checks import read_mask
from ..ops.layout import Layout
from ..processing import BaseImageProcessor, PILImageResampling, ProcessorMixin
from ..processing.transforms import (
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    Array,
    Picture,
    as_array,
    size_of,
)
from . import gemma, siglip


class Siglip2TextConfig(siglip.SiglipTextConfig):
    """Defaults are those of SigLIP."""

    model_type = "siglip2_text_model"


class Siglip2VisionConfig(PretrainedConfig):
    """num_patches: of the table of positions, which is resized to the shape of each picture; a square."""

    model_type = "siglip2_vision_model"
    base_config_key = "vision_config"

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    num_patches: int = 256
    patch_size: int | list[int] = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    vision_use_head: bool = True


class Siglip2Config(siglip.SiglipConfig):
    """The configurations of both towers."""

    model_type = "siglip2"
    sub_configs = {"text_config": Siglip2TextConfig, "vision_config": Siglip2VisionConfig}


class Siglip2Tokenizer(gemma.GemmaTokenizer):
    """Gemma's, of texts in small letters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("padding_side", "left")
        super().__init__(*args, **kwargs)
        made, lower = self._tokenizer, normalizers.Lowercase()
        first = made.normalizer
        if first is None or not isinstance(first, normalizers.Sequence) or not isinstance(first[0], type(lower)):
            made.normalizer = normalizers.Sequence([lower] if first is None else [lower, first])


Siglip2TokenizerFast = Siglip2Tokenizer


class Siglip2ImageProcessor(BaseImageProcessor):
    """Images of their own aspects as rows of patches, at most `max_num_patches` of them, padded to so many.

    Gives `pixel_values` (N, max_num_patches, patch_size² · C), `pixel_attention_mask` (N, max_num_patches) and
    `spatial_shapes` (N, 2), how many patches each image has down and across.
    """

    model_input_names = ["pixel_values", "pixel_attention_mask", "spatial_shapes"]

    do_resize = True
    resample = PILImageResampling.BILINEAR
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    patch_size: int = 16
    max_num_patches: int = 256

    def resized(self, picture: Picture) -> Picture:
        return self.resized_to(picture, _fitting(size_of(picture), self.patch_size, self.max_num_patches))

    def one(self, picture: Picture) -> tuple[Array, tuple[int, int]]:
        image, edge = as_array(super().one(picture)), self.patch_size
        down, across = image.shape[1] // edge, image.shape[2] // edge
        if (down * edge, across * edge) != image.shape[1:] or not 0 < down * across <= self.max_num_patches:
            raise InputError(
                f"An image of {image.shape[1]} × {image.shape[2]} (height × width) is not of whole patches of {edge} × "
                f"{edge}, {self.max_num_patches} at most: resize it, as do_resize=True does."
            )
        grid = image.reshape(image.shape[0], down, edge, across, edge)
        return grid.transpose(1, 3, 2, 4, 0).reshape(down * across, -1), (down, across)

    def batch(self, made: list[Any]) -> dict[str, Any]:
        most = self.max_num_patches
        masks = [(np.arange(most) < len(patches)).astype(np.int32) for patches, _ in made]
        padded = [np.pad(patches, ((0, max(0, most - len(patches))), (0, 0))) for patches, _ in made]
        return {
            "pixel_values": padded,
            "pixel_attention_mask": masks,
            "spatial_shapes": [shape for _, shape in made],
        }


def _fitting(own: tuple[int, int], edge: int, most: int) -> tuple[int, int]:
    """The largest height and width of whole patches, of nearly the image's aspect, with at most `most` patches."""

    def scaled(scale: float) -> tuple[int, int]:
        height, width = (max(edge, math.ceil(side * scale / edge) * edge) for side in own)
        return height, width

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        height, width = scaled(middle)
        low, high = (middle, high) if (height / edge) * (width / edge) <= most else (low, middle)
    return scaled(low)


class Siglip2Processor(ProcessorMixin):
    """SigLIP 2's image processor and tokenizer."""

    image_processor_class = Siglip2ImageProcessor
    tokenizer_class = Siglip2Tokenizer


def checked_patches(who: str, pixel_values: Any, spatial_shapes: Any, numbers: int) -> list[tuple[int, int]]:
    """The shapes of pictures, whose patches (B, P, C·p·p) are checked. Raises InputError for what is none of this."""
    how = "an image processor makes them: processor(image, return_tensors='pt')"
    for name, value in (("pixel_values", pixel_values), ("spatial_shapes", spatial_shapes)):
        if value is None:
            raise InputError(f"{who} reads {name}: {how}.")
        if not isinstance(value, Tensor):
            raise NotTensorError(f"{name} is a {type(value).__name__}, not a tensor; {how}.")
    shape = tuple(pixel_values.shape)
    if len(shape) != 3 or shape[2] != numbers or 0 in shape or not pixel_values.is_floating_point():
        raise InputError(
            f"pixel_values has shape {shape} and type {pixel_values.dtype}; it should be numbers (batch, patches, "
            f"{numbers}): {how}."
        )
    if tuple(spatial_shapes.shape) != (shape[0], 2):
        raise InputError(f"spatial_shapes has shape {tuple(spatial_shapes.shape)}; it should be ({shape[0]}, 2).")
    found = [(int(down), int(across)) for down, across in spatial_shapes.tolist()]
    if wrong := [s for s in found if min(s) < 1 or s[0] * s[1] > shape[1]]:
        raise InputError(f"spatial_shapes has {list(wrong[0])}, and each picture has 1 to {shape[1]} patches.")
    return found


class Siglip2VisionEmbeddings(nn.Module):
    """Patches with positions, of a table that is resized to each picture."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        down, across = vision.sides(config, "patch_size")
        self.patch_embedding = nn.Linear(config.num_channels * down * across, config.hidden_size)
        self.position_embedding = nn.Embedding(config.num_patches, config.hidden_size)

    def forward(self, pixel_values: Tensor, spatial_shapes: Tensor, layout: Layout | None = None) -> Tensor:
        """(B, P, C·p·p) to rows of the layout, (N, D) or (B, P, D)."""
        numbers, who = self.patch_embedding.in_features, type(self).__name__
        shapes = checked_patches(who, pixel_values, spatial_shapes, numbers)
        layout = Layout(*pixel_values.shape[:2]) if layout is None else layout
        rows = self.patch_embedding(layout.pack(pixel_values).to(self.patch_embedding.weight.dtype))
        return rows + layout.pack(self.positions(shapes, pixel_values.shape[1]))

    def positions(self, shapes: list[tuple[int, int]], count: int) -> Tensor:
        """(B, count, D), of each picture; its first patch's where there are no more."""
        table = self.position_embedding.weight
        side = math.isqrt(len(table))
        square = table.unflatten(0, (side, side)).permute(2, 0, 1)[None]
        square = square.float() if square.device.type == "cpu" else square  # which has no antialias for 16 bits
        found: dict[tuple[int, int], Tensor] = {}
        for shape in {*shapes}:
            resized = F.interpolate(square, size=shape, mode="bilinear", align_corners=False, antialias=True)
            rows = resized[0].flatten(1).T.to(table.dtype)
            found[shape] = torch.cat([rows, rows[:1].expand(count - len(rows), -1)])
        return torch.stack([found[shape] for shape in shapes])


class Siglip2PreTrainedModel(siglip.SiglipPreTrainedModel):
    """What SigLIP 2's models share."""

    config_class: ClassVar[Any] = Siglip2Config
    base_model_prefix = "siglip2"


class ReadsPatches(vision.ReadsImages):
    """The part of a model that reads patches of pictures of any shape."""

    def layout_of_inputs(
        self, inputs: dict[str, Any], keep_padding: bool = False, reads_first: bool = True, cache: Cache | None = None
    ) -> Layout:
        config, images, mask = vision.of_pictures(self.config), inputs.get("pixel_values"), None
        down, across = vision.sides(config, "patch_size")
        numbers = config.num_channels * down * across
        checked_patches(type(self).__name__, images, inputs.get("spatial_shapes"), numbers)
        assert images is not None  # which has been checked
        if inputs.get("pixel_attention_mask") is not None:
            mask = read_mask(inputs["pixel_attention_mask"], images.shape[0], images.shape[1])
        kept = keep_padding or keeps_padding(self.modules(), self)
        return Layout.of(mask, images.shape[0], images.shape[1], kept, reads_first=False)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        config = vision.of_pictures(self.config)
        down, across = vision.sides(config, "patch_size")
        values = torch.linspace(-1, 1, 8 * config.num_channels * down * across)
        shapes, mask = torch.tensor([[2, 2], [1, 3]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
        return {"pixel_values": values.view(2, 4, -1), "pixel_attention_mask": mask, "spatial_shapes": shapes}

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        config = vision.of_pictures(self.config)
        side, (down, across) = math.isqrt(config.num_patches), vision.sides(config, "patch_size")
        whole = SimpleNamespace(num_channels=config.num_channels, image_size=[side * down, side * across])
        images = vision.pictures(whole).to(self.device, self.dtype)
        patches = images.unflatten(2, (side, down)).unflatten(4, (side, across))  # (B, C, side, p, side, p)
        values = patches.permute(0, 2, 4, 3, 5, 1).reshape(len(images), side * side, -1)
        ones = torch.ones(values.shape[:2], dtype=torch.long, device=self.device)
        shapes = torch.tensor([[side, side]], device=self.device).expand(len(images), 2)
        return [{"pixel_values": values, "pixel_attention_mask": ones, "spatial_shapes": shapes}]


IMAGE = ("pixel_values", "pixel_attention_mask", "spatial_shapes")


class Siglip2TextTransformer(Siglip2PreTrainedModel, siglip.SiglipTextTransformer):
    """As SigLIP's."""

    config_class: ClassVar[Any] = Siglip2TextConfig


class Siglip2VisionTransformer(Siglip2PreTrainedModel, ReadsPatches, siglip.SiglipVisionTransformer):
    """The tower that reads pictures: hidden states (B, P, D), zeros at padding, and a vector of all patches (B, D)."""

    config_class: ClassVar[Any] = Siglip2VisionConfig
    SIGNATURE: ClassVar[tuple[str, ...]] = (*IMAGE, *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ()
    EMBEDDED: ClassVar[tuple[str, ...]] = ("pixel_values", "spatial_shapes")
    EMBEDDINGS = Siglip2VisionEmbeddings

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        return self.embeddings(**inputs, layout=layout)

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor | None:
        whole = layout.unpack(rows) if rows.dim() == 2 else rows
        of_pictures = Layout(layout.batch, layout.columns, mask=layout.tokens)
        return self.head(whole, of_pictures) if self.config.vision_use_head else None


class Siglip2TextModel(Siglip2PreTrainedModel, siglip.SiglipTextModel):
    """The tower that reads texts, by itself."""

    config_class: ClassVar[Any] = Siglip2TextConfig
    base_model_prefix = "text_model"
    TOWER = Siglip2TextTransformer


class Siglip2VisionModel(Siglip2PreTrainedModel, ReadsPatches, siglip.SiglipVisionModel):
    """The tower that reads pictures, by itself."""

    config_class: ClassVar[Any] = Siglip2VisionConfig
    base_model_prefix = "vision_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = Siglip2VisionTransformer.SIGNATURE
    KEYWORDS: ClassVar[tuple[str, ...]] = Siglip2VisionTransformer.KEYWORDS
    TOWER = Siglip2VisionTransformer


class Siglip2Model(Siglip2PreTrainedModel, siglip.SiglipModel):
    """Compares texts with pictures, as SigLIP."""

    IMAGE: ClassVar[tuple[str, ...]] = IMAGE
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        "input_ids",
        *IMAGE,
        "attention_mask",
        "position_ids",
        "return_loss",
        *OPTIONS,
    )
    KEYWORDS: ClassVar[tuple[str, ...]] = ()
    TOWERS = (Siglip2TextTransformer, Siglip2VisionTransformer)


class Siglip2ForImageClassification(Siglip2PreTrainedModel, ReadsPatches, siglip.SiglipForImageClassification):
    """Label a picture, of the mean of its patches."""

    base_model_prefix = "vision_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*IMAGE, "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = siglip.SiglipForImageClassification.KEYWORDS[:1]
    TOWER: ClassVar[Any] = Siglip2VisionTransformer

    def logits_of_texts(self, body: Any, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        rows = layout.unpack(body.last_hidden_state)
        if layout.tokens is None:
            return self.compute_logits(rows)
        real = layout.tokens[..., None].to(rows.dtype)
        return self.classifier((rows * real).sum(1) / real.sum(1))


MODEL_TYPES = {
    "siglip2": Siglip2Config,
    "siglip2_text_model": Siglip2TextConfig,
    "siglip2_vision_model": Siglip2VisionConfig,
}
TOKENIZER = Siglip2Tokenizer
IMAGE_PROCESSOR = Siglip2ImageProcessor
PROCESSOR = Siglip2Processor
HEADS = {
    "base": Siglip2Model,
    "zero-shot-image-classification": Siglip2Model,
    "image-classification": Siglip2ForImageClassification,
    "text": Siglip2TextModel,
    "vision": Siglip2VisionModel,
}
PARTS = {"siglip2_text_model": {"base": Siglip2TextModel}, "siglip2_vision_model": {"base": Siglip2VisionModel}}
TINY = {
    "text_config": siglip.TINY["text_config"],
    "vision_config": {
        "hidden_size": 24,
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_patches": 9,
        "patch_size": 4,
    },
    "num_labels": 3,
}
