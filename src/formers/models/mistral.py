"""Mistral: Llama with fewer heads of keys, and a window.

Source: Jiang et al. 2023 (arXiv 2310.06825).
"""

from __future__ import annotations

from typing import Any

from .. import decoders
from . import llama


class MistralConfig(decoders.RotaryConfig):
    """Defaults are those of Mistral 7B v0.1, but for the length."""

    model_type = "mistral"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 131_072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    sliding_window: int | None = 4096
    attention_dropout: float = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.head_dim is None:
            self.head_dim = decoders.head_width(self)


class MistralRMSNorm(decoders.RMSNorm):
    pass


class MistralRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class MistralMLP(decoders.GatedMLP):
    pass


class MistralAttention(decoders.RotaryAttention):
    pass


class MistralDecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = MistralAttention, MistralMLP, MistralRMSNorm


class MistralPreTrainedModel(decoders.RotaryModel):
    """What Mistral's models share."""

    config_class = MistralConfig

    def make_body(self, config: Any, pooling: bool = False) -> MistralModel:
        """The model under a head."""
        return MistralModel(config)


class MistralModel(MistralPreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = MistralDecoderLayer, MistralRMSNorm, MistralRotaryEmbedding


class MistralForCausalLM(MistralPreTrainedModel, decoders.LMHead):
    pass


class MistralForSequenceClassification(MistralPreTrainedModel, decoders.LastClassifier):
    pass


class MistralForTokenClassification(MistralPreTrainedModel, decoders.TokenClassifier):
    pass


class MistralForQuestionAnswering(MistralPreTrainedModel, decoders.RotarySpanFinder):
    base_model_prefix = "model"


MODEL_TYPES = {"mistral": MistralConfig}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": MistralModel,
    "causal-lm": MistralForCausalLM,
    "sequence-classification": MistralForSequenceClassification,
    "token-classification": MistralForTokenClassification,
    "question-answering": MistralForQuestionAnswering,
}
TINY = {**llama.TINY, "sliding_window": 4}
