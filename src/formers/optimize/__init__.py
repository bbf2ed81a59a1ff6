"""Faster inference with the same model: derived weights, in the precision that the processor is fast at.

    float32     products fused, exact to rounding
    fp16        weights of products in half precision, everything else in float32
    bf16        products and attention in bfloat16, everything between them in float32
    int8        products of bytes, but for those that lose too much by it; attention and heads in bfloat16

What is derived hangs on a model's stacks of layers and on its other linear layers, beside the weights, which stay as
they are: so do state dict, names and saving. Where it cannot stand in for the model's own code (hooks, attentions
asked for, gradients, training, padding kept, an adapter around a layer) that code runs.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from ..config import longest_text
from ..errors import ArgumentError, InputError, near
from ..logging import logger
from . import calibrate, groups, linear, probe, row_int8, stack
from .agreement import Agreement, Batch, Limits, Results, mask_of
from .guard import hooks_of, watched
from .int8 import NotFinite
from .products import FewRows, Maker, Packed, Plain, Source, matrix
from .row_int8 import RowInt8
from .stack import Block, Cross, Derived, FusedBlock, Plan, Recorder, Stack, blocks_of, stack_of

__all__ = [
    "Agreement",
    "Block",
    "Cross",
    "Limits",
    "Optimized",
    "optimize",
    "optimized",
    "stack_of",
    "take_back",
    "unwatched",
]

Sample = Callable[[], Sequence[Batch]]

# what a mode has to hold to be chosen for a model whose user has named no limits
DEFAULTS = {
    "int8": Limits(cosine=0.999, worst_cosine=0.995, labels_changed=0.003),
    "bf16": Limits(cosine=0.9999, worst_cosine=0.999, labels_changed=0.003),
    "fp16": Limits(cosine=0.99999, worst_cosine=0.9999, labels_changed=0.003),
    "float32": Limits(cosine=0.99999),
}
# what bytes have to hold on the sample, which is small: a little more than on the texts to come
_SAMPLE_LIMITS = Limits(cosine=0.9995, worst_cosine=0.998)
# the same for models that write, whose few rows leave little else to win than bytes that are not read
_WRITING_LIMITS = Limits(cosine=0.999, worst_cosine=0.995)
# how many times the usual harm of a product is too much, whatever the limits: texts to come may be worse
_OUTSTANDING = 3
_ALIASES = {"bfloat16": "bf16", "float16": "fp16", "fp32": "float32"}
# texts that show which product harms most
_TEXTS = 4
# seconds below which nobody waits for a model, and measurements are of other programs
_NOTICEABLE = 0.003
# rows of the passes of a model that writes: a text's next token, some texts', and prompts
_WRITING = (1, 4, 16, 128)
# single layers below this many weights cost as much to prepare for as to compute
_SMALL = 2**16


@dataclass(frozen=True)
class Optimized(Derived):
    """How a model is run.

    Attributes:
        mode: "int8", "bf16", "fp16" or "float32".
        asked: the mode that was asked for; True for the best.
        products: what computes them.
        stacks, linears: how many stacks of layers, and how many other linear layers, have derived weights.
        bytes: of derived weights.
        longer: share of the stacks' products that are of a longer type than the mode's, which would harm most there.
        note: why it is not the mode that was asked for, or what had to be left as it is; "" when all is as asked.
        agreement: with the model as it is; None when that was not looked at.
    """

    mode: str
    asked: str | bool
    products: str
    stacks: int
    linears: int
    bytes: int
    longer: float = 0.0
    note: str = ""
    agreement: Agreement | None = None
    pieces: tuple[weakref.ref[Any], ...] = field(default=(), repr=False, compare=False)
    hooks: tuple[Any, ...] = field(default=(), repr=False, compare=False)


def optimize(
    model: Any,
    mode: str | bool,
    sample: Sample,
    check: Sequence[Batch] | None = None,
    limits: Limits | None = None,
) -> Optimized | None:
    """Derive weights for `model`, which takes back what was derived before.

    mode: "int8", "bf16", "fp16", "float32", or True for the fastest that holds `limits`, or its own defaults.
    sample: makes a few texts to choose by how to compute, when they are needed; random tokens if there are none.
    check: inputs to compare results on; without them, True and limits compare on the sample.

    Returns None, with nothing derived, where True finds no mode that is faster than the model as it is.
    Raises InputError, with nothing derived, when a named mode does not hold `limits`.
    """
    asked = _checked(mode)
    if model.training:
        raise InputError(
            f"{type(model).__name__} is in training mode, which needs the weights as they are. Call model.eval() first."
        )
    take_back(model)
    few = cache(lambda: sample() or _random_batches(model))
    compared, runs = check, model
    if check is None and (asked is True or limits is not None):
        compared, runs = few(), model.base_model  # the sample's texts are single, which some heads do not take
    before = None if compared is None else Results.of(runs, compared)

    def agreement() -> Agreement | None:
        if before is None or compared is None:
            return None
        return before.agreement(Results.of(runs, compared, beside=before))

    reasons: list[str] = []
    try:
        for name in probe.MODES[0 if asked is True else probe.MODES.index(str(asked)) :]:
            found = _attempt(model, name, asked, few, agreement, limits)
            if not isinstance(found, str) and asked is True and (slower := _slower(model, few())):
                found = f"{name} is slower: {slower}."
            if not isinstance(found, str):
                break
            take_back(model)
            reasons += [found] if found else []
        else:
            if asked is not True:
                raise InputError(f"No mode can be taken. {' '.join(reasons)}")
            logger.warning(f"optimize() leaves the model as it is: {' '.join(reasons)}")
            return None
    except BaseException:
        take_back(model)
        raise
    found = replace(found, note=" ".join((*reasons, found.note)).strip())
    if reasons:
        logger.warning(f"optimize({'' if asked is True else repr(asked)}) took {found.mode}: {found.note}")
    vars(model)["_optimized"] = found
    return found


def _attempt(
    model: Any,
    name: str,
    asked: str | bool,
    sample: Sample,
    agreement: Callable[[], Agreement | None],
    limits: Limits | None,
) -> Optimized | str:
    """The model in one mode, or why it is not taken; "" where it is no surprise."""
    device, best, shape = model.device.type, asked is True, _shape(model)
    if not (probe.worthwhile(name, device, shape) if best else probe.makers(name, device)):
        return "" if best else f"{name} is missing on this {device} with torch {torch.__version__}."
    if not best and not probe.worthwhile(name, device, shape):
        own, others = (f"{1000 * value:.3g} ms" for value in probe.seconds(name, device, shape))
        logger.warning(f"optimize({name!r}): a layer's products take {own} here, and {others} in another mode.")
    try:
        found = _derive(model, name, asked, sample, shape)
    except NotFinite:
        return f"{name} has no codes for weights or hidden states that are infinite, or no numbers."
    except OverflowError as error:
        return f"{name}: {error}"
    if best and not probe.worthwhile(name, device, shape, found.longer):
        return f"{name} gains little: {found.note}"
    if (agreed := agreement()) is not None:
        found = replace(found, agreement=agreed)
        if broken := (limits or (DEFAULTS[name] if best else Limits())).broken(agreed):
            reason = f"{name} does not agree well enough with the model: {broken} ({agreed}). {found.note}".strip()
            if best:
                return reason
            raise InputError(reason)
    return found


def _slower(model: Any, sample: Sequence[Batch]) -> str:
    """Where the model as it is has been faster than what is derived: for one text, or for some; "" for neither."""
    texts = {name: value[:_TEXTS] for name, value in sample[0].items()}
    mask = mask_of(texts)
    length = None if mask is None else int(mask[0].sum())  # of the first; what is of a picture stays whole
    of_pictures = ("pixel", "spatial")
    one = {name: value[:1] if name.startswith(of_pictures) else value[:1, :length] for name, value in texts.items()}
    pieces = list(_pieces(model))

    def run(resting: bool, batch: Batch) -> None:
        for piece in pieces:
            piece.resting = resting
        model.base_model(**batch)

    with torch.inference_mode():
        for name, batch in (("one text takes", one), ("some texts take", texts)):
            own, derived = probe.fastest(partial(run, True, batch), partial(run, False, batch), times=3)
            if derived > own > _NOTICEABLE:
                return f"{name} {1000 * derived:.3g} ms instead of {1000 * own:.3g}"
    return ""


def optimized(model: Any) -> Optimized | None:
    """How `model` is run; None when nothing is derived, or when its weights have changed since."""
    found = vars(model).get("_optimized")
    if found is None:
        return None
    pieces = list(_pieces(model))
    if pieces == [piece() for piece in found.pieces] and all(piece.guard.unchanged() for piece in pieces):
        return found
    take_back(model)
    return None


def unwatched(model: Any) -> bool:
    """Whether `model` was optimized and has no hooks, which would see what is left out; quick, for every call."""
    found = vars(model).get("_optimized")
    return found is not None and not watched(found.hooks)


def take_back(model: Any) -> None:
    """Remove all that was derived."""
    for module in model.modules():
        stack.drop(module)
        linear.drop(module)
    if vars(model).pop("_optimized", None) is not None:
        gc.collect()  # derived weights are held in circles, and are large


def _pieces(model: Any) -> Iterator[Any]:
    for module in model.modules():
        if (piece := stack_of(module) or groups.groups_of(module) or linear.linear_of(module)) is not None:
            yield piece


def _checked(mode: str | bool) -> str | bool:
    name = _ALIASES.get(str(mode), mode)
    if name is not True and name not in probe.MODES:
        raise ArgumentError(
            f"optimize({mode!r}) is unknown: it is one of {', '.join(map(repr, probe.MODES))}, True for the best, or "
            f"None for the model as it is.{near(mode, probe.MODES)}"
        )
    return name


def _derive(model: Any, mode: str, asked: str | bool, sample: Sample, shape: probe.Shape) -> Optimized:
    device = model.device.type
    stacks, alone = _parts(model)
    held: dict[int, list[tuple[dict[str, Any], str]]] = {}
    for module in model.modules():
        for place, child in module._modules.items():
            held.setdefault(id(child), []).append((module._modules, place))
    half = next((name for name in ("bf16", "fp16") if probe.worthwhile(name, device, shape)), "float32")
    longer_make, longer, note = probe.preferred(half, device, shape)[1], [0.0], ""
    if not stacks:
        note = "It has no stack of layers that can be fused."
        if any(type(module).__module__.startswith("peft.tuners.") for module in model.modules()):
            note = "Layers with adapters around them run as they are: merge_and_unload() makes them plain ones."
        if mode == "int8" and not shape.alone:
            mode, note = half, f"{note} Products of bytes are for these alone."
    name, make = probe.preferred(mode, device, shape)
    finer, limits = row_int8.finer(make) if shape.alone else None, _SAMPLE_LIMITS
    if finer is not None:
        longer_make, half, limits = finer, "bytes twice as fine", _WRITING_LIMITS
    with torch.no_grad():
        for layers in stacks:
            if mode == "int8":
                exact = lambda source, _: Plain(source, torch.float32)  # noqa: E731
                longer.append(_mixed(model, layers, sample(), (make, longer_make, exact), limits))
            else:
                blocks = blocks_of(layers)
                reads = make is FewRows and all(block.attend is None for block in blocks)  # whole texts, all at once
                own = partial(_packed, torch.float32) if reads else make
                plan = Plan(own, context=probe.attends_in(device))
                vars(layers)["derived"] = Stack(layers, [FusedBlock(block, plan) for block in blocks])
        # what is outside of stacks was not tried on texts; heads that label are sensitive, and small: never of bytes
        other = make if mode != "int8" or (shape.alone and finer is None) else longer_make
        for layer in alone:
            linear.derive(layer, other(Source.of(layer), torch.float32), held.get(id(layer), ()))
        for module in _own(model):
            if (weights := groups.weights_of(module)) is not None:
                vars(module)["derived"] = groups.Groups(module, weights, other, held.get(id(module), ()))
    if max(longer):
        note = f"{max(longer):.0%} of its products are of {half}: bytes would harm most there."
    pieces = list(_pieces(model))
    return Optimized(
        *(mode, asked, name, len(stacks), len(pieces) - len(stacks), sum(piece.bytes for piece in pieces)),
        longer=max(longer),
        note=note,
        pieces=tuple(map(weakref.ref, pieces)),
        hooks=tuple(hooks_of(model.modules())),
    )


def _packed(dtype: torch.dtype, source: Source, _: torch.dtype) -> Packed:
    return Packed(source, dtype)


def _mixed(
    model: Any, layers: nn.ModuleList, sample: Sequence[Batch], makers: tuple[Maker, Maker, Maker], limits: Limits
) -> float:
    """Products of bytes for a stack, but for as many as needed of those that harm most: the share of these.

    makers: of bytes, of what is there in their place, and of the exact type that harm is measured by.
    """
    make, longer, exact = makers
    base, blocks = model.base_model, blocks_of(layers)
    inputs, before = calibrate.inputs_of(base, layers, sample)
    plans = calibrate.plans(blocks, inputs, make, probe.attends_in(str(base.device.type)))
    fused = [FusedBlock(block, plan) for block, plan in zip(blocks, plans, strict=True)]

    def agreement() -> Agreement:
        vars(layers)["derived"] = Stack(layers, list(fused))
        return before.agreement(Results.of(base, sample))

    # with a scale for each row, what is large in one text harms no other
    if _by_row(make) and limits.broken(agreement()) is None:
        return 0.0
    harms = _harms(base, layers, sample, fused, exact)
    worst = sorted(harms, key=harms.__getitem__, reverse=True)
    usual = statistics.median(harms.values())
    kept = sum(harm > _OUTSTANDING * usual for harm in harms.values())
    step = max(1, len(harms) // 12)
    for start, stop in itertools.pairwise([0, *range(kept, len(harms) * 2 // 3 + 1, step)]):
        for index, part in worst[start:stop]:
            fused[index] = fused[index].remade(part, longer)
        kept = stop
        if limits.broken(agreement()) is None:
            break
    return kept / len(harms)


def _by_row(make: Maker) -> bool:
    return isinstance(make, type) and issubclass(make, RowInt8)


def _harms(
    base: Any,
    layers: nn.ModuleList,
    sample: Sequence[Batch],
    fused: Sequence[FusedBlock],
    exact: Maker,
) -> dict[tuple[int, str], float]:
    """How much each product of bytes changes the results: {(layer, part): 1 - cosine}."""
    untouched = [replace(block.plan, make=exact, others={}) for block in fused]
    recorder = Recorder(layers, [FusedBlock(b.block, plan) for b, plan in zip(fused, untouched, strict=True)])
    vars(layers)["derived"] = recorder
    texts = _TEXTS if len(fused) <= calibrate.DEEP else 1 + _TEXTS // 4
    Results.of(base, [{name: value[:texts] for name, value in batch.items()} for batch in sample[:1]])
    with torch.inference_mode():
        return calibrate.harms(fused, recorder.blocks, recorder.passes)


def _parts(model: Any) -> tuple[list[nn.ModuleList], list[nn.Linear]]:
    """Stacks whose layers are blocks, and linear layers outside of them."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList) and blocks_of(module)]
    inside = {id(module) for layers in stacks for module in layers.modules()}
    alone = [m for m in _own(model) if type(m) is nn.Linear and id(m) not in inside and m.weight.numel() >= _SMALL]
    return stacks, alone


def _own(model: nn.Module) -> Iterator[Any]:
    """All modules, but those that an adapter is around: it computes with their weights, and writes into them."""
    if type(model).__module__.startswith("peft.tuners."):
        return
    yield model
    for child in model.children():
        yield from _own(child)


def _shape(model: Any) -> probe.Shape:
    """That of the layers of the model's first stack."""
    writes = hasattr(model, "generate")
    use = {"rows": _WRITING, "alone": True} if writes else {}
    for layers in _parts(model)[0]:
        block = blocks_of(layers)[0]
        return probe.Shape(*matrix(block.down).shape, **use)  # type: ignore[arg-type]
    return probe.Shape(**use)  # type: ignore[arg-type]


def _random_batches(model: Any) -> list[Batch]:
    """Eight texts of random tokens, for want of the user's own."""
    draw = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().num_embeddings
    longest = min(32, longest_text(model.config) or 32)
    batch: Batch = model.whole_batch({"input_ids": torch.randint(size, (8, longest), generator=draw).to(model.device)})
    return [batch]
