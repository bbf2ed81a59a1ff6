"""OPT: a decoder with learned positions that count real tokens, and embeddings that may be narrower than the layers.

Source: Zhang et al. 2022 (arXiv 2205.01068); facebookresearch/metaseq.
Letters: B batch, T columns, D width, E width of the embeddings, F width of the feed-forward, H heads.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import decoders
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..layers import by_hand, through
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.embedding import lookup
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from . import gpt2


class OPTConfig(PretrainedConfig):
    """Defaults are those of facebook/opt-125m. word_embed_proj_dim: E, that of the layers if left out."""

    model_type = "opt"

    vocab_size: int = 50272
    hidden_size: int = 768
    num_hidden_layers: int = 12
    ffn_dim: int = 3072
    max_position_embeddings: int = 2048
    do_layer_norm_before: bool = True
    word_embed_proj_dim: int | None = None
    dropout: float = 0.1
    attention_dropout: float = 0.0
    num_attention_heads: int = 12
    activation_function: str = "relu"
    layerdrop: float = 0.0
    init_std: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 2
    enable_bias: bool = True
    layer_norm_elementwise_affine: bool = True
    _remove_final_layer_norm: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.word_embed_proj_dim is None:
            self.word_embed_proj_dim = self.hidden_size


class OPTLearnedPositionalEmbedding(nn.Embedding):
    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        self.offset = 2  # the table begins with rows that checkpoints have and no token uses, but padding
        super().__init__(num_embeddings + self.offset, embedding_dim)

    def forward(  # called by hand with a mask
        self, attention_mask: Tensor | None, past_key_values_length: int = 0, position_ids: Tensor | None = None
    ) -> Tensor:
        """Of position_ids, or else of the real tokens of a mask (B, columns), from that column on."""
        if position_ids is None:
            assert attention_mask is not None  # one of them is given
            mask = attention_mask.long()
            position_ids = (mask.cumsum(1) * mask - 1)[:, past_key_values_length:]
        return super().forward(position_ids + self.offset)


by_hand_layer = by_hand(
    *("hidden_states", "attention_mask", "layer_head_mask", "output_attentions", "use_cache", "past_key_value"),
    *("past_key_values", "position_ids"),
)
by_hand_attention = by_hand(
    *("hidden_states", "key_value_states", "past_key_value", "attention_mask", "layer_head_mask", "output_attentions"),
    "past_key_values",
)


class OPTAttention(nn.Module):
    def __init__(self, config: OPTConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, H = config.hidden_size, config.num_attention_heads
        if D % H:
            raise ConfigError(f"hidden_size={D} is no multiple of num_attention_heads={H}.")
        self.embed_dim, self.num_heads, self.dropout, self.layer_idx = D, H, config.attention_dropout, layer_idx
        self.kernel = config._attn_implementation
        self.k_proj = nn.Linear(D, D, bias=config.enable_bias)
        self.v_proj = nn.Linear(D, D, bias=config.enable_bias)
        self.q_proj = nn.Linear(D, D, bias=config.enable_bias)
        self.out_proj = nn.Linear(D, D, bias=config.enable_bias)

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = self.attend(self.q_proj(rows), self.k_proj(rows), self.v_proj(rows), step, head_mask)
        return self.out_proj(context), *weights

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of D each to the context."""
        return attention(
            *(query, key, value, step),
            heads=self.num_heads,
            causal=True,
            dropout=self.dropout if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


def norm(config: OPTConfig) -> nn.LayerNorm:
    """A norm of rows of D."""
    return nn.LayerNorm(config.hidden_size, elementwise_affine=config.layer_norm_elementwise_affine)


class OPTDecoderLayer(nn.Module):
    def __init__(self, config: OPTConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        self.self_attn = OPTAttention(config, layer_idx)
        self.before = config.do_layer_norm_before
        self.dropout, self.narrow = config.dropout, config.word_embed_proj_dim != config.hidden_size
        self.activation_fn = activation(config.activation_function, "activation_function")
        self.self_attn_layer_norm = norm(config)
        self.fc1 = nn.Linear(config.hidden_size, config.ffn_dim, bias=config.enable_bias)
        self.fc2 = nn.Linear(config.ffn_dim, config.hidden_size, bias=config.enable_bias)
        self.final_layer_norm = norm(config)

    def block(self) -> Block | None:
        inner = self.self_attn
        if self.narrow:
            return None  # what the last layer gives is not as wide as what it reads
        return Block(
            *(inner.num_heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.out_proj, self.self_attn_layer_norm),
            *(self.fc1, self.activation_fn, self.fc2, self.final_layer_norm),
            attend=inner.attend,
            pre=self.before,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        read = self.self_attn_layer_norm(rows) if self.before else rows
        context, *weights = through(self.self_attn, read, step, head_mask)
        rows = rows + self.dropped(context)
        rows = rows if self.before else self.self_attn_layer_norm(rows)
        read = self.final_layer_norm(rows) if self.before else rows
        rows = rows + self.dropped(self.fc2(self.activation_fn(self.fc1(read))))
        return rows if self.before else self.final_layer_norm(rows), *weights

    def dropped(self, rows: Tensor) -> Tensor:
        """Rows, of which training drops some numbers."""
        return nn.functional.dropout(rows, self.dropout, self.training)


class OPTPreTrainedModel(decoders.Decoding):
    """What OPT's models share."""

    config_class = OPTConfig
    base_model_prefix = "model"
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "head_mask", "past_key_values", "inputs_embeds", "labels", "use_cache"),
        *(*OPTIONS, "position_ids"),
    )
    WORDS = "decoder.embed_tokens"
    WIDTH = "word_embed_proj_dim"
    PARTS_BY_POSITION = False  # nor in the reference

    def make_body(self, config: OPTConfig, pooling: bool = False) -> OPTModel:
        """The model under a head."""
        return OPTModel(config)

    def _std(self) -> float:
        return float(self.config.init_std)


class OPTDecoder(OPTPreTrainedModel, decoders.DecoderBody):
    """The decoder, which is the whole model: hidden states (B, T, E), and the cache."""

    SIGNATURE = tuple(name for name in OPTPreTrainedModel.SIGNATURE if name != "labels")
    WORDS = "embed_tokens"
    LAYERS = "layers"

    def __init__(self, config: OPTConfig) -> None:
        super().__init__(config)
        D, E, last = config.hidden_size, int(config.word_embed_proj_dim or 0), config.do_layer_norm_before
        self.layerdrop = config.layerdrop
        self.embed_tokens = nn.Embedding(config.vocab_size, E, padding_idx=config.pad_token_id)
        self.embed_positions = OPTLearnedPositionalEmbedding(config.max_position_embeddings, D)
        self.project_out = nn.Linear(D, E, bias=False) if E != D else None
        self.project_in = nn.Linear(E, D, bias=False) if E != D else None
        self.final_layer_norm = norm(config) if last and not config._remove_final_layer_norm else None
        self.layers = nn.ModuleList(OPTDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.gradient_checkpointing = False
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words, E -> D, and positions."""
        rows, table = super().embed(layout, inputs), self.embed_positions
        rows = rows if self.project_in is None else self.project_in(rows)
        positions, limit = self.positions(layout, inputs, rows.device), "max_position_embeddings"
        return rows + lookup(
            *(table, positions, layout, "position_ids", limit), lambda ids: table(None, position_ids=ids)
        )

    def positions(self, layout: Layout, inputs: dict[str, Any], device: torch.device) -> Tensor:
        """Those that are given, or else how many real tokens of its text are before each row."""
        if inputs.get("position_ids") is not None:
            return super().positions(layout, inputs, device)
        return layout.pack(layout.places(device))

    def finish(self, rows: Tensor) -> Tensor:
        """The last norm, where there is one, and D -> E."""
        rows = rows if self.final_layer_norm is None else self.final_layer_norm(rows)
        return rows if self.project_out is None else self.project_out(rows)


class OPTModel(OPTPreTrainedModel, Body):
    """The model without a head, which is its decoder."""

    OUTPUT = OPTDecoder.OUTPUT
    SIGNATURE = OPTDecoder.SIGNATURE

    def __init__(self, config: OPTConfig) -> None:
        super().__init__(config)
        self.decoder = OPTDecoder(config)
        self.post_init()

    def depth(self) -> int:
        """How many layers there are."""
        return self.decoder.depth()

    def compute(self, inputs: dict[str, Any]) -> Any:
        """What the decoder computes."""
        return self.decoder(**inputs)


class OPTForCausalLM(OPTPreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    TIED = {"lm_head.weight": "model.decoder.embed_tokens.weight"}


class OPTForSequenceClassification(OPTPreTrainedModel, decoders.LastClassifier):
    pass


class OPTForQuestionAnswering(OPTPreTrainedModel, decoders.SpanFinder):
    pass


MODEL_TYPES = {"opt": OPTConfig}
TOKENIZER = gpt2.GPT2Tokenizer
HEADS = {
    "base": OPTModel,
    "causal-lm": OPTForCausalLM,
    "sequence-classification": OPTForSequenceClassification,
    "question-answering": OPTForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "ffn_dim": 37,
    "max_position_embeddings": 40,
    "word_embed_proj_dim": 24,
    "num_attention_heads": 4,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 2,
}
