"""SmolVLM: Idefics 3 under another name, small.

Source: Marafioti et al. 2025 (arXiv 2504.05299).
"""

from __future__ import annotations

from . import idefics3, llama


class SmolVLMVisionConfig(idefics3.Idefics3VisionConfig):
    """Defaults are those of the reference."""

    model_type = "smolvlm_vision"


class SmolVLMConfig(idefics3.Idefics3Config):
    """Defaults are those of the reference. scale_factor: how many patches of a side become one."""

    model_type = "smolvlm"
    sub_configs = {"text_config": llama.LlamaConfig, "vision_config": SmolVLMVisionConfig}


class SmolVLMImageProcessor(idefics3.Idefics3ImageProcessor):
    """As Idefics 3's."""


class SmolVLMProcessor(idefics3.Idefics3Processor):
    """As Idefics 3's."""

    image_processor_class = SmolVLMImageProcessor


class SmolVLMVisionAttention(idefics3.Idefics3VisionAttention):
    pass


class SmolVLMVisionMLP(idefics3.Idefics3VisionMLP):
    pass


class SmolVLMEncoderLayer(idefics3.Idefics3EncoderLayer):
    pass


class SmolVLMEncoder(idefics3.Idefics3Encoder):
    LAYER = SmolVLMEncoderLayer


class SmolVLMVisionTransformer(idefics3.Idefics3VisionTransformer):
    """The model that reads pictures alone."""

    config_class = SmolVLMVisionConfig
    LAYERS = SmolVLMEncoder


class SmolVLMConnector(idefics3.Idefics3Connector):
    pass


class SmolVLMPreTrainedModel(idefics3.Idefics3PreTrainedModel):
    """What SmolVLM's models share."""

    config_class = SmolVLMConfig


class SmolVLMModel(SmolVLMPreTrainedModel, idefics3.Idefics3Model):
    """The model without a head."""

    VISION, CONNECTOR = SmolVLMVisionTransformer, SmolVLMConnector


class SmolVLMForConditionalGeneration(SmolVLMPreTrainedModel, idefics3.Idefics3ForConditionalGeneration):
    """Writes on from texts with pictures in them."""

    BODY = SmolVLMModel


MODEL_TYPES = {"smolvlm": SmolVLMConfig, "smolvlm_vision": SmolVLMVisionConfig}
TOKENIZER = llama.LlamaTokenizer
IMAGE_PROCESSOR = SmolVLMImageProcessor
PROCESSOR = SmolVLMProcessor
HEADS = {
    "base": SmolVLMModel,
    "image-text-to-text": SmolVLMForConditionalGeneration,
    "vision": SmolVLMVisionTransformer,
}
PARTS = {"smolvlm_vision": {"base": SmolVLMVisionTransformer}}
TINY = idefics3.TINY
