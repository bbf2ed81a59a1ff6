"""What the modules of a model's body share: a stack of layers run, and modules called by hand.

Inside a pass a module that attends is `module(rows, step, head_mask=None) -> (rows,)`, or `(rows, weights)` where the
step asks for attention weights. People call the same modules by hand, with the arguments that these have in
Transformers: `layer(hidden, mask)`. `by_hand` serves both; `through` calls other people's modules as they expect it.
Letters: B batch, T columns, D width, H heads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .errors import ArgumentError, ConfigError, InputError, NotTensorError, near
from .ops.activations import activation
from .ops.checks import read_mask
from .ops.layout import Layout
from .ops.step import Step
from .optimize import stack_of
from .optimize.guard import hooks_of, watched
from .optimize.linear import replaced
from .outputs import BaseModelOutput, BaseModelOutputWithCrossAttentions, ModelOutput

MASKS = ("attention_mask", "attn_mask", "mask", "causal_attention_mask")  # of several given, all hide
HEAD_MASKS = ("head_mask", "layer_head_mask")
CACHES = ("past_key_value", "past_key_values", "layer_past")
ASKED = ("output_attentions", "output_hidden_states")
# how Transformers 4.20 calls most layers, their attention, and stacks of them
LAYER = ("hidden_states", "attention_mask", "head_mask", "output_attentions")
STACK = (*LAYER, "output_hidden_states", "return_dict")


HeadMasks = Sequence[Tensor | None] | Tensor | None  # one for each layer, broadcastable to (B, H, T, T)


def by_hand(
    *names: str, shared: Callable[[Mapping[str, Any]], Any] | None = None, causal: bool = False
) -> Callable[..., Any]:
    """For a `forward(self, rows, step, head_mask=None)`: let it be called with the reference's arguments too.

    names: these arguments in order, the rows first. They may be given by 5.x's names hidden_states and attention_mask
    too. Among them may be the rows of an encoder, which become the step's memory. A cache is for whole models.
    shared: from all that was given to what the step shares; needed where a family shares something.
    causal: whether no column sees a later one, but where a mask of four dimensions says so.
    """

    def decorate(forward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(forward)
        def either(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if len(args) > 1 and isinstance(args[1], Step):
                return forward(self, *args, **kwargs)
            given = _bound(type(self).__name__, names, args, kwargs)
            return _called(forward, self, names, given, shared, causal)

        kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, (inspect.Parameter.empty, *[None] * (len(names) - 1))
        parameters = [inspect.Parameter(name, kind, default=value) for name, value in zip(names, none, strict=True)]
        either.__signature__ = inspect.Signature([inspect.Parameter("self", kind), *parameters])  # type: ignore[attr-defined]
        return either

    return decorate


def _bound(module: str, names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by their names."""
    if len(args) > len(names):
        raise ArgumentError(f"{module} takes {len(names)} arguments ({', '.join(names)}), got {len(args)}.")
    given = dict(zip(names, args, strict=False))
    mask = next((name for name in names if name in MASKS), "attention_mask")
    newer = {"hidden_states": names[0], "attention_mask": mask}
    for name, value in kwargs.items():
        known = name if name in names else newer.get(name, "")
        if known not in names:
            raise ArgumentError(f"{module} takes no {name!r}.{near(name, names)} It takes {', '.join(names)}.")
        if known in given:
            raise ArgumentError(f"{module} got {known} twice.")
        given[known] = value
    return given


def _called(
    forward: Callable[..., Any],
    module: nn.Module,
    names: Sequence[str],
    given: dict[str, Any],
    shared: Callable[[Mapping[str, Any]], Any] | None,
    causal: bool,
) -> Any:
    rows, kind = given.get(names[0]), type(module).__name__
    if not isinstance(rows, Tensor):
        raise NotTensorError(f"{kind}: {names[0]} is a {type(rows).__name__}, not a tensor.")
    if rows.dim() != 3:
        raise InputError(f"{kind}: {names[0]} has shape {tuple(rows.shape)}; it should be (batch, columns, width).")
    B, T, _ = rows.shape
    masks = [given[name] for name in MASKS if given.get(name) is not None]
    head_mask = next((_of_heads(given[name]) for name in HEAD_MASKS if given.get(name) is not None), None)
    asked: dict[str, Any] = {name: bool(given[name]) for name in ASKED if given.get(name) is not None}
    if (crossing := given.get("cross_attn_layer_head_mask")) is not None:
        asked |= {"crossing": (_of_heads(crossing),), "layer": 0}
    handed = next((value.step for value in given.values() if hasattr(value, "step")), None)
    if handed is not None:  # `Step.extended`, through a module of other people's
        step = replace(handed, **asked)
    else:
        if wrong := next((name for name in CACHES if given.get(name) is not None), None):
            raise InputError(f"{wrong} has no effect here; leave it out. A model as a whole takes past_key_values.")
        layout = Layout(B, T, mask=both_masks(*(read_mask(mask, B, T) for mask in masks)))
        memory = memory_of(kind, given.get("encoder_hidden_states"), given.get("encoder_attention_mask"))
        step = Step(layout, causal, **asked, memory=memory, shared=None if shared is None else shared(given))
    found = forward(module, rows, step, head_mask)
    as_tuple = isinstance(found, ModelOutput) and given.get("return_dict") is False
    return found.to_tuple() if as_tuple else found


def both_masks(*masks: Tensor) -> Tensor | None:
    """What hides what any of the masks does, as `read_mask` returns them; None for no mask."""
    if len(masks) < 2:
        return masks[0] if masks else None
    wide = [mask[:, None, None] if mask.dim() == 2 else mask for mask in masks]
    floating = next((mask for mask in wide if mask.is_floating_point()), None)
    if floating is None:
        return torch.stack(torch.broadcast_tensors(*wide)).all(0)
    least = torch.finfo(floating.dtype).min
    added = [m if m.is_floating_point() else m.new_zeros((), dtype=floating.dtype).where(m, least) for m in wide]
    return torch.stack(torch.broadcast_tensors(*added)).sum(0).clamp(min=least)


def _of_heads(mask: Tensor) -> Tensor:
    """A mask of heads (H,) as what weights are multiplied by, (1, H, 1, 1); one of more dimensions as it is."""
    return mask[None, :, None, None] if isinstance(mask, Tensor) and mask.dim() == 1 else mask


def memory_of(who: str, states: Any, mask: Any) -> tuple[Tensor, Layout] | None:
    """The rows of an encoder (B, K, D) that layers attend to, and their layout; None where there are none.

    mask: its real columns, (B, K), or for each query, as any attention mask.
    """
    if states is None:
        return None
    if not isinstance(states, Tensor) or states.dim() != 3:
        found = tuple(states.shape) if isinstance(states, Tensor) else type(states).__name__
        raise InputError(f"{who}: encoder_hidden_states is {found}; it should be (batch, columns, width).")
    batch, columns, _ = states.shape
    return states, Layout(batch, columns, mask=None if mask is None else read_mask(mask, batch, columns))


def across(layer: nn.Module, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Any, ...]:
    """What a layer's `crossattention` makes of its rows and the step's memory."""
    module = getattr(layer, "crossattention", None)
    if module is None:
        raise InputError(
            f"encoder_hidden_states has no effect here, since a {type(layer).__name__} attends to its own text alone; "
            "leave it out, or set add_cross_attention=True in the configuration."
        )
    return through(module, rows, step, head_mask)


def through(module: nn.Module, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Any, ...]:
    """One module of a pass, whoever wrote it: what it returns, always as a tuple.

    Modules of other people's get (B, T, D), the mask as (B, 1 or H, 1 or T, T) that is added to scores, and the head
    mask, as a layer of Transformers does; `keeps_padding` sees to it that the rows are (B, T, D) then.
    """
    kind: Any = type(module)
    if _takes_step(kind) and "forward" not in vars(module):
        found = module(rows, step, head_mask)
    else:
        found = module(rows, step.extended(rows), head_mask)
    return found if isinstance(found, tuple) else (found,)


@cache
def _takes_step(cls: Any) -> bool:
    return cls.forward.__module__.startswith("formers.")


# modules of torch that compute each row by itself, whatever the dimensions before the last
_BY_ROW = ("linear", "activation", "dropout", "sparse", "container")
_NOT_BY_ROW = (nn.MultiheadAttention, nn.Softmax2d, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)


@cache
def _by_row(cls: Any) -> bool:
    home = cls.__module__
    if issubclass(cls, _NOT_BY_ROW):
        return False
    return (
        home.startswith(
            ("formers.", "peft.tuners.", "peft.utils.")
        )  # an adapter around a layer computes each row by itself
        or home in [f"torch.nn.modules.{name}" for name in _BY_ROW]
        or cls in (nn.LayerNorm, nn.RMSNorm, nn.Identity)
    )


class ColumnConv(nn.Conv1d):
    """A convolution over columns, (B, D, T): for a module of ours, which unpacks its rows for it."""


class PatchConv(nn.Conv2d):
    """A convolution over images, (B, C, H, W): what it makes of them is not packed yet."""


def keeps_padding(modules: Iterable[nn.Module], outermost: nn.Module | None = None) -> bool:
    """Whether some module has to see whole batches, (B, T, D): one with a hook, or one that other people wrote.

    outermost: a model among them that gets and gives whole batches anyway, whatever has been put around its forward,
    as mixed precision is by accelerate."""
    modules = list(modules)
    kinds: set[Any] = {type(m) for m in modules}
    if watched(hooks_of(modules)) or not all(map(_by_row, kinds)):
        return True
    return any(replaced(module) for module in modules if module is not outermost)


def within_range(rows: Tensor) -> Tensor:
    """Rows of float16 within its range; others as they are. Models of these layers were trained with a wider one."""
    if rows.dtype != torch.float16:
        return rows
    most = torch.finfo(torch.float16).max - 1000
    return rows.clamp(min=-most, max=most)


def first_column(x: Tensor) -> Tensor:
    """(B, D) of column 0, from hidden states (B, T, D), or from what is that column already."""
    return x[:, 0] if x.dim() == 3 else x


class SequenceSummary(nn.Module):
    """One vector a text, of the columns that `summary_type` says: first, last, the mean of all, or a given one."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.kind, D = getattr(config, "summary_type", "last"), config.hidden_size
        first, last = (getattr(config, f"summary_{which}_dropout", 0) for which in ("first", "last"))
        act = getattr(config, "summary_activation", None)
        if self.kind not in ("first", "last", "mean", "cls_index"):
            raise ConfigError(f"summary_type={self.kind!r} is unknown; it is first, last, mean or cls_index.")
        to_labels = getattr(config, "summary_proj_to_labels", False) and config.num_labels > 0
        width = config.num_labels if to_labels else D
        self.summary = nn.Linear(D, width) if getattr(config, "summary_use_proj", False) else nn.Identity()
        self.activation = activation(act, "summary_activation") if act else nn.Identity()
        self.first_dropout = nn.Dropout(first) if first else nn.Identity()
        self.last_dropout = nn.Dropout(last) if last else nn.Identity()

    def forward(self, hidden_states: Tensor, cls_index: Tensor | None = None) -> Tensor:
        """(B, T, D), or of "first" what holds column 0, to (B, D). cls_index: (B,) the columns of "cls_index"."""
        if self.kind == "first":
            chosen = first_column(hidden_states)
        elif self.kind == "cls_index" and cls_index is not None:
            chosen = hidden_states[torch.arange(len(hidden_states), device=hidden_states.device), cls_index]
        else:  # without an index it is the last column
            chosen = hidden_states.mean(dim=1) if self.kind == "mean" else hidden_states[:, -1]
        return self.last_dropout(self.activation(self.summary(self.first_dropout(chosen))))


def run_layers(
    layers: nn.ModuleList,
    rows: Tensor,
    step: Step,
    head_masks: HeadMasks = None,
    *,
    checkpointing: bool = False,
    after: Callable[[int, Tensor], Tensor] | None = None,
    uses: Sequence[int] | None = None,
    layerdrop: float = 0.0,
) -> BaseModelOutput:
    """Rows through a stack of layers, each called by `through`.

    after: from a layer's number, from 0, and its rows to what the next one reads.
    uses: the numbers of the layers in the order of their use, where some are used more than once.
    layerdrop: how likely a layer is left out, with its states and weights, as training does for some models. Source:
        Fan et al. 2019 (arXiv 1909.11556).
    Returns the last rows; and, where the step asks for them, all hidden states, the first one included, each (B, T, D),
    and all attention weights, each (B, H, T, T), of each layer in turn.
    """
    derived, stack = stack_of(layers), list(layers) if uses is None else [layers[i] for i in uses]
    masks = [None] * len(stack) if head_masks is None else list(head_masks)
    if len(masks) != len(stack):
        raise InputError(f"head_mask is for {len(masks)} layers, but there are {len(stack)}.")
    # an encoder's layers have no derived form with keys before a text's own
    asked = step.output_attentions or (step.cache is not None and not step.causal)
    asked = asked or any(mask is not None for mask in (*masks, *(step.crossing or ())))
    if derived is not None and not asked and derived.usable(rows, step.layout):
        found = derived(rows, step, uses, after)
        if found is not None:
            return BaseModelOutput(*found)
    states: list[Tensor] = []
    weights: list[Any] = []
    across: list[Tensor] = []  # attention to the step's memory
    for i, (layer, mask) in enumerate(zip(stack, masks, strict=True)):
        if layerdrop and float(torch.rand(())) < layerdrop:
            rows = rows if after is None else after(i, rows)
            continue
        rows = _kept(rows, step, states)
        step = replace(step, layer=i) if step.cache is not None or step.crossing is not None else step
        if checkpointing:
            rows, *more = checkpoint(through, layer, rows, step, mask, use_reentrant=False)
        else:
            rows, *more = through(layer, rows, step, mask)
        rows = rows if after is None else after(i, rows)
        if step.memory is not None and len(more) == 2:
            across.append(more.pop())
        for found in more:
            weights += found if isinstance(found, tuple) else [found]
    rows = _kept(rows, step, states)
    fields: tuple[Any, Any, Any] = (
        rows,
        tuple(states) if step.output_hidden_states else None,
        tuple(weights) if step.output_attentions else None,
    )
    made: Any = BaseModelOutputWithCrossAttentions(*fields, tuple(across)) if across else BaseModelOutput(*fields)
    return made


def _kept(rows: Tensor, step: Step, states: list[Tensor]) -> Tensor:
    """The rows, noted among the hidden states where these are asked for; gradients pass through what is noted."""
    if not step.output_hidden_states:
        return rows
    states.append(step.layout.unpack(rows))
    packed = step.layout.index is not None
    return step.layout.pack(states[-1]) if packed and torch.is_grad_enabled() and rows.requires_grad else rows
