"""GPT-NeoX: a decoder whose attention and feed-forward read the same rows, each by its norm. Pythia is one.

Source: Black et al. 2022 (arXiv 2204.06745); EleutherAI/gpt-neox.
Letters: B batch, T columns, D width, F width of the feed-forward, H heads, d width of a head.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tokenizers import normalizers
from torch import Tensor, nn

from .. import decoders
from ..errors import ConfigError
from ..layers import by_hand, through
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.layout import Layout
from ..ops.rope import rotate_both
from ..ops.step import Step
from ..optimize import Block
from ..tokenization import ByteLevelTokenizer


class GPTNeoXConfig(decoders.RopeConfig):
    """Defaults are those of EleutherAI/gpt-neox-20b. 4.x's `rotary_pct` and `rotary_emb_base` are understood."""

    model_type = "gpt_neox"

    vocab_size: int = 50432
    hidden_size: int = 6144
    num_hidden_layers: int = 44
    num_attention_heads: int = 64
    intermediate_size: int = 24576
    hidden_act: str = "gelu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_cache: bool = True
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    use_parallel_residual: bool = True
    attention_dropout: float = 0.0
    hidden_dropout: float = 0.0
    classifier_dropout: float = 0.1
    attention_bias: bool = True
    rope_parameters: dict[str, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for older, name in (("rotary_pct", "partial_rotary_factor"), ("rotary_emb_base", "rope_theta")):
            if (value := kwargs.pop(older, None)) is not None:
                kwargs.setdefault(name, value)
        super().__init__(*args, **kwargs)
        assert self.rope_parameters is not None  # by what is above
        self.rope_parameters.setdefault("partial_rotary_factor", 0.25)

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_pct(self) -> float:
        """The share of each head's numbers that turn."""
        return float((self.rope_parameters or {})["partial_rotary_factor"])

    @rotary_pct.setter
    def rotary_pct(self, value: float) -> None:
        self.rope_parameters = {**(self.rope_parameters or {}), "partial_rotary_factor": value}

    @property
    def rotary_emb_base(self) -> float:
        """The base of the angles."""
        return self.rope_theta

    @rotary_emb_base.setter
    def rotary_emb_base(self, value: float) -> None:
        self.rope_theta = value


class GPTNeoXTokenizer(ByteLevelTokenizer):
    """Byte-level BPE; a tokenizer.json holds it."""

    TOKENS = {**dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>"), "pad_token": "<|padding|>"}
    NORMALIZER = normalizers.NFC()


GPTNeoXTokenizerFast = GPTNeoXTokenizer

by_hand_layer = by_hand(
    *("hidden_states", "attention_mask", "head_mask", "use_cache", "layer_past", "output_attentions"),
    *("position_ids", "position_embeddings"),
    shared=decoders.given_turns,
)
by_hand_attention = by_hand(
    *("hidden_states", "attention_mask", "head_mask", "layer_past", "use_cache", "output_attentions"),
    *("position_ids", "position_embeddings"),
    shared=decoders.given_turns,
)


class GPTNeoXRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class GPTNeoXMLP(nn.Module):
    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.intermediate_size)
        self.dense_4h_to_h = nn.Linear(config.intermediate_size, config.hidden_size)
        self.act = activation(config.hidden_act)

    def forward(self, rows: Tensor) -> Tensor:
        return self.dense_4h_to_h(self.act(self.dense_h_to_4h(rows)))


class GPTNeoXAttention(nn.Module):
    def __init__(self, config: GPTNeoXConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, H = config.hidden_size, config.num_attention_heads
        if D % H:
            raise ConfigError(f"hidden_size={D} is no multiple of num_attention_heads={H}.")
        self.num_attention_heads, self.kernel, self.layer_idx = H, config._attn_implementation, layer_idx
        self.attention_dropout = config.attention_dropout
        self.query_key_value = nn.Linear(D, 3 * D, bias=config.attention_bias)
        self.dense = nn.Linear(D, D, bias=config.attention_bias)

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = self.attend(*self.split(self.query_key_value(rows)), step, head_mask)
        return self.dense(context), *weights

    def split(self, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of what the layer makes."""
        return decoders.split_joined(made, self.num_attention_heads, self.num_attention_heads)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of D each to the context."""
        H = self.num_attention_heads
        query, key = rotate_both(query, key, step.shared, H, H)
        return attention(
            *(query, key, value, step),
            heads=H,
            causal=True,
            dropout=self.attention_dropout if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class GPTNeoXLayer(nn.Module):
    def __init__(self, config: GPTNeoXConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        self.use_parallel_residual = config.use_parallel_residual
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_attention_dropout = nn.Dropout(config.hidden_dropout)
        self.post_mlp_dropout = nn.Dropout(config.hidden_dropout)
        self.attention = GPTNeoXAttention(config, layer_idx)
        self.mlp = GPTNeoXMLP(config)

    def block(self) -> Block:
        inner, mlp = self.attention, self.mlp
        return Block(
            *(inner.num_attention_heads, (inner.query_key_value,), inner.dense, self.input_layernorm),
            *(mlp.dense_h_to_4h, mlp.act, mlp.dense_4h_to_h, self.post_attention_layernorm),
            attend=inner.attend,
            pre=True,
            split=inner.split,
            parallel=self.use_parallel_residual,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attention, self.input_layernorm(rows), step, head_mask)
        attended = self.post_attention_dropout(context) + rows
        read = rows if self.use_parallel_residual else attended
        return self.post_mlp_dropout(self.mlp(self.post_attention_layernorm(read))) + attended, *weights


INPUTS = ("input_ids", "attention_mask", "position_ids", "inputs_embeds", "head_mask", "past_key_values")


class GPTNeoXPreTrainedModel(decoders.Decoding):
    """What GPT-NeoX's models share."""

    config_class = GPTNeoXConfig
    base_model_prefix = "gpt_neox"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", "use_cache", *OPTIONS)
    WORDS = "embed_in"
    BUFFERS = ("attention.bias", "attention.masked_bias", "rotary_emb.inv_freq")

    def make_body(self, config: GPTNeoXConfig, pooling: bool = False) -> GPTNeoXModel:
        """The model under a head."""
        return GPTNeoXModel(config)


class GPTNeoXModel(GPTNeoXPreTrainedModel, decoders.DecoderBody):
    """The model without a head: hidden states (B, T, D), and the cache."""

    SIGNATURE = (*INPUTS, "use_cache", *OPTIONS)
    LAYERS, LAST = "layers", "final_layer_norm"

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__(config)
        self.embed_in = nn.Embedding(config.vocab_size, config.hidden_size)
        self.emb_dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(GPTNeoXLayer(config, i) for i in range(config.num_hidden_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.rotary_emb = GPTNeoXRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Rows from token ids, or from vectors."""
        return self.emb_dropout(super().embed(layout, inputs))

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The turns of every row."""
        return self.rotary_emb(rows, self.positions(layout, inputs, rows.device))


class GPTNeoXForCausalLM(GPTNeoXPreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    TIED = {"lm_head.weight": "gpt_neox.embed_in.weight"}


class GPTNeoXForSequenceClassification(GPTNeoXPreTrainedModel, decoders.LastClassifier):
    pass


class WithoutTypes(GPTNeoXPreTrainedModel):
    """A model with a head that takes types of tokens, of which there are none here: they change nothing."""

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The body's inputs."""
        return {name: value for name, value in inputs.items() if name != "token_type_ids"}


class GPTNeoXForTokenClassification(WithoutTypes, decoders.TokenClassifier):
    SCORE = "classifier"
    SIGNATURE = (
        *("input_ids", "past_key_values", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
        *("labels", "use_cache", *OPTIONS),
    )


class GPTNeoXForQuestionAnswering(WithoutTypes, decoders.SpanFinder):
    SIGNATURE = (
        *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "head_mask", "labels"),
        *OPTIONS,
    )


MODEL_TYPES = {"gpt_neox": GPTNeoXConfig}
TOKENIZER = GPTNeoXTokenizer
HEADS = {
    "base": GPTNeoXModel,
    "causal-lm": GPTNeoXForCausalLM,
    "sequence-classification": GPTNeoXForSequenceClassification,
    "token-classification": GPTNeoXForTokenClassification,
    "question-answering": GPTNeoXForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 40,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
