"""Qwen2: Llama with biases in queries, keys and values, and windows in its later layers.

Source: Yang et al. 2024 (arXiv 2407.10671).
"""

from __future__ import annotations

from typing import Any

from .. import decoders
from . import llama


class Qwen2Config(decoders.LateWindows):
    """Defaults are those of Qwen2 7B beta."""

    model_type = "qwen2"

    vocab_size: int = 151936
    hidden_size: int = 4096
    intermediate_size: int = 22016
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 32
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: list[str] | None = None
    attention_dropout: float = 0.0
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None


class Qwen2Tokenizer(llama.LlamaTokenizer):
    """What a tokenizer.json holds; no types of tokens."""


Qwen2TokenizerFast = Qwen2Tokenizer


class Qwen2RMSNorm(decoders.RMSNorm):
    pass


class Qwen2RotaryEmbedding(decoders.RotaryEmbedding):
    pass


class Qwen2MLP(decoders.GatedMLP):
    pass


class Qwen2Attention(decoders.RotaryAttention):
    BIAS, OUT_BIAS = True, False


class Qwen2DecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = Qwen2Attention, Qwen2MLP, Qwen2RMSNorm


class Qwen2PreTrainedModel(decoders.RotaryModel):
    """What Qwen2's models share."""

    config_class = Qwen2Config

    def make_body(self, config: Any, pooling: bool = False) -> Qwen2Model:
        """The model under a head."""
        return Qwen2Model(config)


class Qwen2Model(Qwen2PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Qwen2DecoderLayer, Qwen2RMSNorm, Qwen2RotaryEmbedding


class Qwen2ForCausalLM(Qwen2PreTrainedModel, decoders.LMHead):
    pass


class Qwen2ForSequenceClassification(Qwen2PreTrainedModel, decoders.LastClassifier):
    pass


class Qwen2ForTokenClassification(Qwen2PreTrainedModel, decoders.TokenClassifier):
    pass


class Qwen2ForQuestionAnswering(Qwen2PreTrainedModel, decoders.RotarySpanFinder):
    pass


MODEL_TYPES = {"qwen2": Qwen2Config}
TOKENIZER = Qwen2Tokenizer
HEADS = {
    "base": Qwen2Model,
    "causal-lm": Qwen2ForCausalLM,
    "sequence-classification": Qwen2ForSequenceClassification,
    "token-classification": Qwen2ForTokenClassification,
    "question-answering": Qwen2ForQuestionAnswering,
}
TINY = {**llama.TINY, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
