"""What decoders share: the cache of a call, and the parts of those that Llama's form fits.

    rows ─┬─ norm ─ query·key·value ─ turns ─ attention ─ output ─(+)─┬─ norm ─ gate · up ─ down ─(+)─▶
          └────────────────────────────────────────────────┘          └────────────────────────┘

A family names these parts as the reference does, and says in a few lines where it differs.
Source: Touvron et al. 2023 (arXiv 2302.13971).
Letters: B batch, T columns, N rows, D width, F width of the feed-forward, H heads, G heads of keys, d width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import heads, outputs
from .bodies import Body
from .cache import Cache
from .config import PretrainedConfig
from .errors import ConfigError, InputError
from .layers import by_hand, run_layers, through
from .modeling import OPTIONS, PreTrainedModel
from .ops.activations import activation
from .ops.attention import attention
from .ops.embedding import lookup, packed_ids
from .ops.layout import Layout
from .ops.rope import rotate, scaled_rates, turns
from .ops.step import Step
from .optimize import Block
from .outputs import BaseModelOutput

FULL, SLIDING = "full_attention", "sliding_attention"


class Decoding(PreTrainedModel):
    """A model whose columns see no later ones, and that keeps keys and values of earlier passes."""

    KEYWORDS: ClassVar[tuple[str, ...]] = ("cache_position",)  # what it says follows from the cache
    WIDTH: ClassVar[str] = "hidden_size"  # the configuration's key for how wide the rows are that heads read

    def causal(self) -> bool:
        """Always."""
        return True

    def take_cache(self, inputs: dict[str, Any]) -> Cache | None:
        inputs.pop("cache_position", None)
        return super().take_cache(inputs)


class RopeConfig(PretrainedConfig):
    """Keys of turned queries and keys: 5.x's `rope_parameters`, and 4.x's `rope_theta` and `rope_scaling` for them."""

    THETA: ClassVar[float] = 10_000.0

    max_position_embeddings: int
    rope_parameters: dict[str, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        older = {key: kwargs.pop(key, None) for key in ("rope_scaling", "rope_theta", "partial_rotary_factor")}
        super().__init__(*args, **kwargs)
        given = dict(self.rope_parameters or older["rope_scaling"] or {})
        given.setdefault("rope_type", given.pop("type", "default"))
        given.setdefault("rope_theta", self.THETA if older["rope_theta"] is None else older["rope_theta"])
        if older["partial_rotary_factor"] is not None:
            given.setdefault("partial_rotary_factor", older["partial_rotary_factor"])
        if given["rope_type"] in ("llama3", "yarn", "longrope"):
            given.setdefault("original_max_position_embeddings", self.max_position_embeddings)
        self.rope_parameters = given

    @property
    def rope_theta(self) -> float:
        """The base of the angles."""
        return float((self.rope_parameters or {})["rope_theta"])

    @property
    def rope_scaling(self) -> dict[str, Any] | None:
        """How angles are scaled for long texts, as 4.x says it; None where they are not."""
        given = self.rope_parameters or {}
        return None if given.get("rope_type") == "default" else given

    def longest_text(self) -> int | None:
        """No limit: positions are angles. The model was trained on `max_position_embeddings` of them."""
        return None


class RotaryConfig(RopeConfig):
    """The same with keys for the width of a head, and for how many heads of keys there are."""

    num_attention_heads: int
    hidden_size: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads


class RMSNorm(nn.Module):
    """x · weight / √(mean(x²) + eps). Source: Zhang and Sennrich 2019 (arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        x = hidden_states.float()
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * x.to(hidden_states.dtype)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.variance_epsilon}"


class RotaryEmbedding(nn.Module):
    """Positions to cosines and sines, (…, d) each."""

    inv_freq: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.given, self.longest = config.rope_parameters, config.max_position_embeddings
        self.width = int(config.head_dim * self.given.get("partial_rotary_factor", 1.0))
        if self.width % 2:
            raise ConfigError(f"head_dim={config.head_dim}: {self.width} numbers of it turn, which are no pairs.")
        rates, self.attention_scaling = scaled_rates(self.given, self.width, self.longest)
        self.register_buffer("inv_freq", rates, persistent=False)

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        rates, scale = self.inv_freq, self.attention_scaling
        if (rates.is_meta and not position_ids.is_meta) or self.given["rope_type"] in ("dynamic", "longrope"):
            length = int(position_ids.max()) + 1 if position_ids.numel() else None
            rates, scale = scaled_rates(self.given, self.width, self.longest, length)
        return turns(position_ids, rates.to(position_ids.device, torch.float), scale)


class GatedMLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        D, F, bias = config.hidden_size, config.intermediate_size, getattr(config, "mlp_bias", False)
        self.gate_proj = nn.Linear(D, F, bias=bias)
        self.up_proj = nn.Linear(D, F, bias=bias)
        self.down_proj = nn.Linear(F, D, bias=bias)
        self.act_fn = activation(config.hidden_act)

    def forward(self, rows: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(rows)) * self.up_proj(rows))


def given_turns(given: Mapping[str, Any]) -> Any:
    """What people who call a layer by hand give: the cosines and sines of its positions, (1 or B, T, d) each."""
    if given.get("position_embeddings") is None:
        raise InputError("position_embeddings are needed: model.rotary_emb(hidden, position_ids).")
    return given["position_embeddings"]


by_hand_layer = by_hand(
    *("hidden_states", "attention_mask", "position_ids", "past_key_values", "use_cache", "position_embeddings"),
    "output_attentions",
    shared=given_turns,
)
by_hand_attention = by_hand(
    *("hidden_states", "position_embeddings", "attention_mask", "past_key_values", "output_attentions"),
    shared=given_turns,
)


class RotaryAttention(nn.Module):
    """Turned queries and keys, of which there may be fewer heads.

    BIAS, OUT_BIAS: whether the projections have biases; None for what the configuration's `attention_bias` says.
    """

    BIAS: ClassVar[bool | None] = None
    OUT_BIAS: ClassVar[bool | None] = None

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        D, d, H, G = config.hidden_size, config.head_dim, config.num_attention_heads, config.num_key_value_heads
        if H % G:
            raise ConfigError(f"num_attention_heads={H} is no multiple of num_key_value_heads={G}.")
        self.layer_idx, self.head_dim, self.heads, self.key_heads = layer_idx, d, H, G
        self.scaling, self.attention_dropout = d**-0.5, config.attention_dropout
        self.kernel, self.window = config._attn_implementation, self.sees(config, layer_idx)
        bias = [getattr(config, "attention_bias", False) if x is None else x for x in (self.BIAS, self.OUT_BIAS)]
        self.q_proj = nn.Linear(D, H * d, bias=bias[0])
        self.k_proj = nn.Linear(D, G * d, bias=bias[0])
        self.v_proj = nn.Linear(D, G * d, bias=bias[0])
        self.o_proj = nn.Linear(H * d, D, bias=bias[1])

    def sees(self, config: Any, layer_idx: int) -> int | None:
        """How many of the nearest keys a query sees; None for all."""
        kinds = getattr(config, "layer_types", None)
        if kinds is not None and kinds[layer_idx] != SLIDING:
            return None
        window: int | None = getattr(config, "sliding_window", None)
        return window

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        query, key, value = self.q_proj(rows), self.k_proj(rows), self.v_proj(rows)
        context, *weights = self.attend(query, key, value, step, head_mask)
        return self.o_proj(context), *weights

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of H · d and twice G · d to the context."""
        cosines, sines = self.turns(step)
        return attention(
            rotate(query, cosines, sines, self.heads),
            rotate(key, cosines, sines, self.key_heads),
            value,
            step,
            heads=self.heads,
            key_heads=self.key_heads,
            causal=step.causal,
            window=self.window,
            scale=self.scaling,
            dropout=self.attention_dropout if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )

    def turns(self, step: Step) -> tuple[Tensor, Tensor]:
        """The cosines and sines of this layer's rows."""
        found: tuple[Tensor, Tensor] = step.shared
        return found


class DecoderLayer(nn.Module):
    """ATTENTION, MLP, NORM: the classes of its parts."""

    ATTENTION: ClassVar[Any] = RotaryAttention
    MLP: ClassVar[Any] = GatedMLP
    NORM: ClassVar[Any] = RMSNorm

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = self.ATTENTION(config, layer_idx)
        self.mlp = self.MLP(config)
        self.input_layernorm = self.NORM(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = self.NORM(config.hidden_size, eps=config.rms_norm_eps)

    def block(self) -> Block | None:
        inner, mlp = self.self_attn, self.mlp
        return Block(
            *(inner.heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.o_proj, self.input_layernorm),
            *((mlp.gate_proj, mlp.up_proj), mlp.act_fn, mlp.down_proj, self.post_attention_layernorm, inner.attend),
            pre=True,
            gated=True,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.self_attn, self.input_layernorm(rows), step, head_mask)
        rows = rows + context
        return rows + self.mlp(self.post_attention_layernorm(rows)), *weights


def split_joined(rows: Tensor, heads: int, key_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of one projection, each head of keys with its queries: (…, G · (H / G + 2) · d)."""
    groups = rows.unflatten(-1, (key_heads, heads // key_heads + 2, -1))
    return groups[..., :-2, :].flatten(-3), groups[..., -2, :].flatten(-2), groups[..., -1, :].flatten(-2)


class DecoderBody(Decoding, Body):
    """What bodies share: words to rows, all layers, a last norm.

    LAYERS, LAST: what the stack of layers and the norm after it are called.
    """

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.BaseModelOutputWithPast
    UNUSED = ()
    LAYERS: ClassVar[str] = "h"
    LAST: ClassVar[str] = "ln_f"

    def depth(self) -> int:
        """How many layers there are."""
        return len(getattr(self, self.LAYERS))

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Rows from token ids, or from vectors; and of types, where they are given, which are words too."""
        words, given, types = self.get_input_embeddings(), inputs.get("inputs_embeds"), inputs.get("token_type_ids")
        if given is None:
            rows = lookup(words, layout.pack(inputs["input_ids"]), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(given)
        if types is not None:
            types = packed_ids(types, layout, "token_type_ids")
            rows = rows + lookup(words, types, layout, "token_type_ids", "vocab_size")
        return rows

    def positions(self, layout: Layout, inputs: dict[str, Any], device: torch.device) -> Tensor:
        """Those that are given, or else the columns of the rows."""
        given = inputs.get("position_ids")
        return layout.positions(device) if given is None else packed_ids(given, layout, "position_ids")

    def finish(self, rows: Tensor) -> Tensor:
        """What becomes of the last layer's rows."""
        found: Tensor = getattr(self, self.LAST)(rows)
        return found

    def stack(self, rows: Tensor, step: Step, head_masks: Sequence[Tensor | None]) -> BaseModelOutput:
        """Rows through all layers and the last norm."""
        last = self.depth() - 1
        checkpointing = bool(self.gradient_checkpointing) and self.training
        after = lambda i, found: self.finish(found) if i == last else found  # noqa: E731
        return run_layers(getattr(self, self.LAYERS), rows, step, head_masks, checkpointing=checkpointing, after=after)


class DecoderModel(DecoderBody):
    """The model without a head: hidden states (B, T, D), and the cache.

    LAYER, NORM, ROTARY: the classes of its parts.
    """

    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache"),
        *OPTIONS,
    )
    LAYERS, LAST = "layers", "norm"
    LAYER: ClassVar[Any] = DecoderLayer
    NORM: ClassVar[Any] = RMSNorm
    ROTARY: ClassVar[Any] = RotaryEmbedding

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.padding_idx, self.vocab_size = config.pad_token_id, config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.layers = nn.ModuleList(self.LAYER(config, i) for i in range(config.num_hidden_layers))
        self.norm = self.NORM(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = self.ROTARY(config)
        self.gradient_checkpointing = False
        self.post_init()

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        """The turns of every row."""
        return self.rotary_emb(rows, self.positions(layout, inputs, rows.device))


class LMHead(Decoding, heads.CausalLM):
    """Predicts the next token. BIAS: whether scores have one."""

    BIAS: ClassVar[bool] = False
    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.CausalLMOutputWithPast
    KEYWORDS = (*heads.CausalLM.KEYWORDS, *Decoding.KEYWORDS)
    TIED = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(getattr(config, self.WIDTH), config.vocab_size, bias=self.BIAS)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows)


class LastClassifier(Decoding, heads.SequenceClassification):
    """Labels a text by its last token."""

    READS = "last"
    OUTPUT = outputs.SequenceClassifierOutputWithPast
    KEYWORDS = (*heads.SequenceClassification.KEYWORDS, *Decoding.KEYWORDS)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.score = nn.Linear(getattr(config, self.WIDTH), self.num_labels, bias=False)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.score(rows)


class TokenClassifier(Decoding, heads.TokenClassification):
    """Labels every token. SCORE: what the layer is called that does."""

    SCORE: ClassVar[str] = "score"
    KEYWORDS = (*heads.TokenClassification.KEYWORDS, *Decoding.KEYWORDS)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        rates = (getattr(config, key, None) for key in ("classifier_dropout", "hidden_dropout"))
        self.dropout = nn.Dropout(next((rate for rate in rates if rate is not None), 0.1))
        self.add_module(self.SCORE, nn.Linear(config.hidden_size, self.num_labels))
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return getattr(self, self.SCORE)(self.dropout(rows))


class SpanFinder(Decoding, heads.QuestionAnswering):
    """Finds the answer's span."""

    KEYWORDS = (*heads.QuestionAnswering.KEYWORDS, *Decoding.KEYWORDS)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.qa_outputs = nn.Linear(getattr(config, self.WIDTH), 2)
        self.post_init()
