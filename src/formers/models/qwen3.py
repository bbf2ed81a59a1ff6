"""Qwen3: Qwen2 with norms of queries and keys instead of biases.

Source: Yang et al. 2025 (arXiv 2505.09388).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import decoders
from ..ops.step import Step
from . import llama


class Qwen3Config(decoders.LateWindows):
    """Defaults are those of Qwen3 8B."""

    model_type = "qwen3"

    vocab_size: int = 151936
    hidden_size: int = 4096
    intermediate_size: int = 22016
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 32
    head_dim: int = 128
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: list[str] | None = None
    attention_dropout: float = 0.0
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None


class Qwen3RMSNorm(decoders.RMSNorm):
    pass


class Qwen3RotaryEmbedding(decoders.RotaryEmbedding):
    pass


class Qwen3MLP(decoders.GatedMLP):
    pass


class Qwen3Attention(decoders.RotaryAttention):
    """With a norm of each head's queries and keys."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.q_norm = Qwen3RMSNorm(self.head_dim, eps=config.rms_norm_eps)
        self.k_norm = Qwen3RMSNorm(self.head_dim, eps=config.rms_norm_eps)

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        query = decoders.each_head(self.q_norm, query, self.heads)
        return super().turned(query, decoders.each_head(self.k_norm, key, self.key_heads), step)


class Qwen3DecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = Qwen3Attention, Qwen3MLP, Qwen3RMSNorm


class Qwen3PreTrainedModel(decoders.RotaryModel):
    """What Qwen3's models share."""

    config_class = Qwen3Config

    def make_body(self, config: Any, pooling: bool = False) -> Qwen3Model:
        """The model under a head."""
        return Qwen3Model(config)


class Qwen3Model(Qwen3PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Qwen3DecoderLayer, Qwen3RMSNorm, Qwen3RotaryEmbedding


class Qwen3ForCausalLM(Qwen3PreTrainedModel, decoders.LMHead):
    pass


class Qwen3ForSequenceClassification(Qwen3PreTrainedModel, decoders.LastClassifier):
    pass


class Qwen3ForTokenClassification(Qwen3PreTrainedModel, decoders.TokenClassifier):
    pass


class Qwen3ForQuestionAnswering(Qwen3PreTrainedModel, decoders.RotarySpanFinder):
    pass


MODEL_TYPES = {"qwen3": Qwen3Config}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": Qwen3Model,
    "causal-lm": Qwen3ForCausalLM,
    "sequence-classification": Qwen3ForSequenceClassification,
    "token-classification": Qwen3ForTokenClassification,
    "question-answering": Qwen3ForQuestionAnswering,
}
TINY = {**llama.TINY, "head_dim": 16, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
