"""Phi: attention and feed-forward side by side, after one norm; a part of each head's numbers turn.

Source: Li et al. 2023 (arXiv 2309.05463).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .. import decoders
from ..layers import through
from ..ops.activations import activation
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from . import llama


class PhiConfig(decoders.RotaryConfig):
    """Defaults are those of Phi-1."""

    model_type = "phi"
    PART = 0.5
    EPS = "layer_norm_eps"

    vocab_size: int = 51200
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_hidden_layers: int = 24
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    attention_dropout: float = 0.0
    hidden_act: str = "gelu_new"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    qk_layernorm: bool = False
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = None


class PhiRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class PhiAttention(decoders.RotaryAttention):
    """With biases, and maybe norms of each head's queries and keys."""

    BIAS, OUT_BIAS = True, True
    OUTPUT = "dense"

    def __init__(self, config: PhiConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.qk_layernorm = config.qk_layernorm
        if config.qk_layernorm:
            self.q_layernorm = nn.LayerNorm(self.head_dim, eps=config.layer_norm_eps)
            self.k_layernorm = nn.LayerNorm(self.head_dim, eps=config.layer_norm_eps)

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        if self.qk_layernorm:
            query = decoders.each_head(self.q_layernorm, query, self.heads, heads_first=True)
            key = decoders.each_head(self.k_layernorm, key, self.key_heads, heads_first=True)
        return super().turned(query, key, step)


class PhiMLP(nn.Module):
    def __init__(self, config: PhiConfig) -> None:
        super().__init__()
        self.activation_fn = activation(config.hidden_act)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, rows: Tensor) -> Tensor:
        return self.fc2(self.activation_fn(self.fc1(rows)))


class PhiDecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = PhiAttention, PhiMLP, nn.LayerNorm
    NORMS = ("input_layernorm",)

    def __init__(self, config: PhiConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def block(self) -> Block:
        inner, mlp = self.self_attn, self.mlp
        return Block(
            *(inner.heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.dense, self.input_layernorm),
            *(mlp.fc1, mlp.activation_fn, mlp.fc2, self.input_layernorm),
            attend=inner.attend,
            pre=True,
            parallel=True,
        )

    @decoders.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        read = self.input_layernorm(rows)
        context, *weights = through(self.self_attn, read, step, head_mask)
        return self.resid_dropout(context) + self.resid_dropout(self.mlp(read)) + rows, *weights


class PhiPreTrainedModel(decoders.RotaryModel):
    """What Phi's models share."""

    config_class = PhiConfig

    def make_body(self, config: Any, pooling: bool = False) -> PhiModel:
        """The model under a head."""
        return PhiModel(config)


class PhiModel(PhiPreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = PhiDecoderLayer, nn.LayerNorm, PhiRotaryEmbedding
    LAST = "final_layernorm"

    def __init__(self, config: PhiConfig) -> None:
        super().__init__(config)
        self.embed_dropout = nn.Dropout(config.embd_pdrop)

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words or vectors, of which some are dropped in training."""
        return self.embed_dropout(super().embed(layout, inputs))


class PhiForCausalLM(PhiPreTrainedModel, decoders.LMHead):
    BIAS = True


class PhiForSequenceClassification(PhiPreTrainedModel, decoders.LastClassifier):
    pass


class PhiForTokenClassification(PhiPreTrainedModel, decoders.TokenClassifier):
    pass


MODEL_TYPES = {"phi": PhiConfig}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": PhiModel,
    "causal-lm": PhiForCausalLM,
    "sequence-classification": PhiForSequenceClassification,
    "token-classification": PhiForTokenClassification,
}
TINY = {**llama.TINY, "hidden_act": "gelu_new", "qk_layernorm": True}
