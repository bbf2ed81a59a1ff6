"""BLOOM: a decoder without positions, whose scores fall with the distance of keys (ALiBi).

Source: BigScience 2022 (arXiv 2211.05100).
Letters: B batch, T columns, D width, H heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import decoders
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..layers import by_hand, through
from ..modeling import OPTIONS
from ..ops.activations import NewGELUActivation
from ..ops.attention import ByPlace, attention
from ..ops.bias import alibi
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutputWithPastAndCrossAttentions, CausalLMOutputWithCrossAttentions
from ..tokenization import ByteLevelTokenizer


class BloomConfig(PretrainedConfig):
    """Defaults are those of a tiny model, as in Transformers; bigscience/bloom has all keys in its file."""

    model_type = "bloom"
    attribute_map = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "n_embed": "hidden_size"}

    vocab_size: int = 250880
    hidden_size: int = 64
    n_layer: int = 2
    n_head: int = 8
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    apply_residual_connection_post_layernorm: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    pretraining_tp: int = 1
    slow_but_exact: bool = False


class BloomTokenizer(ByteLevelTokenizer):
    """Byte-level BPE; a tokenizer.json holds it."""

    TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


BloomTokenizerFast = BloomTokenizer


def build_alibi_tensor(attention_mask: Tensor, num_heads: int, dtype: torch.dtype) -> Tensor:
    """(B · H, 1, T): what is added to the scores of each key, for people who call the layers by hand."""
    places = (attention_mask.cumsum(1) - 1) * attention_mask
    return alibi(num_heads)(places).flatten(0, 1).to(dtype)


def _given(mapping: Mapping[str, Any]) -> ByPlace | None:
    """What people who call a layer by hand give: the rise of each key, (B · H, 1, T)."""
    rises, rows = mapping.get("alibi"), mapping["hidden_states"]
    return None if rises is None else lambda _: rises.unflatten(0, (rows.shape[0], -1))


by_hand_layer = by_hand(
    *("hidden_states", "alibi", "attention_mask", "layer_past", "head_mask", "use_cache", "output_attentions"),
    shared=_given,
)
by_hand_attention = by_hand(
    *("hidden_states", "residual", "alibi", "attention_mask", "layer_past", "head_mask", "use_cache"),
    "output_attentions",
    shared=lambda given: (_given(given), given["residual"]),
)


class BloomAttention(nn.Module):
    """Its rows are added to what the step shares beside the bias: those that go around it."""

    def __init__(self, config: BloomConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, H = config.hidden_size, config.n_head
        if D % H:
            raise ConfigError(f"hidden_size={D} is no multiple of n_head={H}.")
        self.num_heads, self.kernel, self.layer_idx = H, config._attn_implementation, layer_idx
        self.hidden_dropout = config.hidden_dropout
        self.query_key_value = nn.Linear(D, 3 * D)
        self.dense = nn.Linear(D, D)
        self.attention_dropout = nn.Dropout(config.attention_dropout)

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        by_place, residual = step.shared
        made = self.split(self.query_key_value(rows))
        context, *weights = self.attend(*made, replace(step, shared=by_place), head_mask)
        return residual + F.dropout(self.dense(context), self.hidden_dropout, self.training), *weights

    def split(self, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of what the layer makes."""
        return decoders.split_joined(made, self.num_heads, self.num_heads)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of D each to the context; the step shares the bias of places."""
        return attention(
            *(query, key, value, step),
            heads=self.num_heads,
            by_place=step.shared,
            causal=True,
            dropout=self.attention_dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class BloomGelu(NewGELUActivation):
    pass


class BloomMLP(nn.Module):
    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.dense_h_to_4h = nn.Linear(D, 4 * D)
        self.gelu_impl = BloomGelu()
        self.dense_4h_to_h = nn.Linear(4 * D, D)
        self.hidden_dropout = config.hidden_dropout

    def forward(self, hidden_states: Tensor, residual: Tensor) -> Tensor:
        rows = self.dense_4h_to_h(self.gelu_impl(self.dense_h_to_4h(hidden_states)))
        return residual + F.dropout(rows, self.hidden_dropout, self.training)


class BloomBlock(nn.Module):
    def __init__(self, config: BloomConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, eps = config.hidden_size, config.layer_norm_epsilon
        self.input_layernorm = nn.LayerNorm(D, eps=eps)
        self.self_attention = BloomAttention(config, layer_idx)
        self.post_attention_layernorm = nn.LayerNorm(D, eps=eps)
        self.mlp = BloomMLP(config)
        self.after = config.apply_residual_connection_post_layernorm

    def block(self) -> Block | None:
        inner, mlp = self.self_attention, self.mlp
        if self.after:
            return None
        return Block(
            *(inner.num_heads, (inner.query_key_value,), inner.dense, self.input_layernorm),
            *(mlp.dense_h_to_4h, mlp.gelu_impl, mlp.dense_4h_to_h, self.post_attention_layernorm),
            attend=inner.attend,
            pre=True,
            split=inner.split,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        read = self.input_layernorm(rows)
        around = replace(step, shared=(step.shared, read if self.after else rows))
        rows, *weights = through(self.self_attention, read, around, head_mask)
        read = self.post_attention_layernorm(rows)
        return self.mlp(read, read if self.after else rows), *weights


INPUTS = ("input_ids", "past_key_values", "attention_mask", "head_mask", "inputs_embeds")


class BloomPreTrainedModel(decoders.Decoding):
    """What BLOOM's models share."""

    config_class = BloomConfig
    base_model_prefix = "transformer"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", "use_cache", *OPTIONS)
    WORDS = "word_embeddings"

    def make_body(self, config: BloomConfig, pooling: bool = False) -> BloomModel:
        """The model under a head."""
        return BloomModel(config)


class BloomModel(BloomPreTrainedModel, decoders.DecoderBody):
    """The model without a head: hidden states (B, T, D), and the cache."""

    OUTPUT = BaseModelOutputWithPastAndCrossAttentions
    SIGNATURE = (*INPUTS, "use_cache", *OPTIONS)

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        D, eps = config.hidden_size, config.layer_norm_epsilon
        self.embed_dim, self.num_heads = D, config.n_head
        self.word_embeddings = nn.Embedding(config.vocab_size, D)
        self.word_embeddings_layernorm = nn.LayerNorm(D, eps=eps)
        self.h = nn.ModuleList(BloomBlock(config, i) for i in range(config.n_layer))
        self.ln_f = nn.LayerNorm(D, eps=eps)
        self.gradient_checkpointing = False
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Rows from token ids, or from vectors."""
        return self.word_embeddings_layernorm(super().embed(layout, inputs))

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> ByPlace:
        """What scores gain by the places of keys."""
        return alibi(self.num_heads)


class BloomForCausalLM(BloomPreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    OUTPUT = CausalLMOutputWithCrossAttentions
    TIED = {"lm_head.weight": "transformer.word_embeddings.weight"}


class BloomForSequenceClassification(BloomPreTrainedModel, decoders.LastClassifier):
    pass


class BloomForTokenClassification(BloomPreTrainedModel, decoders.TokenClassifier):
    SCORE = "classifier"


class BloomForQuestionAnswering(BloomPreTrainedModel, decoders.SpanFinder):
    SIGNATURE = ("input_ids", "attention_mask", "head_mask", "inputs_embeds", "labels", *OPTIONS)


MODEL_TYPES = {"bloom": BloomConfig}
TOKENIZER = BloomTokenizer
HEADS = {
    "base": BloomModel,
    "pretraining": BloomForCausalLM,
    "causal-lm": BloomForCausalLM,
    "sequence-classification": BloomForSequenceClassification,
    "token-classification": BloomForTokenClassification,
    "question-answering": BloomForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
