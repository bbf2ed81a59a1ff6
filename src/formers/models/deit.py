"""DeiT: ViT with a second token of the whole picture, which learns what a teacher says of it.

Source: Touvron et al. 2020 (arXiv 2012.12877); facebookresearch/deit.
Letters: B batch, P patches, T = P + 2 columns, the first two those of the class and of the teacher, D width, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import vision
from ..config import PretrainedConfig
from ..modeling import OPTIONS
from ..ops.layout import Layout
from ..outputs import ModelOutput
from ..processing import BaseImageProcessor, PILImageResampling
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD
from . import vit


class DeiTConfig(vit.ViTConfig):
    """Defaults are those of facebook/deit-base-distilled-patch16-224."""

    model_type = "deit"


@dataclass
class DeiTForImageClassificationWithTeacherOutput(ModelOutput):
    """`cls_logits` and `distillation_logits` (B, L) of the two tokens, before softmax; `logits` their mean."""

    logits: Tensor | None = None
    cls_logits: Tensor | None = None
    distillation_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class DeiTImageProcessor(BaseImageProcessor):
    """Images to squares of 256 pixels, of which the middle 224 are read."""

    do_resize = True
    size = {"height": 256, "width": 256}
    resample = PILImageResampling.BICUBIC
    do_center_crop = True
    crop_size = {"height": 224, "width": 224}
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD


class DeiTEmbeddings(vit.ViTEmbeddings):
    BEFORE = 2

    def __init__(self, config: PretrainedConfig, use_mask_token: bool = False) -> None:
        super().__init__(config, use_mask_token)
        self.distillation_token = nn.Parameter(torch.zeros_like(self.cls_token))

    def first(self) -> Tensor:
        return torch.cat([self.cls_token, self.distillation_token], dim=1)


class DeiTPreTrainedModel(vision.ReadsImages):
    """What DeiT's models share."""

    config_class = DeiTConfig
    base_model_prefix = "deit"
    OPTIONAL = ("pooler.",)
    SIGNATURE = (*vision.INPUTS, "labels", *OPTIONS, "interpolate_pos_encoding")
    TOKENS = (*vision.ReadsImages.TOKENS, "distillation_token")

    def before(self) -> int:
        return DeiTEmbeddings.BEFORE


class DeiTModel(DeiTPreTrainedModel, vit.ViTModel):
    """The encoder, as ViT's."""

    SIGNATURE = ("pixel_values", "bool_masked_pos", "head_mask", *OPTIONS, "interpolate_pos_encoding")

    def __init__(self, config: DeiTConfig, add_pooling_layer: bool = True, use_mask_token: bool = False) -> None:
        super().__init__(config, add_pooling_layer, use_mask_token)
        self.embeddings = DeiTEmbeddings(config, use_mask_token)
        self.post_init()


class DeiTForMaskedImageModeling(DeiTPreTrainedModel, vision.MaskedImageModeling):
    SIGNATURE = DeiTModel.SIGNATURE

    def __init__(self, config: DeiTConfig) -> None:
        super().__init__(config)
        self.deit = DeiTModel(config, add_pooling_layer=False, use_mask_token=True)
        self.add_decoder(config.hidden_size)
        self.post_init()


class DeiTForImageClassification(DeiTPreTrainedModel, vision.ImageClassification):
    def __init__(self, config: DeiTConfig) -> None:
        super().__init__(config)
        self.deit = DeiTModel(config, add_pooling_layer=False)
        self.add_classifier(config.hidden_size)
        self.post_init()


class DeiTForImageClassificationWithTeacher(DeiTPreTrainedModel, vision.ImageClassification):
    """Label a picture by both tokens: for inference, without a loss."""

    OUTPUT = DeiTForImageClassificationWithTeacherOutput
    READS = "tokens"
    TARGETS = ()

    def __init__(self, config: DeiTConfig) -> None:
        super().__init__(config)
        self.deit = DeiTModel(config, add_pooling_layer=False)
        self.cls_classifier = self.made_classifier(config.hidden_size)
        self.distillation_classifier = self.made_classifier(config.hidden_size)
        self.post_init()

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        of_class, of_teacher = layout.unpack(body.last_hidden_state)[:, :2].unbind(1)  # (B, D) each
        mine, theirs = self.cls_classifier(of_class), self.distillation_classifier(of_teacher)
        return {"logits": (mine + theirs) / 2, "cls_logits": mine, "distillation_logits": theirs}


MODEL_TYPES = {"deit": DeiTConfig}
TOKENIZER = None
IMAGE_PROCESSOR = DeiTImageProcessor
HEADS = {
    "base": DeiTModel,
    "masked-image-modeling": DeiTForMaskedImageModeling,
    "image-classification": DeiTForImageClassification,
    "image-classification-with-teacher": DeiTForImageClassificationWithTeacher,
}
TINY = vit.TINY
