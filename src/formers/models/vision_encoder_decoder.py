"""An encoder of pictures with any decoder: what the one sees, the other writes about. TrOCR is one, of ViT and TrOCR's.

    picture ─ encoder ─▶ rows (─ enc_to_dec_proj, where widths differ ─▶) ─ decoder ─▶ logits

Source: Li et al. 2021 (arXiv 2109.10282).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .. import registry, seq2seq
from ..modeling import OPTIONS
from . import encoder_decoder


class VisionEncoderDecoderConfig(encoder_decoder.EncoderDecoderConfig):
    """encoder, decoder: the configurations of the parts, or their dictionaries; ViT's and BERT's if left out."""

    model_type = "vision-encoder-decoder"
    ENCODER = "vit"


class VisionEncoderDecoderModel(encoder_decoder.EncoderDecoderModel):
    """Writes a text about a picture: `encoder` is a model of pictures without a head, `decoder` one that predicts the
    next token."""

    config_class = VisionEncoderDecoderConfig
    base_model_prefix = "vision_encoder_decoder"
    main_input_name = "pixel_values"
    SIGNATURE = (
        *("pixel_values", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs", "past_key_values"),
        *("decoder_inputs_embeds", "labels", "use_cache"),
        *OPTIONS,
    )
    READ = ("pixel_values", "interpolate_pos_encoding", "head_mask")
    KEYWORDS = (
        *seq2seq.Seq2SeqLM.KEYWORDS,
        *("interpolate_pos_encoding", "decoder_token_type_ids", "decoder_position_ids"),
    )
    HIDES_PADDING = False

    def get_input_embeddings(self) -> nn.Embedding:
        """The decoder's table of words."""
        return self.decoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self.decoder.set_input_embeddings(value)

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Pictures, and texts of random tokens, which is what the decoder makes of them too."""
        images, draw = self.encoder._sample(None)[0], torch.Generator().manual_seed(0)
        size = (len(images["pixel_values"]), 12)
        ids = torch.randint(self.decoder.config.vocab_size, size, generator=draw).to(self.device)
        return [self.whole_batch({**images, "decoder_input_ids": ids})]


MODEL_TYPES = {"vision-encoder-decoder": VisionEncoderDecoderConfig}
TOKENIZER = None  # the decoder's
HEADS = {"base": VisionEncoderDecoderModel, "image-text-to-text": VisionEncoderDecoderModel}
TINY = {
    "encoder": {"model_type": "vit", **registry.load("vit").TINY},
    "decoder": {"model_type": "trocr", **registry.load("trocr").TINY},
    "pad_token_id": 1,
    "decoder_start_token_id": 2,
}
