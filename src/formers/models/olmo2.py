"""OLMo 2: Llama with norms of queries and keys, and of what attention and feed-forward give instead of what they read.

Source: OLMo Team 2025 (arXiv 2501.00656).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .. import decoders
from ..ops.step import Step
from ..optimize import Block
from . import llama


class Olmo2Config(decoders.RotaryConfig):
    """Defaults are those of OLMo 2 7B, but for the vocabulary."""

    model_type = "olmo2"

    vocab_size: int = 50304
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 50279
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    rms_norm_eps: float = 1e-5


class Olmo2RMSNorm(decoders.RMSNorm):
    """Multiplied by its weight in float32, before the result is of a shorter type."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states.float()).to(hidden_states.dtype)


class Olmo2RotaryEmbedding(decoders.RotaryEmbedding):
    pass


class Olmo2MLP(decoders.GatedMLP):
    pass


class Olmo2Attention(decoders.RotaryAttention):
    """With norms of queries and keys, all heads together."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.q_norm = Olmo2RMSNorm(self.heads * self.head_dim, config.rms_norm_eps)
        self.k_norm = Olmo2RMSNorm(self.key_heads * self.head_dim, config.rms_norm_eps)

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        return super().turned(self.q_norm(query), self.k_norm(key), step)


class Olmo2DecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = Olmo2Attention, Olmo2MLP, Olmo2RMSNorm
    NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")

    def block(self) -> Block:
        after = self.post_attention_layernorm, self.post_feedforward_layernorm
        return self.gated_block(nn.Identity(), nn.Identity(), after=after)

    def read(self, rows: Tensor) -> Tensor:
        return rows

    def attended(self, context: Tensor) -> Tensor:
        found: Tensor = self.post_attention_layernorm(context)
        return found

    def fed(self, rows: Tensor, step: Step) -> Tensor:
        found: Tensor = self.post_feedforward_layernorm(self.mlp(rows))
        return found


class Olmo2PreTrainedModel(decoders.RotaryModel):
    """What OLMo 2's models share."""

    config_class = Olmo2Config

    def make_body(self, config: Any, pooling: bool = False) -> Olmo2Model:
        """The model under a head."""
        return Olmo2Model(config)


class Olmo2Model(Olmo2PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Olmo2DecoderLayer, Olmo2RMSNorm, Olmo2RotaryEmbedding


class Olmo2ForCausalLM(Olmo2PreTrainedModel, decoders.LMHead):
    pass


class Olmo2ForSequenceClassification(Olmo2PreTrainedModel, decoders.LastClassifier):
    pass


MODEL_TYPES = {"olmo2": Olmo2Config}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": Olmo2Model,
    "causal-lm": Olmo2ForCausalLM,
    "sequence-classification": Olmo2ForSequenceClassification,
}
TINY = {**llama.TINY}
