"""What decoders share: the cache of a call, and the parts of those that Llama's form fits.

    rows ─┬─ norm ─ query·key·value ─ turns ─ attention ─ output ─(+)─┬─ norm ─ gate · up ─ down ─(+)─▶
          └────────────────────────────────────────────────┘          └────────────────────────┘

A family names these parts as the reference does, and says in a few lines where it differs.
Source: Touvron et al. 2023 (arXiv 2302.13971).
Letters: B batch, T columns, N rows, D width, F width of the feed-forward, H heads, G heads of keys, d width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from . import heads, outputs
from .bodies import Body
from .cache import Cache
from .config import PretrainedConfig
from .errors import ConfigError, InputError
from .layers import by_hand, run_layers, through
from .logging import warn_once
from .modeling import OPTIONS, PACKED, PreTrainedModel
from .ops.activations import activation
from .ops.attention import attention
from .ops.embedding import lookup, packed_ids
from .ops.layout import Layout, is_tracing
from .ops.pieces import pieces_of, pieces_told, places_in, same
from .ops.rope import rotate_both, scaled_rates, turns
from .ops.step import Step
from .optimize import Block
from .outputs import BaseModelOutput

FULL, SLIDING = "full_attention", "sliding_attention"


class Decoding(PreTrainedModel):
    """A model whose columns see no later ones, and that keeps keys and values of earlier passes.

    PARTS_BY_POSITION: whether positions that do not go on by one begin another text, which sees none before it.
    """

    KEYWORDS: ClassVar[tuple[str, ...]] = ("cache_position", *PACKED)  # what the first says follows from the cache
    PARTS_BY_POSITION: ClassVar[bool] = True
    WIDTH: ClassVar[str] = "hidden_size"  # the configuration's key for how wide the rows are that heads read

    def causal(self) -> bool:
        """Always, but for families that have a key to say otherwise."""
        return not own_key(self.config, "use_bidirectional_attention")

    def take_cache(self, inputs: dict[str, Any]) -> Cache | None:
        inputs.pop("cache_position", None)
        if not self.causal() and inputs.get("past_key_values") is not None:
            raise InputError("past_key_values need a model whose tokens see no later ones; leave them out.")
        if any(inputs.get(name) is not None for name in PACKED):
            if inputs.pop("use_cache", None) or inputs.get("past_key_values") is not None:
                raise InputError("Rows of several texts, which cu_seq_lens_q or seq_idx tell of, have no cache.")
            return None
        return super().take_cache(inputs)

    def pieces(self, inputs: dict[str, Any], cache: Cache | None) -> Tensor | None:
        """By what says so itself, or by `position_ids` where there is no mask and no cache, as in the reference."""
        ids = inputs.get("input_ids") if inputs.get("input_ids") is not None else inputs.get("inputs_embeds")
        positions, masked = inputs.get("position_ids"), inputs.get("attention_mask") is not None
        if not isinstance(ids, Tensor) or ids.dim() < 2:
            return None
        shape = (ids.shape[0], ids.shape[1])
        told = pieces_told(inputs, *shape, ids.device)
        if told is not None and masked:
            raise InputError("Rows of several texts have no padding: leave out attention_mask, or cu_seq_lens_q.")
        known = isinstance(positions, Tensor) and tuple(positions.shape) in (shape, (1, shape[1]), shape[1:])
        begins = not masked and (cache is None or not cache.columns)
        if told is None and not (known and begins and self.PARTS_BY_POSITION):
            return None
        found = pieces_of(positions.expand(shape)) if known else None  # type: ignore[union-attr]
        if told is None and found is not None and cache is not None and not is_tracing():
            warn_once(
                "position_ids begin anew within a row, as where it holds several texts. With a cache these see each "
                "other, as in Transformers: give use_cache=False to keep them apart."
            )
        if told is None:
            return found if cache is None else None
        if known:
            return same(told, torch.zeros_like(told) if found is None else found, "position_ids")
        if "position_ids" in self.base_model.SIGNATURE:
            inputs["position_ids"] = places_in(told)
        return told


class RotaryModel(Decoding):
    """What models with and without a head share where they are called as Llama's are."""

    base_model_prefix = "model"
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "labels", "use_cache"),
        *OPTIONS,
    )
    WORDS = "embed_tokens"
    BUFFERS = ("rotary_emb.inv_freq",)


def own_key(config: Any, name: str, default: Any = None) -> Any:
    """The value of a key that the family has; the default where it has none, whatever else a file may say."""
    return getattr(config, name) if name in type(config).keys() else default  # noqa: SIM118


def head_width(config: Any) -> int:
    """d: the key head_dim, which not every family has. Errors: ConfigError for heads that are not a number wide."""
    given: int | None = getattr(config, "head_dim", None)
    width: int = config.hidden_size // config.num_attention_heads if given is None else given
    if width < 1:
        raise ConfigError(
            f"head_dim={given}, hidden_size={config.hidden_size} and num_attention_heads={config.num_attention_heads} "
            f"make a head {width} numbers wide; at least 1 is needed."
        )
    return width


OLDER = ("rope_scaling", "rope_theta", "partial_rotary_factor")  # keys of 4.x


class RopeConfig(PretrainedConfig):
    """Keys of turned queries and keys: 5.x's `rope_parameters`, and 4.x's `rope_theta` and `rope_scaling` for them.

    THETA: the base of the angles. PART: the share of a head's numbers that turn, of families that have it as a key.
    """

    if TYPE_CHECKING:  # annotations would make keys of them
        PART: ClassVar[float | None]
        max_position_embeddings: int
        rope_parameters: dict[str, Any] | None

    THETA = 10_000.0
    PART = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        older = {key: kwargs.pop(key, None) for key in OLDER}
        super().__init__(*args, **kwargs)
        self.complete()
        self.rope_parameters = self.standardized(older)

    def complete(self) -> None:
        """Set the keys that follow from others."""

    def standardized(self, older: Mapping[str, Any]) -> dict[str, Any]:
        """`rope_parameters` with all that they need, from what is given and from 4.x's keys."""
        given = dict(older["rope_scaling"] or getattr(self, "rope_parameters", None) or {})
        given.setdefault("rope_type", given.pop("type", "default"))
        given.setdefault("rope_theta", self.THETA if older["rope_theta"] is None else older["rope_theta"])
        part = self.PART if older["partial_rotary_factor"] is None else older["partial_rotary_factor"]
        if part is not None:
            given.setdefault("partial_rotary_factor", part)
        if given["rope_type"] in ("llama3", "yarn", "longrope"):
            given.setdefault("original_max_position_embeddings", self.max_position_embeddings)
        return given

    @property
    def rope_theta(self) -> float:
        """The base of the angles."""
        return float((self.rope_parameters or {}).get("rope_theta", self.THETA))

    @rope_theta.setter
    def rope_theta(self, value: float) -> None:
        self.rope_parameters = {**(self.rope_parameters or {}), "rope_theta": value}

    @property
    def rope_scaling(self) -> dict[str, Any] | None:
        """How angles are scaled for long texts, as 4.x says it; None where they are not."""
        given = self.rope_parameters or {}
        return None if given.get("rope_type") == "default" else given

    @rope_scaling.setter
    def rope_scaling(self, value: dict[str, Any] | None) -> None:
        theta, self.rope_parameters = self.rope_theta, None
        self.rope_parameters = self.standardized(dict.fromkeys(OLDER) | {"rope_scaling": value, "rope_theta": theta})

    def longest_text(self) -> int | None:
        """No limit: positions are angles. The model was trained on `max_position_embeddings` of them."""
        return None


class RotaryConfig(RopeConfig):
    """The same with keys for how many heads of keys there are, and for what attention each layer has.

    EPS: the key of what keeps norms from dividing by zero.
    """

    if TYPE_CHECKING:
        num_attention_heads: int
        hidden_size: int
        num_hidden_layers: int
        num_key_value_heads: int | None
        layer_types: list[str] | None

    EPS = "rms_norm_eps"

    def complete(self) -> None:
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if own_key(self, "layer_types", ()) is None:
            self.layer_types = [self.layer_type(i) for i in range(self.num_hidden_layers)]

    def layer_type(self, layer: int) -> str:
        """What attention a layer has where `layer_types` does not say."""
        return FULL


class LateWindows(RotaryConfig):
    """With windows in the layers from `max_window_layers` on, where `use_sliding_window` asks for them."""

    if TYPE_CHECKING:
        use_sliding_window: bool
        sliding_window: int | None
        max_window_layers: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.use_sliding_window:
            self.sliding_window = None

    def layer_type(self, layer: int) -> str:
        narrow = self.use_sliding_window and self.sliding_window is not None and layer >= self.max_window_layers
        return SLIDING if narrow else FULL


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

    def root_mean_square(self) -> tuple[Tensor, float]:
        """What the norm multiplies by, (D,), and its eps: for `optimize`."""
        return self.weight, self.variance_epsilon

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.variance_epsilon}"


class RotaryEmbedding(nn.Module):
    """Positions to cosines and sines, (…, d) each."""

    inv_freq: Tensor

    def __init__(self, config: Any, given: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.given, self.longest = given or config.rope_parameters, config.max_position_embeddings
        self.width = int(head_width(config) * self.given.get("partial_rotary_factor", 1.0))
        if self.width % 2:
            raise ConfigError(f"head_dim={head_width(config)}: {self.width} numbers of it turn, which are no pairs.")
        rates, self.attention_scaling = scaled_rates(self.given, self.width, self.longest)
        self.register_buffer("inv_freq", rates, persistent=False)

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        rates, scale = self.inv_freq, self.attention_scaling
        if (rates.is_meta and not position_ids.is_meta) or self.given["rope_type"] in ("dynamic", "longrope"):
            length = int(position_ids.max()) + 1 if position_ids.numel() else None
            rates, scale = scaled_rates(self.given, self.width, self.longest, length)
        return turns(position_ids, rates.to(position_ids.device, torch.float), scale)


class GatedMLP(nn.Module):
    """ACTIVATION: the configuration's key of the activation."""

    ACTIVATION: ClassVar[str] = "hidden_act"

    def __init__(self, config: Any, intermediate_size: int | None = None) -> None:
        super().__init__()
        D, F, bias = (
            config.hidden_size,
            intermediate_size or config.intermediate_size,
            own_key(config, "mlp_bias", False),
        )
        self.gate_proj = nn.Linear(D, F, bias=bias)
        self.up_proj = nn.Linear(D, F, bias=bias)
        self.down_proj = nn.Linear(F, D, bias=bias)
        self.act_fn = activation(getattr(config, self.ACTIVATION), self.ACTIVATION)

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
    causal=True,
)
by_hand_attention = by_hand(
    *("hidden_states", "position_embeddings", "attention_mask", "past_key_values", "output_attentions"),
    shared=given_turns,
    causal=True,
)


class RotaryAttention(nn.Module):
    """Turned queries and keys, of which there may be fewer heads.

    BIAS, OUT_BIAS: whether the projections have biases; None for what the configuration's `attention_bias` says.
    OUTPUT: the name of the last projection.
    """

    BIAS: ClassVar[bool | None] = None
    OUT_BIAS: ClassVar[bool | None] = None
    OUTPUT: ClassVar[str] = "o_proj"

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        d, H, G = head_width(config), config.num_attention_heads, config.num_key_value_heads
        if H % G:
            raise ConfigError(f"num_attention_heads={H} is no multiple of num_key_value_heads={G}.")
        self.layer_idx, self.head_dim, self.heads, self.key_heads = layer_idx, d, H, G
        self.scaling, self.attention_dropout = d**-0.5, config.attention_dropout
        self.softcap: float | None = None
        self.is_causal = not own_key(config, "use_bidirectional_attention")
        self.kernel, self.window = config._attn_implementation, self.sees(config, layer_idx)
        said = own_key(config, "attention_bias", False)
        bias, out_bias = (said if x is None else x for x in (self.BIAS, self.OUT_BIAS))
        self.add_projections(config.hidden_size, bias)
        self.add_module(self.OUTPUT, nn.Linear(H * d, config.hidden_size, bias=out_bias))

    def add_projections(self, width: int, bias: bool) -> None:
        """Make the layers that `project` uses."""
        self.q_proj = nn.Linear(width, self.heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(width, self.key_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(width, self.key_heads * self.head_dim, bias=bias)

    def sees(self, config: Any, layer_idx: int) -> int | None:
        """How many of the nearest keys a query sees; None for all."""
        kinds = own_key(config, "layer_types")
        if kinds is not None and kinds[layer_idx] != SLIDING:
            return None
        window: int | None = own_key(config, "sliding_window")
        return window

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        query, key, value = self.project(rows)
        context, *weights = self.attend(query, key, value, step, head_mask)
        return getattr(self, self.OUTPUT)(context), *weights

    def project(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of rows, H · d and twice G · d numbers a row."""
        return self.q_proj(rows), self.k_proj(rows), self.v_proj(rows)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of H · d and twice G · d to the context."""
        query, key = self.turned(query, key, step)
        return attention(
            *(query, key, value, step),
            heads=self.heads,
            key_heads=self.key_heads,
            causal=step.causal and self.is_causal,
            window=self.window,
            scale=self.scaling,
            softcap=self.softcap,
            dropout=self.attention_dropout if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Queries and keys turned by the angles of their rows; here families have norms of both, too."""
        return rotate_both(query, key, self.turns(step), self.heads, self.key_heads)

    def turns(self, step: Step) -> tuple[Tensor, Tensor]:
        """The cosines and sines of this layer's rows."""
        found: tuple[Tensor, Tensor] = step.shared
        return found


def each_head(norm: nn.Module, rows: Tensor, heads: int, heads_first: bool = False) -> Tensor:
    """Rows (…, H · d), each head through a norm of d numbers.

    heads_first: what hooks of the norm see is (B, H, T, d), as in the reference, instead of (B, T, H, d).
    """
    x = rows.unflatten(-1, (heads, -1))
    found: Tensor = norm(x.transpose(-3, -2)).transpose(-3, -2) if heads_first else norm(x)
    return found.flatten(-2)


class DecoderLayer(nn.Module):
    """rows + attended(attention(read(rows))), and then with `fed` of these added: what families do in other ways.

    ATTENTION, MLP, NORM: the classes of its parts. NORMS: their names.
    """

    ATTENTION: ClassVar[Any] = RotaryAttention
    MLP: ClassVar[Any] = GatedMLP
    NORM: ClassVar[Any] = RMSNorm
    NORMS: ClassVar[tuple[str, ...]] = ("input_layernorm", "post_attention_layernorm")
    mlp: Any
    input_layernorm: Any
    post_attention_layernorm: Any
    post_feedforward_layernorm: Any

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = self.ATTENTION(config, layer_idx)
        self.mlp = self.feed_forward(config, layer_idx)
        for name in self.NORMS:
            self.add_module(name, self.NORM(config.hidden_size, eps=getattr(config, config.EPS)))

    def feed_forward(self, config: Any, layer_idx: int) -> nn.Module:
        """The feed-forward of layer number `layer_idx`."""
        made: nn.Module = self.MLP(config)
        return made

    def block(self) -> Block | None:
        mlp = self.mlp
        own = (DecoderLayer.forward, DecoderLayer.read, DecoderLayer.attended, DecoderLayer.fed)
        kind = type(self)
        if (kind.forward, kind.read, kind.attended, kind.fed) != own or not isinstance(mlp, GatedMLP):
            return None
        return self.gated_block(self.input_layernorm, self.post_attention_layernorm)

    def gated_block(self, attention_norm: nn.Module, output_norm: nn.Module, **more: Any) -> Block:
        """The layer's form, where its feed-forward is gated."""
        inner, mlp = self.self_attn, self.mlp
        return Block(
            heads=inner.heads,
            projections=(inner.q_proj, inner.k_proj, inner.v_proj),
            output=getattr(inner, inner.OUTPUT),
            attention_norm=attention_norm,
            up=(mlp.gate_proj, mlp.up_proj),
            activation=mlp.act_fn,
            down=mlp.down_proj,
            output_norm=output_norm,
            attend=inner.attend,
            pre=True,
            gated=True,
            **more,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.self_attn, self.read(rows), step, head_mask)
        rows = rows + self.attended(context)
        return rows + self.fed(rows, step), *weights

    def read(self, rows: Tensor) -> Tensor:
        """What attention reads."""
        found: Tensor = self.input_layernorm(rows)
        return found

    def attended(self, context: Tensor) -> Tensor:
        """What is added of attention's result."""
        return context

    def fed(self, rows: Tensor, step: Step) -> Tensor:
        """What is added of the feed-forward."""
        found: Tensor = self.mlp(self.post_attention_layernorm(rows))
        return found


def split_joined(rows: Tensor, heads: int, key_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of one projection, each head of keys with its queries: (…, G · (H / G + 2) · d)."""
    groups = rows.unflatten(-1, (key_heads, heads // key_heads + 2, -1))
    return groups[..., :-2, :].flatten(-3), groups[..., -2, :].flatten(-2), groups[..., -1, :].flatten(-2)


class DecoderBody(Decoding, Body):
    """What bodies share: words to rows, all layers, a last norm.

    LAYERS, LAST: what the stack of layers and the norm after it are called. layerdrop: how likely training leaves out a
    layer.
    """

    layerdrop = 0.0

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
        return run_layers(
            *(getattr(self, self.LAYERS), rows, step, head_masks),
            checkpointing=checkpointing,
            after=after,
            layerdrop=self.layerdrop if self.training else 0.0,
        )


class DecoderModel(RotaryModel, DecoderBody):
    """The model without a head: hidden states (B, T, D), and the cache.

    LAYER, NORM, ROTARY, TABLE: the classes of its parts. LAST: the name of the last norm.
    """

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.BaseModelOutputWithPast
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache"),
        *OPTIONS,
    )
    LAYERS, LAST = "layers", "norm"
    LAYER: ClassVar[Any] = DecoderLayer
    NORM: ClassVar[Any] = RMSNorm
    ROTARY: ClassVar[Any] = RotaryEmbedding
    TABLE: ClassVar[Any] = nn.Embedding

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        kinds = own_key(config, "layer_types")
        if kinds is not None and (len(kinds) < config.num_hidden_layers or {*kinds} - {FULL, SLIDING}):
            raise ConfigError(
                f"layer_types={kinds}: {config.num_hidden_layers} of {FULL!r} and {SLIDING!r} are needed."
            )
        self.padding_idx, self.vocab_size = config.pad_token_id, config.vocab_size
        self.embed_tokens = self.TABLE(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.layers = nn.ModuleList(self.LAYER(config, i) for i in range(config.num_hidden_layers))
        self.add_module(self.LAST, self.NORM(config.hidden_size, eps=getattr(config, config.EPS)))
        self.rotary_emb = self.ROTARY(config)
        self.gradient_checkpointing = False
        self.post_init()

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        """The turns of every row."""
        return self.rotary_emb(rows, self.positions(layout, inputs, rows.device))


class LMHead(Decoding, heads.CausalLM):
    """Predicts the next token. SCORES: what the layer is called that scores. BIAS: whether its scores have one."""

    SCORES: ClassVar[str] = "lm_head"
    BIAS: ClassVar[bool] = False
    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.CausalLMOutputWithPast
    KEYWORDS = (*heads.CausalLM.KEYWORDS, *Decoding.KEYWORDS)
    TIED = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.vocab_size = config.vocab_size
        self.add_module(self.SCORES, nn.Linear(getattr(config, self.WIDTH), config.vocab_size, bias=self.BIAS))
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        found: Tensor = getattr(self, self.SCORES)(rows)
        return found


class LastClassifier(Decoding, heads.SequenceClassification):
    """Labels a text by its last token."""

    READS = "last"
    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.SequenceClassifierOutputWithPast
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


class RotarySpanFinder(RotaryModel, SpanFinder):
    """The same, called as Llama's is."""

    base_model_prefix = "transformer"
    SIGNATURE = tuple(name for name in RotaryModel.SIGNATURE if name != "use_cache")
