"""A model's stack of layers computed from derived weights, with as few operators as possible.

Letters: B batch, T columns, N rows, D width, F width of the feed-forward, H heads, d width of a head.

    rows ─┬─ query·key·value ─ attention ─ output ─(+)─ norm ─┬─ up ─ activation ─ down ─(+)─ norm ─▶
          └─────────────────────────────────────────┘          └──────────────────────────┘

The rows between products are float32; only what goes into a product, or through attention, is of a shorter type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..logging import logger
from ..ops.attention import by_spans
from ..ops.layout import Layout, is_tracing
from .guard import Guard
from .int8 import NotFinite, feed_forward
from .products import Maker, Product, Source

# texts that are short enough, and enough of them, for products of all heads at once to be faster
_SHORT, _MANY = 128, 4
_LARGE = 60.0  # scores whose exponentials, and sums of these, are neither zero nor infinite


@dataclass(frozen=True)
class Block:
    """The parts of a layer of the form above, as a family's layer names them in its `block()`."""

    heads: int
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    attention_norm: nn.LayerNorm
    up: nn.Linear
    activation: nn.Module
    down: nn.Linear
    output_norm: nn.LayerNorm

    def standard(self) -> bool:
        """Whether the parts are torch's own: an adapter around a linear layer, say, does more than a product."""
        linears = (self.query, self.key, self.value, self.output, self.up, self.down)
        norms = (self.attention_norm, self.output_norm)
        return all(type(x) is nn.Linear for x in linears) and all(type(x) is nn.LayerNorm for x in norms)


def block_of(layer: nn.Module) -> Block | None:
    """What `layer` declares itself to be; None when it does not, or when code from elsewhere is part of it."""
    declare = getattr(layer, "block", None)
    ours = all(type(m).__module__.startswith(("formers.", "torch.nn.")) for m in layer.modules())
    block = declare() if declare is not None and ours else None
    return block if isinstance(block, Block) and block.standard() else None


def blocks_of(layers: nn.ModuleList) -> list[Block]:
    """The layers as blocks; [] when some are none."""
    blocks = [block_of(layer) for layer in layers]
    return [block for block in blocks if block is not None] if None not in blocks else []


class Derived:
    """State made from a model's weights: not saved with it, not copied with it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


@dataclass(frozen=True)
class Plan:
    """How a layer is computed.

    Attributes:
        qkv, output, up, down: how to make its products.
        before, middle, after: (D,) what its rows have been divided by when they come in, where they enter the
            feed-forward, and when they leave; None for nothing. The weights that read them are multiplied by the same.
    """

    qkv: Maker
    output: Maker
    up: Maker
    down: Maker
    before: Tensor | None = None
    middle: Tensor | None = None
    after: Tensor | None = None

    def sources(self, block: Block) -> dict[str, Source]:
        """What each product of `block` is made from."""
        return {
            "qkv": Source.of(block.query, block.key, block.value, smooth=self.before),
            "output": Source.of(block.output),
            "up": Source.of(block.up, activation=block.activation, smooth=self.middle),
            "down": Source.of(block.down),
        }

    def otherwise(self, part: str, make: Maker) -> Plan:
        """The plan with one product made in another way."""
        return replace(self, **{part: make})  # type: ignore[arg-type]


class Norm:
    """A layer normalisation in float32, of rows divided by `smooth`."""

    def __init__(self, norm: nn.LayerNorm, smooth: Tensor | None) -> None:
        self.shape, self.eps = norm.normalized_shape, norm.eps
        made = (None if x is None else x.detach().float() for x in (norm.weight, norm.bias))
        self.weight, self.bias = (x if smooth is None or x is None else x / smooth for x in made)

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class FusedBlock:
    """One layer."""

    def __init__(self, block: Block, plan: Plan) -> None:
        self.block, self.plan = block, plan
        sources = plan.sources(block)
        self.qkv = plan.qkv(sources["qkv"], torch.bfloat16)
        self.output = plan.output(sources["output"], torch.float32)
        self.attention_norm = Norm(block.attention_norm, plan.middle)
        self.feed_forward = feed_forward(plan.up, sources["up"], plan.down, sources["down"])
        self.output_norm = Norm(block.output_norm, plan.after)
        self.bytes = self.qkv.bytes + self.output.bytes + self.feed_forward.bytes

    @cached_property
    def _query_alone(self) -> tuple[Product, Product]:
        block, make, smooth = self.block, self.plan.qkv, self.plan.before
        return (
            make(Source.of(block.query, smooth=smooth), torch.bfloat16),
            make(Source.of(block.key, block.value, smooth=smooth), torch.bfloat16),
        )

    def __call__(self, rows: Tensor, layout: Layout) -> Tensor:
        """Rows (N, D) to rows."""
        query, key, value = self.qkv(rows).chunk(3, dim=1)
        return self._after(attend(query, key, value, layout, self.block.heads), rows)

    def first(self, rows: Tensor, layout: Layout) -> Tensor:
        """Rows (N, D) to those of column 0 alone, (B, D): for the last layer, where nobody reads the others."""
        query, key_value = self._query_alone
        first = torch.cat([rows[span.start : span.start + span.texts * span.new : span.new] for span in layout.spans])
        key, value = key_value(rows).chunk(2, dim=1)
        return self._after(attend(query(first), key, value, layout, self.block.heads, first=True), first)

    def _after(self, context: Tensor, rows: Tensor) -> Tensor:
        rows = self.attention_norm(_plus(self.output(context), rows, self.plan.before))
        return self.output_norm(_plus(self.feed_forward(rows), rows, self.plan.middle))


def _plus(y: Tensor, rows: Tensor, smooth: Tensor | None) -> Tensor:
    """y + rows · smooth, written into `y`, which nobody else has."""
    return y.float().add_(rows) if smooth is None else y.float().addcmul_(rows, smooth)


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: int, first: bool = False) -> Tensor:
    """softmax(query · keyᵀ / √d) · value, (N, H·d), over each text alone.

    With `first`, `query` has only column 0 of each text, in the order of the layout's spans: (B, H·d).
    """
    return by_spans(_attention, query, key, value, layout, heads, first=first)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    context = _short(q, k, v) if _is_short(q, k) else None
    return F.scaled_dot_product_attention(q, k, v) if context is None else context


def _is_short(q: Tensor, k: Tensor) -> bool:
    """Whether torch's kernel, which takes one head of one text at a time, would be busy with that above all."""
    return q.device.type == "cpu" and q.dtype == torch.bfloat16 and k.shape[2] <= _SHORT and q.shape[0] >= _MANY


def _short(q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
    """Attention (B, H, T, d) as products of all texts and heads at once; None where scores are too large for it.

    Exponentials are taken of the scores as they are, and divided by their sums after the last product.
    """
    B, H, T, d = q.shape
    q, k, v = (x.reshape(B * H, -1, d) for x in (q, k, v))
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(d**-0.5)
    least, greatest = scores.aminmax()
    if not (least.item() > -_LARGE and greatest.item() < _LARGE):
        return None
    scores.exp_()
    return torch.bmm(scores, v).div_(scores.sum(-1, keepdim=True)).view(B, H, T, d)


class Stack(Derived):
    """All layers of a stack, which it hangs on as the attribute `derived`."""

    def __init__(self, layers: nn.ModuleList, blocks: Sequence[FusedBlock]) -> None:
        self.layers, self.blocks = layers, blocks
        self.guard = Guard(layers.modules())
        self._said = False

    @property
    def bytes(self) -> int:
        return sum(block.bytes for block in self.blocks)

    def usable(self, rows: Tensor, layout: Layout) -> bool:
        """Whether it may stand in for the layers now. It takes itself away when their weights have changed."""
        if is_tracing():
            return False
        if not self.guard.unchanged():
            drop(self.layers)
            logger.warning("The weights have changed since optimize(): back to the model itself. Call it again.")
            return False
        if layout.mask is not None or not rows.numel() or not self.guard.free():
            return False
        if self.guard.learns(rows):
            if not self._said:
                self._said = True
                logger.warning(
                    "optimize() is without effect while gradients are recorded. Use `with torch.inference_mode():`."
                )
            return False
        return True

    def __call__(
        self, rows: Tensor, layout: Layout, output_hidden_states: bool
    ) -> tuple[Tensor, tuple[Tensor, ...] | None] | None:
        """As `run_layers`: rows of `layout` to the last rows, and all hidden states (B, T, D) where asked for.

        Where the layout says that only the first column is read, the last rows are those alone: (B, D) or (B, 1, D).
        None where rows hold infinite numbers, or none, which the model's own code keeps to the texts that have them.
        """
        try:
            return self._run(rows, layout, output_hidden_states)
        except NotFinite:
            return None

    def _run(
        self, rows: Tensor, layout: Layout, output_hidden_states: bool
    ) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        dtype, shape = rows.dtype, rows.shape
        states = [rows]
        rows = rows.float().reshape(-1, shape[-1])
        if (smooth := self.blocks[0].plan.before) is not None:
            rows = rows / smooth
        only_first = layout.only_first and not output_hidden_states
        for block in self.blocks[:-1] if only_first else self.blocks:
            rows = block(rows, layout)
            if output_hidden_states:
                whole = rows if block.plan.after is None else rows * block.plan.after
                states.append(whole.view(shape).to(dtype))
        if only_first:
            first = layout.in_order(self.blocks[-1].first(rows, layout)).to(dtype)
            return (first if len(shape) == 2 else first[:, None]), None
        return rows.view(shape).to(dtype), tuple(map(layout.unpack, states)) if output_hidden_states else None


def drop(layers: nn.Module) -> None:
    """Take a stack's derived state away."""
    vars(layers).pop("derived", None)


def stack_of(layers: Any) -> Stack | None:
    """The derived state that hangs on `layers`, if any."""
    found = getattr(layers, "__dict__", {}).get("derived")
    return found if isinstance(found, Stack) else None
