"""GPT-Neo: GPT-2's form, in which every other layer sees only the nearest keys, and scores are not scaled.

Source: Black et al. 2021 (https://doi.org/10.5281/zenodo.5297715); EleutherAI/gpt-neo.
Letters: B batch, T columns, D width, F width of the feed-forward, H heads.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import decoders
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..layers import by_hand, through
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutputWithPastAndCrossAttentions, CausalLMOutputWithCrossAttentions
from . import gpt2


class GPTNeoConfig(PretrainedConfig):
    """Defaults are those of EleutherAI/gpt-neo-1.3B.

    attention_types: [[kinds of layers, how often they come], …]; attention_layers: the kind of each layer by that.
    """

    model_type = "gpt_neo"
    attribute_map = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}

    vocab_size: int = 50257
    max_position_embeddings: int = 2048
    hidden_size: int = 2048
    num_layers: int = 24
    attention_types: list[Any] | None = None
    num_heads: int = 16
    intermediate_size: int | None = None
    window_size: int = 256
    activation_function: str = "gelu_new"
    resid_dropout: float = 0.0
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    classifier_dropout: float = 0.1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("attention_layers", None)  # it follows from the types
        super().__init__(*args, **kwargs)
        if self.attention_types is None:
            self.attention_types = [[["global", "local"], 12]]
        try:
            self.attention_layers = [kind for kinds, count in self.attention_types for kind in [*kinds] * count]
        except (TypeError, ValueError) as e:
            raise ConfigError(
                f"attention_types={self.attention_types!r}; it should be pairs of kinds and how often they come: "
                '[[["global", "local"], 12]].'
            ) from e

    def check(self) -> None:
        """Raise ConfigError if a value is not of its key's kind, or layers are not as many as their kinds."""
        super().check()
        kinds = self.attention_layers
        if len(kinds) != self.num_layers or {*kinds} - {"global", "local"}:
            raise ConfigError(
                f"attention_types={self.attention_types!r} gives {len(kinds)} layers ({', '.join(sorted({*kinds}))}), "
                f'but num_layers is {self.num_layers}; each is "global" or "local".'
            )


by_hand_layer = by_hand(
    *("hidden_states", "layer_past", "attention_mask", "head_mask", "use_cache", "output_attentions")
)
by_hand_attention = by_hand(
    *("hidden_states", "attention_mask", "layer_past", "head_mask", "use_cache", "output_attentions")
)


class GPTNeoSelfAttention(nn.Module):
    def __init__(self, config: GPTNeoConfig, attention_type: str, layer_id: int | None = None) -> None:
        super().__init__()
        D, H = config.hidden_size, config.num_heads
        if D % H:
            raise ConfigError(f"hidden_size={D} is no multiple of num_heads={H}.")
        self.attention_type, self.layer_id, self.num_heads = attention_type, layer_id, H
        self.window = config.window_size if attention_type == "local" else None
        self.kernel = config._attn_implementation
        self.attn_dropout = nn.Dropout(config.attention_dropout)
        self.resid_dropout = nn.Dropout(config.resid_dropout)
        self.k_proj = nn.Linear(D, D, bias=False)
        self.v_proj = nn.Linear(D, D, bias=False)
        self.q_proj = nn.Linear(D, D, bias=False)
        self.out_proj = nn.Linear(D, D)

    def near(self, query: Tensor, key: Tensor, distance: Tensor) -> Tensor:
        """What hides all but the keys that the layer sees, whatever a mask says beside, and stops their gradients."""
        seen, scores = (distance >= 0) & (distance < (self.window or len(distance[0]))), query @ key.mT
        stopped = torch.finfo(query.dtype).min - (scores - scores.detach())
        return query.new_zeros(()).where(seen, stopped)

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = self.attend(self.q_proj(rows), self.k_proj(rows), self.v_proj(rows), step, head_mask)
        return self.resid_dropout(self.out_proj(context)), *weights

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of D each to the context."""
        masked = step.layout.mask is not None
        return attention(
            *(query, key, value, step),
            heads=self.num_heads,
            bias=self.near if masked else None,
            causal=True,
            window=None if masked else self.window,
            scale=1.0,
            dropout=self.attn_dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel="eager" if masked else self.kernel,
        )


class GPTNeoAttention(nn.Module):
    def __init__(self, config: GPTNeoConfig, layer_id: int = 0) -> None:
        super().__init__()
        self.layer_id, self.attention_type = layer_id, config.attention_layers[layer_id]
        self.attention = GPTNeoSelfAttention(config, self.attention_type, layer_id)

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return through(self.attention, rows, step, head_mask)


class GPTNeoMLP(nn.Module):
    def __init__(self, intermediate_size: int, config: GPTNeoConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.hidden_size, intermediate_size)
        self.c_proj = nn.Linear(intermediate_size, config.hidden_size)
        self.act = activation(config.activation_function, "activation_function")
        self.dropout = nn.Dropout(config.resid_dropout)

    def forward(self, rows: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(rows))))


class GPTNeoBlock(nn.Module):
    def __init__(self, config: GPTNeoConfig, layer_id: int = 0) -> None:
        super().__init__()
        D, F, eps = config.hidden_size, config.intermediate_size, config.layer_norm_epsilon
        self.ln_1 = nn.LayerNorm(D, eps=eps)
        self.attn = GPTNeoAttention(config, layer_id)
        self.ln_2 = nn.LayerNorm(D, eps=eps)
        self.mlp = GPTNeoMLP(4 * D if F is None else F, config)

    def block(self) -> Block:
        inner, mlp = self.attn.attention, self.mlp
        return Block(
            *(inner.num_heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.out_proj, self.ln_1),
            *(mlp.c_fc, mlp.act, mlp.c_proj, self.ln_2),
            attend=inner.attend,
            pre=True,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attn, self.ln_1(rows), step, head_mask)
        rows = rows + context
        return rows + self.mlp(self.ln_2(rows)), *weights


class GPTNeoPreTrainedModel(decoders.Decoding):
    """What GPT-Neo's models share."""

    config_class = GPTNeoConfig
    base_model_prefix = "transformer"
    SIGNATURE: ClassVar[tuple[str, ...]] = gpt2.GPT2PreTrainedModel.SIGNATURE
    WORDS = "wte"
    BUFFERS = ("attn.attention.bias", "attn.attention.masked_bias")

    def make_body(self, config: GPTNeoConfig, pooling: bool = False) -> GPTNeoModel:
        """The model under a head."""
        return GPTNeoModel(config)


class GPTNeoModel(GPTNeoPreTrainedModel, gpt2.LearnedPositions):
    """The model without a head: hidden states (B, T, D), and the cache."""

    OUTPUT = BaseModelOutputWithPastAndCrossAttentions
    SIGNATURE = (*gpt2.INPUTS, "use_cache", *OPTIONS)

    def __init__(self, config: GPTNeoConfig) -> None:
        super().__init__(config)
        self.embed_dim = config.hidden_size
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.wpe = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.drop = nn.Dropout(config.embed_dropout)
        self.h = nn.ModuleList(GPTNeoBlock(config, i) for i in range(config.num_layers))
        self.ln_f = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.gradient_checkpointing = False
        self.post_init()


class GPTNeoForCausalLM(GPTNeoPreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    OUTPUT = CausalLMOutputWithCrossAttentions
    TIED = {"lm_head.weight": "transformer.wte.weight"}


class GPTNeoForSequenceClassification(GPTNeoPreTrainedModel, decoders.LastClassifier):
    pass


class GPTNeoForTokenClassification(GPTNeoPreTrainedModel, decoders.TokenClassifier):
    SCORE = "classifier"


class GPTNeoForQuestionAnswering(GPTNeoPreTrainedModel, decoders.SpanFinder):
    SIGNATURE = gpt2.GPT2ForQuestionAnswering.SIGNATURE


MODEL_TYPES = {"gpt_neo": GPTNeoConfig}
TOKENIZER = gpt2.GPT2Tokenizer
HEADS = {
    "base": GPTNeoModel,
    "causal-lm": GPTNeoForCausalLM,
    "sequence-classification": GPTNeoForSequenceClassification,
    "token-classification": GPTNeoForTokenClassification,
    "question-answering": GPTNeoForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "max_position_embeddings": 40,
    "hidden_size": 32,
    "num_layers": 2,
    "attention_types": [[["global", "local"], 1]],
    "num_heads": 4,
    "intermediate_size": 37,
    "window_size": 3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
