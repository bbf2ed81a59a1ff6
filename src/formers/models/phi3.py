"""Phi-3: Llama with joined projections, and angles for long texts.

Source: Abdin et al. 2024 (arXiv 2404.14219); Ding et al. 2024 (arXiv 2402.13753).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .. import decoders
from ..ops.activations import activation
from ..ops.step import Step
from ..optimize import Block
from . import llama


class Phi3Config(decoders.RotaryConfig):
    """Defaults are those of Phi-3 mini, with 4,096 tokens."""

    model_type = "phi3"
    PART = 1.0

    vocab_size: int = 32064
    hidden_size: int = 3072
    intermediate_size: int = 8192
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    attention_dropout: float = 0.0
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    original_max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 32000
    pad_token_id: int | None = 32000
    sliding_window: int | None = None

    def standardized(self, older: Mapping[str, Any]) -> dict[str, Any]:
        """With the names that angles of long texts had in the first files, and their trained length beside them."""
        given = super().standardized(older)
        if given["rope_type"] in ("su", "yarn", "longrope"):
            trained = self.original_max_position_embeddings
            given |= {"rope_type": "longrope", "original_max_position_embeddings": trained}
        return given


class Phi3RMSNorm(decoders.RMSNorm):
    pass


class Phi3RotaryEmbedding(decoders.RotaryEmbedding):
    pass


class Phi3MLP(nn.Module):
    def __init__(self, config: Phi3Config) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.activation_fn = activation(config.hidden_act)

    def forward(self, rows: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(rows).chunk(2, dim=-1)
        return self.down_proj(up * self.activation_fn(gate))


class Phi3Attention(decoders.RotaryAttention):
    """With queries, keys and values from one layer."""

    BIAS, OUT_BIAS = False, False

    def add_projections(self, width: int, bias: bool) -> None:
        self.qkv_proj = nn.Linear(width, (self.heads + 2 * self.key_heads) * self.head_dim, bias=bias)

    def project(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self.split(self.qkv_proj(rows))

    def split(self, made: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of what the layer makes."""
        keys = self.key_heads * self.head_dim
        return made.split((self.heads * self.head_dim, keys, keys), dim=-1)


class Phi3DecoderLayer(decoders.DecoderLayer):
    """With dropout of what is added."""

    ATTENTION, MLP, NORM = Phi3Attention, Phi3MLP, Phi3RMSNorm

    def __init__(self, config: Phi3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.resid_attn_dropout = nn.Dropout(config.resid_pdrop)
        self.resid_mlp_dropout = nn.Dropout(config.resid_pdrop)

    def block(self) -> Block:
        inner, mlp = self.self_attn, self.mlp
        return Block(
            *(inner.heads, (inner.qkv_proj,), inner.o_proj, self.input_layernorm),
            *(mlp.gate_up_proj, mlp.activation_fn, mlp.down_proj, self.post_attention_layernorm),
            attend=inner.attend,
            pre=True,
            gated=True,
            split=inner.split,
        )

    def attended(self, context: Tensor) -> Tensor:
        return self.resid_attn_dropout(context)

    def fed(self, rows: Tensor, step: Step) -> Tensor:
        return self.resid_mlp_dropout(super().fed(rows, step))


class Phi3PreTrainedModel(decoders.RotaryModel):
    """What Phi3's models share."""

    config_class = Phi3Config

    def make_body(self, config: Any, pooling: bool = False) -> Phi3Model:
        """The model under a head."""
        return Phi3Model(config)


class Phi3Model(Phi3PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Phi3DecoderLayer, Phi3RMSNorm, Phi3RotaryEmbedding


class Phi3ForCausalLM(Phi3PreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    def border(self) -> int | None:
        given = self.config.rope_parameters
        return int(given["original_max_position_embeddings"]) if given["rope_type"] == "longrope" else None


class Phi3ForSequenceClassification(Phi3PreTrainedModel, decoders.LastClassifier):
    pass


class Phi3ForTokenClassification(Phi3PreTrainedModel, decoders.TokenClassifier):
    pass


MODEL_TYPES = {"phi3": Phi3Config}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": Phi3Model,
    "causal-lm": Phi3ForCausalLM,
    "sequence-classification": Phi3ForSequenceClassification,
    "token-classification": Phi3ForTokenClassification,
}
TINY = {**llama.TINY, "original_max_position_embeddings": 40, "sliding_window": 4}
