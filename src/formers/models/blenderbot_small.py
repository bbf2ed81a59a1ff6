"""Blenderbot of 90 million weights: a BART that chats, whose decoder norms words before it adds positions.

Source: Roller et al. 2020 (arXiv 2004.13637).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .. import decoders
from ..modeling import PreTrainedModel
from ..ops.layout import Layout
from ..tokenization.marked import MarkedTokenizer
from . import bart, blenderbot


class BlenderbotSmallConfig(blenderbot.BlenderbotConfig):
    """Defaults are those of blenderbot_small-90M, but for vocab_size (54944 there) and scale_embedding (True)."""

    model_type = "blenderbot-small"

    vocab_size: int = 50265
    max_position_embeddings: int = 512
    encoder_layers: int = 8
    encoder_ffn_dim: int = 2048
    encoder_attention_heads: int = 16
    decoder_layers: int = 8
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 16
    d_model: int = 512
    encoder_no_repeat_ngram_size: int = 0


class BlenderbotSmallTokenizer(MarkedTokenizer):
    """BPE on words in lower case; nothing is put around texts."""

    TOKENS = {
        "bos_token": "__start__",
        "eos_token": "__end__",
        "unk_token": "__unk__",
        "pad_token": "__null__",
    }
    _build_conversation_input_ids = blenderbot.BlenderbotTokenizer._build_conversation_input_ids


BlenderbotSmallTokenizerFast = BlenderbotSmallTokenizer


shift_tokens_right = bart.shift_tokens_right


class BlenderbotSmallPreTrainedModel(bart.BartPreTrainedModel):
    """What the small Blenderbot's models share."""

    config_class = BlenderbotSmallConfig

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return BlenderbotSmallModel(config)


class BlenderbotSmallEncoder(BlenderbotSmallPreTrainedModel, bart.BartEncoder):
    TABLE, POSITIONS = nn.Embedding, blenderbot.BlenderbotLearnedPositionalEmbedding


class BlenderbotSmallDecoder(BlenderbotSmallPreTrainedModel, bart.BartDecoder):
    TABLE, POSITIONS = nn.Embedding, blenderbot.BlenderbotLearnedPositionalEmbedding

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words, normed, and positions. Words are not scaled: their norm takes that away again."""
        rows = self.layernorm_embedding(decoders.DecoderBody.embed(self, layout, inputs))
        return F.dropout(rows + self.embed_positions.of_rows(layout, inputs, rows), self.dropout, self.training)


class BlenderbotSmallModel(BlenderbotSmallPreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (BlenderbotSmallEncoder, BlenderbotSmallDecoder)


class BlenderbotSmallForConditionalGeneration(BlenderbotSmallPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes an answer."""


class BlenderbotSmallDecoderWrapper(BlenderbotSmallPreTrainedModel, bart.Wrapper):
    """What BlenderbotSmallForCausalLM holds."""

    WORDS, DECODER = bart.Wrapper.WORDS, BlenderbotSmallDecoder


class BlenderbotSmallForCausalLM(BlenderbotSmallPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone."""

    WRAPPER, make_body = BlenderbotSmallDecoderWrapper, bart.BartForCausalLM.make_body


MODEL_TYPES = {"blenderbot-small": BlenderbotSmallConfig}
TOKENIZER = BlenderbotSmallTokenizer
HEADS = {
    "base": BlenderbotSmallModel,
    "causal-lm": BlenderbotSmallForCausalLM,
    "seq2seq-lm": BlenderbotSmallForConditionalGeneration,
}
TINY = {**bart.TINY, "scale_embedding": True}
