"""Granite: Llama with embeddings, scores, residuals and logits multiplied by numbers of the configuration.

Source: https://github.com/ibm-granite/granite-3.0-language-models; Yang et al. 2022 (arXiv 2203.03466).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import decoders
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from . import llama


class GraniteConfig(decoders.RotaryConfig):
    """Defaults are those of Llama 7B, multiplied by 1."""

    model_type = "granite"

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
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0


class GraniteRMSNorm(decoders.RMSNorm):
    pass


class GraniteRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class GraniteMLP(decoders.GatedMLP):
    pass


class GraniteAttention(decoders.RotaryAttention):
    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.scaling = config.attention_multiplier


class GraniteDecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = GraniteAttention, GraniteMLP, GraniteRMSNorm

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.residual_multiplier = config.residual_multiplier

    def block(self) -> Block:
        norms = self.input_layernorm, self.post_attention_layernorm
        return self.gated_block(*norms, scale=self.residual_multiplier)

    def attended(self, context: Tensor) -> Tensor:
        return context * self.residual_multiplier

    def fed(self, rows: Tensor, step: Step) -> Tensor:
        return super().fed(rows, step) * self.residual_multiplier


class GranitePreTrainedModel(decoders.RotaryModel):
    """What Granite's models share."""

    config_class = GraniteConfig

    def make_body(self, config: Any, pooling: bool = False) -> GraniteModel:
        """The model under a head."""
        return GraniteModel(config)


class GraniteModel(GranitePreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = GraniteDecoderLayer, GraniteRMSNorm, GraniteRotaryEmbedding

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words or vectors, multiplied."""
        return super().embed(layout, inputs) * self.config.embedding_multiplier


class GraniteForCausalLM(GranitePreTrainedModel, decoders.LMHead):
    """Predicts the next token, with scores divided."""

    def compute_logits(self, rows: Tensor) -> Tensor:
        return super().compute_logits(rows) / self.config.logits_scaling


MODEL_TYPES = {"granite": GraniteConfig}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": GraniteModel,
    "causal-lm": GraniteForCausalLM,
}
TINY = {
    **llama.TINY,
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.25,
}
