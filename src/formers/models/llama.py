"""Llama: a decoder with turned queries and keys, gated feed-forwards, and norms before both.

Source: Touvron et al. 2023 (arXiv 2302.13971, 2307.09288); Dubey et al. 2024 (arXiv 2407.21783).
"""

from __future__ import annotations

from typing import Any

from .. import decoders
from ..tokenization import PreTrainedTokenizer


class LlamaConfig(decoders.RotaryConfig):
    """Defaults are those of Llama 7B."""

    model_type = "llama"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pretraining_tp: int | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.head_dim is None:
            self.head_dim = decoders.head_width(self)


class LlamaTokenizer(PreTrainedTokenizer):
    """What a tokenizer.json or a tokenizer.model holds; no types of tokens."""

    model_input_names = ["input_ids", "attention_mask"]


LlamaTokenizerFast = LlamaTokenizer


class LlamaRMSNorm(decoders.RMSNorm):
    pass


class LlamaRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class LlamaMLP(decoders.GatedMLP):
    pass


class LlamaAttention(decoders.RotaryAttention):
    pass


class LlamaDecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = LlamaAttention, LlamaMLP, LlamaRMSNorm


class LlamaPreTrainedModel(decoders.RotaryModel):
    """What Llama's models share."""

    config_class = LlamaConfig

    def make_body(self, config: Any, pooling: bool = False) -> LlamaModel:
        """The model under a head."""
        return LlamaModel(config)


class LlamaModel(LlamaPreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding


class LlamaForCausalLM(LlamaPreTrainedModel, decoders.LMHead):
    pass


class LlamaForSequenceClassification(LlamaPreTrainedModel, decoders.LastClassifier):
    pass


class LlamaForTokenClassification(LlamaPreTrainedModel, decoders.TokenClassifier):
    pass


class LlamaForQuestionAnswering(LlamaPreTrainedModel, decoders.RotarySpanFinder):
    pass


MODEL_TYPES = {"llama": LlamaConfig}
TOKENIZER = LlamaTokenizer
HEADS = {
    "base": LlamaModel,
    "causal-lm": LlamaForCausalLM,
    "sequence-classification": LlamaForSequenceClassification,
    "token-classification": LlamaForTokenClassification,
    "question-answering": LlamaForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
