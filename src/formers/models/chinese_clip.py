"""Chinese-CLIP: CLIP's tower for pictures beside BERT for texts, whose first token is a text's vector.

Source: Yang et al. 2022 (arXiv 2211.01335); OFA-Sys/Chinese-CLIP.
Letters: B batch, D width of a tower, E width of the space.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import two_towers
from ..layers import first_column
from ..modeling import OPTIONS
from ..processing import BaseImageProcessor, PILImageResampling, ProcessorMixin
from ..processing.transforms import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from . import bert, clip
from .bert import BertTokenizer


class ChineseCLIPTextConfig(bert.BertConfig):
    """Defaults are those of BERT."""

    model_type = "chinese_clip_text_model"
    base_config_key = "text_config"

    initializer_factor: float = 1.0


class ChineseCLIPVisionConfig(clip.CLIPVisionConfig):
    """Defaults are those of CLIP."""

    model_type = "chinese_clip_vision_model"


class ChineseCLIPConfig(two_towers.TwoTowersConfig):
    """projection_dim: E. logit_scale_init_value: the logarithm of what cosines are multiplied by, to begin with."""

    model_type = "chinese_clip"
    sub_configs = {"text_config": ChineseCLIPTextConfig, "vision_config": ChineseCLIPVisionConfig}

    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592
    initializer_factor: float = 1.0
    initializer_range: float = 0.02


class ChineseCLIPImageProcessor(BaseImageProcessor):
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


class ChineseCLIPProcessor(ProcessorMixin):
    """ChineseCLIP's image processor and tokenizer."""

    image_processor_class = ChineseCLIPImageProcessor
    tokenizer_class = BertTokenizer


class ChineseCLIPPreTrainedModel(clip.CLIPPreTrainedModel):
    """What Chinese-CLIP's models share."""

    config_class: ClassVar[Any] = ChineseCLIPConfig
    base_model_prefix = "chinese_clip"


class ChineseCLIPTextModel(bert.BertModel):
    """BERT; `ChineseCLIPModel` has it without its pooler."""

    config_class: ClassVar[Any] = ChineseCLIPTextConfig
    base_model_prefix = "text_model"


class ChineseCLIPVisionTransformer(clip.CLIPVisionTransformer):
    """As CLIP's."""

    config_class: ClassVar[Any] = ChineseCLIPVisionConfig


class ChineseCLIPVisionModel(clip.CLIPVisionModel):
    """The tower that reads pictures, by itself."""

    config_class: ClassVar[Any] = ChineseCLIPVisionConfig


class ChineseCLIPModel(ChineseCLIPPreTrainedModel, two_towers.TwoTowers):
    """Compares texts with pictures: logits are cosines times a learned scale."""

    TEXT: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "pixel_values", "attention_mask", "token_type_ids", "position_ids", "return_loss"),
        *OPTIONS,
    )

    def __init__(self, config: ChineseCLIPConfig) -> None:
        super().__init__(config)
        self.text_model = ChineseCLIPTextModel(config.text_config, add_pooling_layer=False)
        self.vision_model = ChineseCLIPVisionTransformer(config.vision_config)
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        two_towers.TwoTowers._init_weights(self, module)

    def project_text(self, text: Any) -> Tensor:
        return self.text_projection(first_column(text.last_hidden_state))


MODEL_TYPES = {
    "chinese_clip": ChineseCLIPConfig,
    "chinese_clip_text_model": ChineseCLIPTextConfig,
    "chinese_clip_vision_model": ChineseCLIPVisionConfig,
}
TOKENIZER = bert.BertTokenizer
IMAGE_PROCESSOR = ChineseCLIPImageProcessor
PROCESSOR = ChineseCLIPProcessor
HEADS = {
    "base": ChineseCLIPModel,
    "zero-shot-image-classification": ChineseCLIPModel,
    "text": ChineseCLIPTextModel,
    "vision": ChineseCLIPVisionModel,
}
PARTS = {
    "chinese_clip_text_model": {"base": ChineseCLIPTextModel},
    "chinese_clip_vision_model": {"base": ChineseCLIPVisionModel},
}
TINY = {
    "text_config": bert.TINY,
    "vision_config": clip.TINY["vision_config"],
    "projection_dim": 20,
    "num_labels": 3,
}
