"""GPT-J: a decoder whose attention and feed-forward read the same norm, and whose queries and keys are turned in part.

Source: Wang and Komatsuzaki 2021 (https://github.com/kingoflolz/mesh-transformer-jax).
Letters: B batch, T columns, D width, F width of the feed-forward, H heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from .. import decoders
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..layers import by_hand, through
from ..modeling import OPTIONS
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.layout import Layout
from ..ops.rope import angles, rotate
from ..ops.step import Step
from ..optimize import Block
from . import gpt2


class GPTJConfig(PretrainedConfig):
    """Defaults are those of EleutherAI/gpt-j-6B. rotary_dim: how many numbers of each head turn; None for all."""

    model_type = "gptj"
    attribute_map = gpt2.GPT2Config.attribute_map

    vocab_size: int = 50400
    n_positions: int = 2048
    n_embd: int = 4096
    n_layer: int = 28
    n_head: int = 16
    rotary_dim: int | None = 64
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    attn_pdrop: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    tie_word_embeddings: bool = False

    def longest_text(self) -> int | None:
        """No limit: positions are angles. The model was trained on `n_positions` of them."""
        return None


def _positions(given: Mapping[str, Any]) -> Any:
    """What people who call a layer by hand may give: (B or 1, T)."""
    return given.get("position_ids")


by_hand_layer = by_hand(
    *("hidden_states", "layer_past", "attention_mask", "head_mask", "use_cache", "output_attentions", "position_ids"),
    shared=_positions,
)
by_hand_attention = by_hand(
    *("hidden_states", "attention_mask", "layer_past", "head_mask", "use_cache", "output_attentions", "position_ids"),
    shared=_positions,
)


def _turns(positions: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (…, width), of which neighbours are alike."""
    cosines, sines = (x[..., : width // 2].repeat_interleave(2, dim=-1) for x in angles(positions, width, 10_000.0))
    return cosines, sines


class GPTJAttention(nn.Module):
    def __init__(self, config: GPTJConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        D, H = config.n_embd, config.n_head
        if D % H:
            raise ConfigError(f"n_embd={D} is no multiple of n_head={H}.")
        self.rotary_dim = turned_width(config)
        self.num_attention_heads, self.kernel, self.layer_idx = H, config._attn_implementation, layer_idx
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.k_proj = nn.Linear(D, D, bias=False)
        self.v_proj = nn.Linear(D, D, bias=False)
        self.q_proj = nn.Linear(D, D, bias=False)
        self.out_proj = nn.Linear(D, D, bias=False)

    def turns(self, rows: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """The cosines and sines of the rows, also where the attention is called by hand."""
        if isinstance(step.shared, tuple):
            return step.shared
        positions = step.layout.positions(rows.device) if step.shared is None else step.shared
        return _turns(positions, self.rotary_dim)

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = self.attend(self.q_proj(rows), self.k_proj(rows), self.v_proj(rows), step, head_mask)
        return self.resid_dropout(self.out_proj(context)), *weights

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of D each to the context."""
        turns, H = self.turns(query, step), self.num_attention_heads
        query, key = (rotate(x, *turns, H, pairs=True) for x in (query, key))
        return attention(
            *(query, key, value, step),
            heads=H,
            causal=True,
            dropout=self.attn_dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


def turned_width(config: GPTJConfig) -> int:
    """How many numbers of a head turn."""
    width = config.n_embd // config.n_head
    turned = width if config.rotary_dim is None else config.rotary_dim
    if turned % 2 or turned > width:
        raise ConfigError(f"rotary_dim={turned}: give an even number up to n_embd / n_head, which is {width}.")
    return turned


class GPTJMLP(nn.Module):
    def __init__(self, intermediate_size: int, config: GPTJConfig) -> None:
        super().__init__()
        self.fc_in = nn.Linear(config.n_embd, intermediate_size)
        self.fc_out = nn.Linear(intermediate_size, config.n_embd)
        self.act = activation(config.activation_function, "activation_function")
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, rows: Tensor) -> Tensor:
        return self.dropout(self.fc_out(self.act(self.fc_in(rows))))


class GPTJBlock(nn.Module):
    def __init__(self, config: GPTJConfig, layer_idx: int | None = None) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = GPTJAttention(config, layer_idx)
        self.mlp = GPTJMLP(4 * config.n_embd if config.n_inner is None else config.n_inner, config)

    def block(self) -> Block:
        inner, mlp = self.attn, self.mlp
        return Block(
            *(inner.num_attention_heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.out_proj, self.ln_1),
            *(mlp.fc_in, mlp.act, mlp.fc_out, self.ln_1),
            attend=inner.attend,
            pre=True,
            parallel=True,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        read = self.ln_1(rows)
        context, *weights = through(self.attn, read, step, head_mask)
        return context + self.mlp(read) + rows, *weights


class GPTJPreTrainedModel(decoders.Decoding):
    """What GPT-J's models share."""

    config_class = GPTJConfig
    base_model_prefix = "transformer"
    SIGNATURE: ClassVar[tuple[str, ...]] = gpt2.GPT2PreTrainedModel.SIGNATURE
    WORDS = "wte"
    BUFFERS = ("attn.bias", "attn.masked_bias", "attn.embed_positions")

    def make_body(self, config: GPTJConfig, pooling: bool = False) -> GPTJModel:
        """The model under a head."""
        return GPTJModel(config)


class GPTJModel(GPTJPreTrainedModel, decoders.DecoderBody):
    """The model without a head: hidden states (B, T, D), and the cache."""

    SIGNATURE = (*gpt2.INPUTS, "use_cache", *OPTIONS)

    def __init__(self, config: GPTJConfig) -> None:
        super().__init__(config)
        self.embed_dim, self.vocab_size = config.n_embd, config.vocab_size
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(GPTJBlock(config, i) for i in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.gradient_checkpointing = False
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words and, where they are given, types, which are words too."""
        return self.drop(super().embed(layout, inputs))

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The turns of every row."""
        return _turns(self.positions(layout, inputs, rows.device), turned_width(self.config))


class GPTJForCausalLM(GPTJPreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    TIED = {"lm_head.weight": "transformer.wte.weight"}
    BIAS = True


class GPTJForSequenceClassification(GPTJPreTrainedModel, decoders.LastClassifier):
    pass


class GPTJForQuestionAnswering(GPTJPreTrainedModel, decoders.SpanFinder):
    SIGNATURE = gpt2.GPT2ForQuestionAnswering.SIGNATURE


MODEL_TYPES = {"gptj": GPTJConfig}
TOKENIZER = gpt2.GPT2Tokenizer
HEADS = {
    "base": GPTJModel,
    "causal-lm": GPTJForCausalLM,
    "sequence-classification": GPTJForSequenceClassification,
    "question-answering": GPTJForQuestionAnswering,
}
TINY = {**gpt2.TINY, "rotary_dim": 4}
