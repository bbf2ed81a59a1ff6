"""TrOCR's decoder: BART's alone, which writes what an encoder of pictures has seen.

Source: Li et al. 2021 (arXiv 2109.10282), https://github.com/microsoft/unilm/tree/master/trocr
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import nn

from ..config import PretrainedConfig
from ..modeling import PreTrainedModel
from ..processing import BatchFeature, ProcessorMixin
from . import bart, m2m_100, roberta
from .vit import ViTImageProcessor


class TrOCRConfig(PretrainedConfig):
    """Defaults are those of microsoft/trocr-base-handwritten's decoder.

    cross_attention_hidden_size: the width of the encoder's rows; the decoder's own for None.
    use_learned_position_embeddings: a table of positions; sines and cosines without it.
    """

    model_type = "trocr"
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "decoder_attention_heads",
        "num_hidden_layers": "decoder_layers",
        "initializer_range": "init_std",
    }

    vocab_size: int = 50265
    d_model: int = 1024
    decoder_layers: int = 12
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    activation_function: str = "gelu"
    max_position_embeddings: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    classifier_dropout: float = 0.0
    decoder_start_token_id: int | None = 2
    init_std: float = 0.02
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    scale_embedding: bool = False
    use_learned_position_embeddings: bool = True
    layernorm_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    cross_attention_hidden_size: int | None = None

    def longest_text(self) -> int | None:
        """No limit where positions are computed."""
        return super().longest_text() if self.use_learned_position_embeddings else None


class TrOCRDecoderLayer(bart.BartDecoderLayer):
    def __init__(self, config: Any, layer_idx: int | None = None) -> None:
        super().__init__(config, layer_idx)
        across, width = self.encoder_attn, config.cross_attention_hidden_size
        if width is not None:
            across.k_proj, across.v_proj = nn.Linear(width, config.d_model), nn.Linear(width, config.d_model)


class TrOCRPreTrainedModel(bart.BartPreTrainedModel):
    """What TrOCR's models share."""

    config_class: ClassVar[Any] = TrOCRConfig
    BUFFERS = (*bart.BartPreTrainedModel.BUFFERS, "embed_positions._float_tensor")


class TrOCRDecoder(TrOCRPreTrainedModel, bart.BartDecoder):
    LAYER = TrOCRDecoderLayer

    def __init__(self, config: Any) -> None:
        self.NORM_WORDS = config.layernorm_embedding  # type: ignore[misc]
        if not config.use_learned_position_embeddings:
            self.POSITIONS = m2m_100.M2M100SinusoidalPositionalEmbedding  # type: ignore[misc]
        super().__init__(config)


class TrOCRDecoderWrapper(TrOCRPreTrainedModel, bart.Wrapper):
    """What TrOCRForCausalLM holds."""

    WORDS, DECODER = bart.Wrapper.WORDS, TrOCRDecoder


class TrOCRForCausalLM(TrOCRPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone, or after the rows of an encoder that are given to it."""

    SCORES = "output_projection"
    TIED = {"output_projection.weight": "model.decoder.embed_tokens.weight"}
    WRAPPER = TrOCRDecoderWrapper

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The decoder."""
        return bart.BartForCausalLM.make_body(self, config)


class TrOCRProcessor(ProcessorMixin):
    """ViT's image processor, or DeiT's, and a tokenizer: of pictures with what is written on them it gives `labels`."""

    image_processor_class = ViTImageProcessor
    tokenizer_class = roberta.RobertaTokenizer

    def __call__(self, *inputs: Any, text: Any = None, images: Any = None, **kwargs: Any) -> BatchFeature:
        found = super().__call__(*inputs, text=text, images=images, **kwargs)
        if "pixel_values" in found and "input_ids" in found:
            return BatchFeature({"pixel_values": found["pixel_values"], "labels": found["input_ids"]})
        return found

    @contextmanager
    def as_target_processor(self) -> Iterator[None]:
        """For code of 4.20, which calls the processor with texts inside: it tells them from pictures anyway."""
        yield


MODEL_TYPES = {"trocr": TrOCRConfig}
TOKENIZER = roberta.RobertaTokenizer
IMAGE_PROCESSOR = ViTImageProcessor
PROCESSOR = TrOCRProcessor
HEADS = {"causal-lm": TrOCRForCausalLM}
TINY = {
    "vocab_size": 99,
    "d_model": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 37,
    "max_position_embeddings": 40,
}
