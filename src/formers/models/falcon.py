"""Falcon: a decoder whose heads share one key, or few, and whose attention and feed-forward may read the same rows.

Source: Almazrouei et al. 2023 (arXiv 2311.16867).
Letters: B batch, T columns, D width, F width of the feed-forward, H heads, G heads of keys, d width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from .. import decoders
from ..errors import ConfigError
from ..layers import by_hand, through
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.bias import alibi
from ..ops.layout import Layout
from ..ops.rope import rotate_both
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutputWithPastAndCrossAttentions, CausalLMOutputWithCrossAttentions
from ..tokenization import PreTrainedTokenizer


class FalconConfig(decoders.RopeConfig):
    """Defaults are those of tiiuae/falcon-7b.

    alibi: scores fall with distance, instead of turned queries and keys. multi_query: one head of keys, else H; with
    `new_decoder_architecture` there are `num_kv_heads`. num_ln_in_parallel_attn: 2 if the feed-forward has a norm of
    its own beside attention's.
    """

    model_type = "falcon"
    attribute_map = {"n_embed": "hidden_size"}

    vocab_size: int = 65024
    hidden_size: int = 4544
    num_hidden_layers: int = 32
    num_attention_heads: int = 71
    num_ln_in_parallel_attn: int | None = None
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    num_kv_heads: int | None = None
    alibi: bool = False
    new_decoder_architecture: bool = False
    multi_query: bool = True
    parallel_attn: bool = True
    bias: bool = False
    max_position_embeddings: int = 2048
    rope_parameters: dict[str, Any] | None = None
    bos_token_id: int | None = 11
    eos_token_id: int | list[int] | None = 11
    ffn_hidden_size: int | None = None
    activation: str = "gelu"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_kv_heads is None:
            self.num_kv_heads = self.num_attention_heads
        if self.ffn_hidden_size is None:
            self.ffn_hidden_size = 4 * self.hidden_size

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary(self) -> bool:
        """Whether queries and keys are turned."""
        return not self.alibi

    def key_heads(self) -> int:
        """How many heads of keys there are."""
        if self.new_decoder_architecture:
            return self.num_kv_heads or self.num_attention_heads
        return 1 if self.multi_query else self.num_attention_heads


def _given(given: Mapping[str, Any]) -> Any:
    """What people who call a layer by hand give: the rise of each key, (B · H, 1, T), or the turns."""
    rises, rows = given.get("alibi"), given["hidden_states"]
    if rises is None:
        return decoders.given_turns(given)
    return lambda _: rises.reshape(rows.shape[0], -1, 1, rises.shape[-1])


by_hand_layer = by_hand(
    *("hidden_states", "alibi", "attention_mask", "position_ids", "layer_past", "head_mask", "use_cache"),
    *("output_attentions", "position_embeddings"),
    shared=_given,
)


class FalconLinear(nn.Linear):
    pass


class FalconRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class FalconAttention(nn.Module):
    def __init__(self, config: FalconConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, d, H, G = config.hidden_size, config.head_dim, config.num_attention_heads, config.key_heads()
        if D % H or H % G:
            raise ConfigError(f"num_attention_heads={H} should divide hidden_size={D}, and num_kv_heads={G} it.")
        self.num_heads, self.num_kv_heads, self.layer_idx = H, G, layer_idx
        self.kernel, self.alibi = config._attn_implementation, config.alibi
        self.query_key_value = FalconLinear(D, (H + 2 * G) * d, bias=config.bias)
        self.dense = FalconLinear(D, D, bias=config.bias)
        self.attention_dropout = nn.Dropout(config.attention_dropout)

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = self.attend(*self.split(self.query_key_value(rows)), step, head_mask)
        return self.dense(context), *weights

    def split(self, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of what the layer makes."""
        return decoders.split_joined(made, self.num_heads, self.num_kv_heads)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of H · d and twice G · d to the context."""
        H, G = self.num_heads, self.num_kv_heads
        if not self.alibi:
            query, key = rotate_both(query, key, step.shared, H, G)
        return attention(
            *(query, key, value, step),
            heads=H,
            key_heads=G,
            by_place=step.shared if self.alibi else None,
            causal=True,
            # of turned ones the reference drops none
            dropout=self.attention_dropout.p if self.training and self.alibi else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class FalconMLP(nn.Module):
    def __init__(self, config: FalconConfig) -> None:
        super().__init__()
        assert config.ffn_hidden_size is not None  # the configuration sets it
        self.dense_h_to_4h = FalconLinear(config.hidden_size, config.ffn_hidden_size, bias=config.bias)
        self.act = activation(config.activation, "activation")
        self.dense_4h_to_h = FalconLinear(config.ffn_hidden_size, config.hidden_size, bias=config.bias)

    def forward(self, rows: Tensor) -> Tensor:
        return self.dense_4h_to_h(self.act(self.dense_h_to_4h(rows)))


class FalconDecoderLayer(nn.Module):
    def __init__(self, config: FalconConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, eps, new = config.hidden_size, config.layer_norm_epsilon, config.new_decoder_architecture
        self.self_attention = FalconAttention(config, layer_idx)
        self.mlp = FalconMLP(config)
        self.hidden_dropout, self.attention_dropout = config.hidden_dropout, config.attention_dropout
        self.parallel = config.parallel_attn or new
        self.norms = 2 if new and config.num_ln_in_parallel_attn in (None, 2) else 1
        if self.norms == 2:
            self.ln_attn = nn.LayerNorm(D, eps=eps)
            self.ln_mlp = nn.LayerNorm(D, eps=eps)
        else:
            self.input_layernorm = nn.LayerNorm(D, eps=eps)
        if not self.parallel:
            self.post_attention_layernorm = nn.LayerNorm(D, eps=eps)

    def block(self) -> Block:
        inner, mlp = self.self_attention, self.mlp
        first, second = (self.ln_attn, self.ln_mlp) if self.norms == 2 else [self.input_layernorm] * 2
        return Block(
            *(inner.num_heads, (inner.query_key_value,), inner.dense, first),
            *(mlp.dense_h_to_4h, mlp.act, mlp.dense_4h_to_h),
            second if self.parallel else self.post_attention_layernorm,
            attend=inner.attend,
            pre=True,
            split=inner.split,
            parallel=self.parallel,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        read = self.ln_attn(rows) if self.norms == 2 else self.input_layernorm(rows)
        context, *weights = through(self.self_attention, read, step, head_mask)
        if self.parallel:
            added = self.mlp(self.ln_mlp(rows) if self.norms == 2 else read) + context
        else:
            rows = rows + F.dropout(context, self.attention_dropout, self.training)
            added = self.mlp(self.post_attention_layernorm(rows))
        return rows + F.dropout(added, self.hidden_dropout, self.training), *weights


INPUTS = ("input_ids", "past_key_values", "attention_mask", "position_ids", "head_mask", "inputs_embeds")


class FalconPreTrainedModel(decoders.Decoding):
    """What Falcon's models share."""

    config_class = FalconConfig
    base_model_prefix = "transformer"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", "use_cache", *OPTIONS)
    WORDS = "word_embeddings"
    BUFFERS = ("rotary_emb.inv_freq",)
    PARTS_BY_POSITION = False  # nor in the reference

    def make_body(self, config: FalconConfig, pooling: bool = False) -> FalconModel:
        """The model under a head."""
        return FalconModel(config)


class FalconModel(FalconPreTrainedModel, decoders.DecoderBody):
    """The model without a head: hidden states (B, T, D), and the cache."""

    OUTPUT = BaseModelOutputWithPastAndCrossAttentions
    SIGNATURE = (*INPUTS, "use_cache", *OPTIONS)

    def __init__(self, config: FalconConfig) -> None:
        super().__init__(config)
        self.embed_dim, self.num_heads, self.use_alibi = config.hidden_size, config.num_attention_heads, config.alibi
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.h = nn.ModuleList(FalconDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.ln_f = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.rotary_emb = FalconRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        """The turns of every row; or what scores gain by the places of keys, which is scaled as they are."""
        turns = self.rotary_emb(rows, self.positions(layout, inputs, rows.device))
        if not self.use_alibi:
            return turns
        by_place, scale = alibi(self.num_heads, short=True), self.config.head_dim**-0.5
        return lambda places: by_place(places).to(rows.dtype) * scale


class FalconForCausalLM(FalconPreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    OUTPUT = CausalLMOutputWithCrossAttentions
    TIED = {"lm_head.weight": "transformer.word_embeddings.weight"}


class FalconForSequenceClassification(FalconPreTrainedModel, decoders.LastClassifier):
    SIGNATURE = tuple(name for name in FalconPreTrainedModel.SIGNATURE if name != "position_ids")


class FalconForTokenClassification(FalconPreTrainedModel, decoders.TokenClassifier):
    SCORE = "classifier"
    SIGNATURE = FalconForSequenceClassification.SIGNATURE


class FalconForQuestionAnswering(FalconPreTrainedModel, decoders.SpanFinder):
    SIGNATURE = ("input_ids", "attention_mask", "head_mask", "inputs_embeds", "labels", *OPTIONS)


MODEL_TYPES = {"falcon": FalconConfig}
TOKENIZER = PreTrainedTokenizer
HEADS = {
    "base": FalconModel,
    "causal-lm": FalconForCausalLM,
    "sequence-classification": FalconForSequenceClassification,
    "token-classification": FalconForTokenClassification,
    "question-answering": FalconForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "ffn_hidden_size": 37,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
