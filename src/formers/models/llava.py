"""LLaVA: a decoder that reads pictures in texts, each patch as a row; two dense layers lead from one to the other.

Source: Liu et al. 2023 (arXiv 2304.08485, 2310.03744).
Letters: B texts, I pictures, C channels, H height, W width, R rows of a picture, D width of the vision model, E width
of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .. import outputs, seeing
from ..classes import model_class
from ..errors import ConfigError, InputError
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..processing import BaseImageProcessor, PILImageResampling
from ..processing.chats import ImageTextProcessor
from ..processing.transforms import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, Picture, as_array
from . import clip, llama


class LlavaConfig(seeing.SeeingConfig):
    """Defaults are those of llava-hf/llava-1.5-7b-hf.

    vision_feature_layer: whose hidden states are read, or several layers', side by side.
    vision_feature_select_strategy: "default" without the first row, which is of the whole picture, or "full".
    """

    model_type = "llava"
    attribute_map = {"image_token_id": "image_token_index"}
    sub_configs = {"text_config": llama.LlamaConfig, "vision_config": clip.CLIPVisionConfig}
    DEFAULTS = {
        "vision_config": {
            "intermediate_size": 4096,
            "hidden_size": 1024,
            "patch_size": 14,
            "image_size": 336,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 32000,
            "projection_dim": 768,
        }
    }

    image_token_index: int = 32000
    image_seq_length: int = 576
    projector_hidden_act: str = "gelu"
    vision_feature_select_strategy: str = "default"
    vision_feature_layer: int | list[int] = -2
    multimodal_projector_bias: bool = True
    tie_word_embeddings: bool = False

    def __init__(self, vision_config: Any = None, text_config: Any = None, **kwargs: Any) -> None:
        super().__init__(vision_config=vision_config, text_config=text_config, **kwargs)
        self.tie_word_embeddings = self.tie_word_embeddings or self.text_config.tie_word_embeddings

    def check(self) -> None:
        super().check()
        if self.vision_feature_select_strategy not in ("default", "full"):
            raise ConfigError(
                f"vision_feature_select_strategy={self.vision_feature_select_strategy!r}: it is 'default' or 'full'."
            )


class LlavaImageProcessor(BaseImageProcessor):
    """RGB images, the middle 224 × 224 pixels of the shortest edge at 224.

    do_pad: make them square first, with the mean's colour around them.
    """

    do_resize = True
    size = {"shortest_edge": 224}
    default_to_square = False
    resample = PILImageResampling.BICUBIC
    do_center_crop = True
    crop_size = {"height": 224, "width": 224}
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    do_pad = False

    def one(self, picture: Picture) -> Any:
        return super().one(self._squared(picture) if self.do_pad else picture)

    def _squared(self, picture: Picture) -> Picture:
        array = as_array(picture)
        channels, height, width = array.shape
        edge = max(height, width)
        colour = np.array([int(mean * 255) for mean in self.image_mean or (0,)], array.dtype)
        square = np.empty((channels, edge, edge), array.dtype)
        square[:] = colour[:, None, None]
        top, left = (edge - height) // 2, (edge - width) // 2
        square[:, top : top + height, left : left + width] = array
        return square

    def batch(self, made: list[Any]) -> dict[str, Any]:
        return {"pixel_values": made}


class LlavaProcessor(ImageTextProcessor):
    """An image becomes a token for each patch of `patch_size`, and for `num_additional_image_tokens` of the whole, less
    one where vision_feature_select_strategy is "default"."""

    image_processor_class = LlavaImageProcessor
    tokenizer_class = llama.LlamaTokenizer
    SETTINGS = {
        "patch_size": None,
        "vision_feature_select_strategy": None,
        "image_token": "<image>",
        "num_additional_image_tokens": 0,
    }

    def grouped(self, text: Any, images: Any) -> Any:
        groups = super().grouped(text, images)
        return None if groups is None else [image for group in groups for image in group]

    def places(self, seen: Mapping[str, Any]) -> list[str]:
        own: Any = self
        if type(own.patch_size) is not int or own.patch_size < 1:
            raise InputError(
                f"patch_size={own.patch_size!r} does not say how many tokens an image needs: set "
                "processor.patch_size and processor.vision_feature_select_strategy as the model's configuration has "
                "them (vision_config.patch_size)."
            )
        more = own.num_additional_image_tokens - (own.vision_feature_select_strategy == "default")
        sizes = (image.shape[-2:] for image in seen["pixel_values"])
        return [self.image_token * ((h // own.patch_size) * (w // own.patch_size) + more) for h, w in sizes]


class LlavaMultiModalProjector(nn.Module):
    def __init__(self, config: LlavaConfig) -> None:
        super().__init__()
        layers = config.vision_feature_layer
        width, E = config.vision_config.hidden_size, config.text_config.hidden_size
        self.linear_1 = nn.Linear(
            width * (1 if isinstance(layers, int) else len(layers)), E, bias=config.multimodal_projector_bias
        )
        self.act = activation(config.projector_hidden_act, "projector_hidden_act")
        self.linear_2 = nn.Linear(E, E, bias=config.multimodal_projector_bias)

    def forward(self, image_features: Tensor) -> Tensor:
        return self.linear_2(self.act(self.linear_1(image_features)))


class LlavaPreTrainedModel(seeing.Seeing):
    """What LLaVA's models share. A model with a head has no other model in it: its files name the parts alone."""

    config_class = LlavaConfig
    base_model_prefix = "model"
    IMAGE = ("pixel_values", "vision_feature_layer", "vision_feature_select_strategy")
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
        *("vision_feature_layer", "vision_feature_select_strategy", "labels", "use_cache", *OPTIONS),
    )
    KEYWORDS = (*seeing.Seeing.KEYWORDS, *seeing.GIVEN)
    OPTIONAL = ("language_model.lm_head",)

    def add_parts(self, head: bool) -> None:
        """Make the parts, the decoder with its head or without."""
        config: Any = self.config
        self.vision_tower = seeing.part_of(config, "vision_config")
        self.multi_modal_projector = LlavaMultiModalProjector(config)
        kind = model_class("causal-lm", type(config.text_config))
        if kind is None:
            raise ConfigError(f"LlavaConfig.text_config: {type(config.text_config).__name__} has no model that writes.")
        prefix = kind.base_model_prefix
        if head:
            self.language_model = kind._from_config(config.text_config, attn_implementation=config._attn_implementation)
        else:
            self.language_model = nn.Module()
            self.language_model.add_module(prefix, seeing.part_of(config, "text_config"))
        self.TEXT = f"language_model.{prefix}"  # type: ignore[misc]
        seeing.names_of_parts(self, self.TEXT, "language_model.lm_head.weight")
        self.RENAMES = dict(renames(self, prefix))  # type: ignore[misc]
        self.post_init()

    def get_image_features(
        self,
        pixel_values: Tensor,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        **_: Any,
    ) -> Any:
        """Of pictures (I, C, H, W) what the vision model says, and as `pooler_output` the rows of each, (R, E)."""
        config: Any = self.config
        layers = config.vision_feature_layer if vision_feature_layer is None else vision_feature_layer
        found = self.vision_tower(pixel_values, output_hidden_states=True, return_dict=True)
        states = [found.hidden_states[i] for i in ([layers] if isinstance(layers, int) else layers)]
        if (vision_feature_select_strategy or config.vision_feature_select_strategy) == "default":
            states = [x[:, 1:] for x in states]
        rows = list(self.multi_modal_projector(torch.cat(states, dim=-1)))
        return outputs.BaseModelOutputWithPooling(found.last_hidden_state, rows, found.hidden_states)  # type: ignore[arg-type]


def renames(model: nn.Module, prefix: str) -> Any:
    """The names that Transformers 5 has for parameters, in its files or its memory, and ours, which are those of 4."""
    for name in model.state_dict():
        new = name.replace("vision_tower.vision_model.", "vision_tower.")
        inner = new.replace(f"language_model.{prefix}.", "language_model.").replace("language_model.lm_head", "lm_head")
        yield from ((other, name) for other in (new, inner, f"model.{inner}", f"model.{name}") if other != name)


class LlavaModel(LlavaPreTrainedModel, seeing.SeeingModel):
    """The model without a head."""

    SIGNATURE = tuple(name for name in LlavaPreTrainedModel.SIGNATURE if name != "labels")

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.add_parts(head=False)


class LlavaForConditionalGeneration(LlavaPreTrainedModel, seeing.SeeingLM):
    """Writes on from texts with pictures in them."""

    KEYWORDS = (*seeing.SeeingLM.KEYWORDS, *seeing.GIVEN)

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.add_parts(head=True)

    def seer(self) -> Any:
        return self

    def body(self, inputs: dict[str, Any]) -> Any:
        return self.see(inputs)

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.language_model.compute_logits(rows)


MODEL_TYPES = {"llava": LlavaConfig}
TOKENIZER = llama.LlamaTokenizer
IMAGE_PROCESSOR = LlavaImageProcessor
PROCESSOR = LlavaProcessor
HEADS = {"base": LlavaModel, "image-text-to-text": LlavaForConditionalGeneration}
TINY = {
    "text_config": {**llama.TINY, "model_type": "llama"},
    "vision_config": {**clip.TINY["vision_config"], "model_type": "clip_vision_model"},  # type: ignore[dict-item]
    "image_token_index": 98,
    "image_seq_length": 9,
}
