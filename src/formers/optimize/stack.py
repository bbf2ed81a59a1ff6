"""A model's stack of layers computed from derived weights, with as few operators as possible.

Letters: B batch, T columns, N rows, D width, F width of the feed-forward, H heads, d width of a head.

    rows ─┬─ query·key·value ─ attention ─ output ─(+)─ norm ─┬─ up ─ activation ─ down ─(+)─ norm ─▶
          └─────────────────────────────────────────┘          └──────────────────────────┘

or, with `pre`, with the norms at the start of both branches, and maybe others at their ends.

The rows between products are float32; only what goes into a product, or through attention, is of a shorter type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..logging import logger
from ..ops.attention import by_spans
from ..ops.conv1d import Conv1D
from ..ops.layout import Layout, is_tracing
from . import row_int8
from .guard import Guard
from .int8 import CodedFeedForward, Int8, NotFinite
from .products import FeedForward, Linear, Maker, Product, Source, TwoProducts, matrix

if TYPE_CHECKING:
    from ..ops.step import Step

# from queries, keys and values, rows of H·d, to the context, in a tuple; further arguments are a family's own
Attend = Callable[..., tuple[Tensor, ...]]
# from a layer's number and its rows to what the next layer reads
After = Callable[[int, Tensor], Tensor]

# texts that are short enough, and enough of them, for products of all heads at once to be faster
_SHORT, _MANY = 128, 4
PARTS = ("qkv", "output", "up", "down")  # the products of a layer
CROSS = ("cross_query", "cross_keys", "cross_output")  # and of its attention to an encoder's rows
_LARGE = 60.0  # scores whose exponentials, and sums of these, are neither zero nor infinite


@dataclass(frozen=True)
class Cross:
    """A layer's attention to the rows of an encoder, which comes between the two branches and has a norm as they do.

    projections: what makes queries of the layer's rows, and keys and values of the encoder's.
    attend: from queries, keys, values, the step, None and the layout of keys to the context, in a tuple.
    """

    heads: int
    projections: tuple[Linear, Linear, Linear]
    output: Linear
    norm: nn.Module
    attend: Attend


@dataclass(frozen=True)
class Block:
    """The parts of a layer of the form above, as a family's layer names them in its `block()`.

    Attributes:
        projections: what makes queries, keys and values, in this order: three layers, or one for all.
        attend: the family's attention, where it is more than softmax(query · keyᵀ / √d) · value.
        reads_rows: whether it is also given what queries are made of.
        pre: whether the norms are at the start of the branches, instead of after their sums.
        up: one layer, or two side by side.
        gated: whether `up` gives, after what the activation reads, as many numbers that the result is multiplied by.
        repeats: whether the layer is used again after itself, or after another one that is.
        split: from what one projection for all makes to queries, keys and values; thirds if left out.
        after: norms of what attention and the feed-forward add, with `pre`.
        scale: what both are multiplied by before they are added, with `pre`: a number, or for each of them (D,).
        parallel: whether the feed-forward reads the same rows as attention, with `pre`.
        cross: attention to an encoder's rows, if there is one.
    """

    heads: int
    projections: tuple[Linear, ...]
    output: Linear
    attention_norm: nn.Module
    up: Linear | tuple[Linear, ...]
    activation: nn.Module
    down: Linear
    output_norm: nn.Module
    attend: Attend | None = None
    pre: bool = False
    gated: bool = False
    repeats: bool = False
    split: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    after: tuple[nn.Module | None, nn.Module | None] = (None, None)
    scale: float | tuple[Tensor, Tensor] = 1.0
    parallel: bool = False
    cross: Cross | None = None
    reads_rows: bool = False

    def standard(self) -> bool:
        """Whether the parts are torch's own: an adapter around a linear layer, say, does more than a product."""
        across = () if self.cross is None else (*self.cross.projections, self.cross.output)
        linears = (*self.projections, self.output, *self.ups, self.down, *across)
        norms = (nn.LayerNorm, nn.Identity) if self.pre else (nn.LayerNorm,)
        last = [norm for norm in self.after if norm is not None]
        last += [] if self.cross is None else [self.cross.norm]
        return all(type(x).forward in (nn.Linear.forward, Conv1D.forward) for x in linears) and all(
            type(x) in norms or hasattr(x, "root_mean_square") for x in (self.attention_norm, self.output_norm, *last)
        )

    @property
    def ups(self) -> tuple[Linear, ...]:
        """The layers of `up`."""
        return self.up if isinstance(self.up, tuple) else (self.up,)

    @property
    def widths(self) -> list[int]:
        """Of queries, keys and values."""
        if len(self.projections) == 1:
            return [len(matrix(self.projections[0])) // 3] * 3
        return [len(matrix(layer)) for layer in self.projections]


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
        make: how to make its products. others: the same for some of them.
        before, across, middle, after: (D,) what its rows have been divided by when they come in, where they ask an
            encoder's, where they enter the feed-forward, and when they leave; None for nothing. The weights that read
            them are multiplied by the same. Where norms come first it is what they give that is divided, and rows are
            as they are.
        context: the type that attention is computed in; a family's own, which may add to scores, is in float32.
    """

    make: Maker
    before: Tensor | None = None
    across: Tensor | None = None
    middle: Tensor | None = None
    after: Tensor | None = None
    context: torch.dtype = torch.bfloat16
    others: Mapping[str, Maker] = field(default_factory=dict)

    def product(self, part: str, block: Block, dtype: torch.dtype) -> Product:
        """A product of `block`, whose results are wanted in a type."""
        return self.maker(part)(self.source(part, block), dtype)

    def maker(self, part: str) -> Maker:
        """How to make one of the products."""
        return self.others.get(part, self.make)

    def source(self, part: str, block: Block) -> Source:
        """What a product of `block` is made from."""
        if block.cross is not None and part in CROSS:
            query, *of_memory = block.cross.projections
            if part == "cross_query":
                return Source.of(query, smooth=self.across)
            return Source.of(*of_memory) if part == "cross_keys" else Source.of(block.cross.output)
        if part == "qkv":
            return Source.of(*block.projections, smooth=self.before)
        if part == "up":
            return Source.of(*block.ups, activation=None if block.gated else block.activation, smooth=self.middle)
        first = part == "output"
        scale = block.scale if isinstance(block.scale, float) else block.scale[0 if first else 1].detach()
        return Source.of(block.output if first else block.down, scale=scale)

    def otherwise(self, part: str, make: Maker) -> Plan:
        """The plan with one product made in another way."""
        return replace(self, others={**self.others, part: make})


class Norm:
    """A normalisation in float32, of rows divided by `smooth`; or nothing at all.

    One by the root of the mean square has the method `root_mean_square`, which gives its weight (D,) and its eps.
    """

    def __init__(self, norm: nn.Module, smooth: Tensor | None) -> None:
        self.shape: tuple[int, ...] = ()
        self.centred = isinstance(norm, nn.LayerNorm)
        if isinstance(norm, nn.LayerNorm):
            self.shape, self.eps = norm.normalized_shape, norm.eps
            given: tuple[Tensor | None, Tensor | None] = (norm.weight, norm.bias)
        elif callable(scale := getattr(norm, "root_mean_square", None)):
            weight, eps = scale()
            # √(mean(x²) + eps) is hypot(|x|, √(D · eps)) / √D
            self.floor = torch.tensor((len(weight) * eps) ** 0.5, device=weight.device)
            self.shape, given = weight.shape, (weight * len(weight) ** 0.5, None)
        else:
            return
        made = (None if x is None else x.detach().float() for x in given)
        self.weight, self.bias = (x if smooth is None or x is None else x / smooth for x in made)

    def __call__(self, x: Tensor) -> Tensor:
        if self.centred or not self.shape:
            return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps) if self.shape else x
        assert self.weight is not None  # such a norm has one
        return (x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self.floor)).mul_(self.weight)


def feed_forward(plan: Plan, up: Source, down: Source, gate: nn.Module | None = None) -> TwoProducts:
    """Both products of a feed-forward; those of bytes hand on what is between them in their own way."""
    first, second = plan.maker("up"), plan.maker("down")
    if first is second is Int8 and gate is None and up.fused()[0] == "gelu":
        return CodedFeedForward(up, down)
    if first is second and isinstance(first, type) and issubclass(first, row_int8.RowInt8):
        return row_int8.feed_forward(first, up, down, gate)
    return FeedForward(first(up, torch.bfloat16), second(down, torch.float32), gate)


class FusedBlock:
    """One layer."""

    def __init__(self, block: Block, plan: Plan) -> None:
        self.block, self.plan = block, plan
        self.between = plan.context if block.attend is None else torch.float32
        self.qkv = plan.product("qkv", block, self.between)
        self.output = plan.product("output", block, torch.float32)
        gate, cross = block.activation if block.gated else None, block.cross
        after_attention = plan.middle if cross is None else plan.across
        self.attention_norm = Norm(block.attention_norm, plan.before if block.pre else after_attention)
        self.feed_forward = feed_forward(plan, plan.source("up", block), plan.source("down", block), gate)
        self.output_norm = Norm(block.output_norm, plan.middle if block.pre else plan.after)
        self.after = [None if norm is None else Norm(norm, None) for norm in block.after]
        self.parts: tuple[str, ...] = PARTS
        if cross is not None:
            self.parts += CROSS
            self.cross_query, self.cross_keys, self.cross_output = (
                plan.product(part, block, torch.float32) for part in CROSS
            )
            self.cross_norm = Norm(cross.norm, plan.across if block.pre else plan.middle)

    @property
    def bytes(self) -> int:
        return sum(self.product(part).bytes for part in self.parts)

    def product(self, part: str) -> Product:
        """One of `parts`."""
        found: Product = getattr(self.feed_forward if part in ("up", "down") else self, part)
        return found

    def otherwise(self, part: str, product: Product) -> FusedBlock:
        """The layer with another product in the place of one."""
        found = copy(self)
        if part not in ("up", "down"):
            setattr(found, part, product)
        else:
            products = {"up": self.feed_forward.up, "down": self.feed_forward.down, part: product}
            gate = self.block.activation if self.block.gated else None
            found.feed_forward = FeedForward(products["up"], products["down"], gate)
        return found

    def remade(self, part: str, make: Maker) -> FusedBlock:
        """The layer with one product made in another way."""
        dtype = {"qkv": self.between, "up": torch.bfloat16}.get(part, torch.float32)
        found = self.otherwise(part, make(self.plan.source(part, self.block), dtype))
        found.plan = self.plan.otherwise(part, make)
        vars(found).pop("_query_alone", None)
        return found

    @cached_property
    def _query_alone(self) -> tuple[Product, Product]:
        make, smooth, (query, key, value) = self.plan.maker("qkv"), self.plan.before, self.block.projections
        return (
            make(Source.of(query, smooth=smooth), self.between),
            make(Source.of(key, value, smooth=smooth), self.between),
        )

    def __call__(self, rows: Tensor, step: Step) -> Tensor:
        """Rows (N, D) to rows."""
        read = self.attention_norm(rows) if self.block.pre else rows
        made = self.qkv(read)
        query, key, value = made.split(self.block.widths, dim=1) if self.block.split is None else self.block.split(made)
        if self.block.attend is None:
            return self._after(attend(query, key, value, step.layout, self.block.heads), rows, step)
        shape = (-1,) if step.layout.index is not None else (step.layout.batch, step.layout.columns)
        query, key, value = (x.float().reshape(*shape, x.shape[1]) for x in (query, key, value))
        if self.block.reads_rows:
            read = read if self.plan.before is None else read * self.plan.before
            context = self.block.attend(query, key, value, step, read.reshape(*shape, read.shape[1]))[0]
        else:
            context = self.block.attend(query, key, value, step)[0]
        return self._after(context.flatten(0, -2), rows, step)

    def _across(self, rows: Tensor, step: Step) -> Tensor:
        """The rows after attention to those of an encoder, where the layer has it."""
        cross, plan, layout = self.block.cross, self.plan, step.layout
        if cross is None:
            return rows
        if step.memory is None:  # a decoder by itself
            if not self.block.pre:
                rows = rows if plan.across is None else rows * plan.across
                rows = rows if plan.middle is None else rows / plan.middle
            return rows

        def keys(memory: Tensor) -> tuple[Tensor, Tensor]:
            made = self.cross_keys(memory.reshape(-1, memory.shape[-1])).float()
            key, value = made.view(*memory.shape[:-1], made.shape[-1]).chunk(2, dim=-1)
            return key, value

        (key, value), memory = step.crossed(keys, cross.heads)
        query = self.cross_query(self.cross_norm(rows) if self.block.pre else rows).float()
        shape = (-1,) if layout.index is not None else (layout.batch, layout.columns)
        context = cross.attend(query.view(*shape, query.shape[1]), key, value, step, None, memory)[0]
        added = self.cross_output(context.flatten(0, -2))
        return _plus(added, rows, None) if self.block.pre else self.cross_norm(_plus(added, rows, plan.across))

    @property
    def has_first(self) -> bool:
        """Whether column 0 can be computed alone."""
        return self.block.attend is None and self.block.cross is None and len(self.block.projections) == 3

    def first(self, rows: Tensor, layout: Layout) -> Tensor:
        """Rows (N, D) to those of column 0 alone, (B, D): for the last layer, where nobody reads the others."""
        query, key_value = self._query_alone
        first = torch.cat([rows[span.start : span.start + span.texts * span.new : span.new] for span in layout.spans])
        asks, asked = (self.attention_norm(x) if self.block.pre else x for x in (first, rows))
        key, value = key_value(asked).chunk(2, dim=1)
        return self._after(attend(query(asks), key, value, layout, self.block.heads, first=True), first, None)

    def _after(self, context: Tensor, rows: Tensor, step: Step | None) -> Tensor:
        """What follows attention. step: for attention to an encoder; None for column 0 alone, which has none."""
        if self.block.pre:
            attended, fed = self.after
            added = self.output(context)
            whole = _plus(added if attended is None else attended(added.float()), rows, None)
            whole = whole if step is None else self._across(whole, step)
            added = self.feed_forward(self.output_norm(rows if self.block.parallel else whole))
            return _plus(added if fed is None else fed(added.float()), whole, None)
        rows = self.attention_norm(_plus(self.output(context), rows, self.plan.before))
        rows = rows if step is None else self._across(rows, step)
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
        self.resting = False  # while the model's own code is timed beside it
        self._said = False

    @property
    def bytes(self) -> int:
        return sum(block.bytes for block in self.blocks)

    def usable(self, rows: Tensor, layout: Layout) -> bool:
        """Whether it may stand in for the layers now. It takes itself away when their weights have changed."""
        if is_tracing() or self.resting:
            return False
        if not self.guard.unchanged():
            drop(self.layers)
            logger.warning("The weights have changed since optimize(): back to the model itself. Call it again.")
            return False
        if not layout.spans or not rows.numel() or not self.guard.free():
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
        self, rows: Tensor, step: Step, uses: Sequence[int] | None = None, after: After | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...] | None] | None:
        """As `run_layers`: rows of the layout to the last rows, and all hidden states (B, T, D) where asked for.

        uses: the numbers of the layers in the order of their use, where some are used more than once.
        Where the layout says that only the first column is read, the last rows may be those alone: (B, D) or (B, 1, D).
        None where rows hold infinite numbers, or none, which the model's own code keeps to the texts that have them.
        """
        uses = range(len(self.blocks)) if uses is None else uses
        try:
            return self.run(Pass(rows.shape, rows.dtype, step, tuple(uses), after), rows)
        except NotFinite:
            return None

    def run(self, one: Pass, rows: Tensor) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """All of one pass."""
        layout, states = one.step.layout, [rows]
        blocks = [self.blocks[i] for i in one.uses]
        rows = one.entering(rows, blocks[0])
        alone = layout.only_first and not one.step.output_hidden_states and one.after is None and blocks[-1].has_first
        for i, block in enumerate(blocks[:-1] if alone else blocks):
            rows = one.through(i, block, rows)
            if one.step.output_hidden_states:
                states.append(one.whole(rows, block))
        if alone:
            first = layout.in_order(blocks[-1].first(rows, layout)).to(one.dtype)
            return (first if len(one.shape) == 2 else first[:, None]), None
        found = tuple(map(layout.unpack, states)) if one.step.output_hidden_states else None
        return rows.view(one.shape).to(one.dtype), found


@dataclass(frozen=True)
class Pass:
    """One pass through a stack: the shape and type of its rows outside, the numbers of its layers in order of use, and
    what is done after each of them."""

    shape: torch.Size
    dtype: torch.dtype
    step: Step
    uses: tuple[int, ...]
    after: After | None = None

    def entering(self, rows: Tensor, first: FusedBlock) -> Tensor:
        """(N, D) in float32, as the first block reads them."""
        rows, smooth = rows.float().reshape(-1, self.shape[-1]), first.plan.before
        return rows if smooth is None or first.block.pre else rows / smooth

    def through(self, i: int, block: FusedBlock, rows: Tensor) -> Tensor:
        """Rows (N, D) through the block that is used as number i."""
        rows = block(rows, self.step if self.step.cache is None else replace(self.step, layer=i))
        if self.after is not None:
            rows = self.after(i, self.whole(rows, block)).float().reshape(-1, self.shape[-1])
            rows = rows if block.plan.after is None else rows / block.plan.after
        return rows

    def whole(self, rows: Tensor, block: FusedBlock) -> Tensor:
        """Rows as the layer itself would give them."""
        rows = rows if block.plan.after is None else rows * block.plan.after
        return rows.view(self.shape).to(self.dtype)


class Recorder(Stack):
    """A stack that remembers its passes, and the rows that they began with."""

    def __init__(self, layers: nn.ModuleList, blocks: Sequence[FusedBlock]) -> None:
        super().__init__(layers, blocks)
        self.passes: list[tuple[Pass, Tensor]] = []

    def run(self, one: Pass, rows: Tensor) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        self.passes.append((one, rows))
        return super().run(one, rows)


def drop(layers: nn.Module) -> None:
    """Take a stack's derived state away."""
    vars(layers).pop("derived", None)


def stack_of(layers: Any) -> Stack | None:
    """The derived state that hangs on `layers`, if any."""
    found = getattr(layers, "__dict__", {}).get("derived")
    return found if isinstance(found, Stack) else None
