"""Blenderbot: an mBART that chats, without norms of words. Source: Roller et al. 2020 (arXiv 2004.13637)."""

from __future__ import annotations

from typing import Any

from ..modeling import PreTrainedModel
from ..tokenization import ByteLevelTokenizer
from ..tokenization.frames import frame
from . import bart, mbart, roberta


class BlenderbotConfig(mbart.MBartConfig):
    """Defaults are those of the reference."""

    model_type = "blenderbot"

    vocab_size: int = 8008
    max_position_embeddings: int = 128
    encoder_layers: int = 2
    encoder_ffn_dim: int = 10240
    encoder_attention_heads: int = 32
    decoder_layers: int = 24
    decoder_ffn_dim: int = 10240
    decoder_attention_heads: int = 32
    d_model: int = 2560
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    decoder_start_token_id: int | None = 1
    encoder_no_repeat_ngram_size: int = 3


class BlenderbotTokenizer(ByteLevelTokenizer):
    """Byte-level BPE with the end after each text: A </s>."""

    TOKENS = roberta.TOKENS

    def __init__(self, *args: Any, add_prefix_space: bool | None = True, **kwargs: Any) -> None:
        super().__init__(*args, add_prefix_space=add_prefix_space, **kwargs)

    def _around(self) -> None:
        self._tokenizer.post_processor = frame(self, "$A:0 eos:0", "$A:0 $B:0 eos:0")

    def _build_conversation_input_ids(self, conversation: Any) -> list[int]:
        """The ids of a Conversation: a space before what the user says, two between turns, an end after all."""
        turns = [f" {text}" if is_user else text for is_user, text in conversation.iter_texts()]
        ids: list[int] = self.encode("  ".join(turns), verbose=False)
        return ids


BlenderbotTokenizerFast = BlenderbotTokenizer


class BlenderbotLearnedPositionalEmbedding(bart.BartLearnedPositionalEmbedding):
    """A row for each column of a text."""

    OFFSET = 0


shift_tokens_right = bart.shift_tokens_right


class BlenderbotPreTrainedModel(bart.BartPreTrainedModel):
    """What Blenderbot's models share."""

    config_class = BlenderbotConfig

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return BlenderbotModel(config)


class BlenderbotEncoder(BlenderbotPreTrainedModel, mbart.MBartEncoder):
    POSITIONS, NORM_WORDS = BlenderbotLearnedPositionalEmbedding, False


class BlenderbotDecoder(BlenderbotPreTrainedModel, mbart.MBartDecoder):
    POSITIONS, NORM_WORDS = BlenderbotLearnedPositionalEmbedding, False


class BlenderbotModel(BlenderbotPreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (BlenderbotEncoder, BlenderbotDecoder)


class BlenderbotForConditionalGeneration(BlenderbotPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes an answer."""


class BlenderbotDecoderWrapper(BlenderbotPreTrainedModel, bart.Wrapper):
    """What BlenderbotForCausalLM holds."""

    WORDS, DECODER = bart.Wrapper.WORDS, BlenderbotDecoder


class BlenderbotForCausalLM(BlenderbotPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone."""

    WRAPPER, make_body = BlenderbotDecoderWrapper, bart.BartForCausalLM.make_body


MODEL_TYPES = {"blenderbot": BlenderbotConfig}
TOKENIZER = BlenderbotTokenizer
HEADS = {
    "base": BlenderbotModel,
    "causal-lm": BlenderbotForCausalLM,
    "seq2seq-lm": BlenderbotForConditionalGeneration,
}
TINY = {**bart.TINY, "scale_embedding": True}
