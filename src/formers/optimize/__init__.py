"""Faster inference with the same model: derived weights, in the precision that the processor is fast at.

    float32     products fused, exact to rounding
    bf16        products and attention in bfloat16, everything between them in float32
    int8        products of bytes, attention in bfloat16; heads in bfloat16

What is derived hangs on a model's stacks of layers and on its other linear layers, beside the weights, which stay as
they are: so do state dict, names and saving. Where it cannot stand in for the model's own code (hooks, attentions
asked for, gradients, training, padding kept, an adapter around a layer) that code runs.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..errors import ArgumentError, InputError, near
from ..logging import logger
from . import linear, probe, stack
from .agreement import Agreement, Batch, Limits, Results
from .products import Int8, Maker, Source
from .stack import Block, Derived, FusedBlock, Stack, stack_of

__all__ = ["Agreement", "Block", "Limits", "Optimized", "optimize", "optimized", "stack_of", "take_back"]

# what a mode has to hold to be chosen for a model whose user has named no limits
DEFAULTS = {
    "int8": Limits(cosine=0.999, worst_cosine=0.995, labels_changed=0.003),
    "bf16": Limits(cosine=0.9999, worst_cosine=0.999, labels_changed=0.003),
    "float32": Limits(cosine=0.99999),
}
_ALIASES = {"bfloat16": "bf16", "fp32": "float32"}
# single layers below this many weights cost as much to prepare for as to compute
_SMALL = 2**16


@dataclass(frozen=True)
class Optimized(Derived):
    """How a model is run.

    Attributes:
        mode: "int8", "bf16" or "float32".
        asked: the mode that was asked for; True for the best.
        products: what computes them.
        stacks, linears: how many stacks of layers, and how many other linear layers, have derived weights.
        bytes: of derived weights.
        note: why it is not the mode that was asked for, or what had to be left as it is; "" when all is as asked.
        agreement: with the model as it is; None when that was not looked at.
    """

    mode: str
    asked: str | bool
    products: str
    stacks: int
    linears: int
    bytes: int
    note: str = ""
    agreement: Agreement | None = None


def optimize(
    model: Any, mode: str | bool, batches: Iterable[Batch] | None = None, limits: Limits | None = None
) -> Optimized:
    """Derive weights for `model`, which takes back what was derived before.

    mode: "int8", "bf16", "float32", or True for the fastest that holds `limits`, or its own defaults.
    batches: inputs to compare results on; without them, True compares on random tokens, and a named mode not at all.

    Raises InputError, with nothing derived, when a named mode does not hold `limits`.
    """
    asked = _checked(mode)
    if model.training:
        raise InputError(
            f"{type(model).__name__} is in training mode, which uses the weights as they are: model.eval()."
        )
    take_back(model)
    device = model.device.type
    sample = list(batches) if batches is not None else _random_batches(model) if asked is True else None
    before = Results.of(model, sample) if sample is not None else None
    reasons: list[str] = []
    for name in probe.MODES[0 if asked is True else probe.MODES.index(str(asked)) :]:
        if not (probe.worthwhile(name, device) if asked is True else probe.makers(name, device)):
            reasons += () if asked is True else (f"{name} is missing on this {device} with torch {torch.__version__}.",)
            continue
        found = _derive(model, name, asked)
        if before is not None and sample is not None:
            found = replace(found, agreement=before.agreement(Results.of(model, sample, beside=before)))
            wanted = limits or (DEFAULTS[name] if asked is True else Limits())
            if (broken := wanted.broken(found.agreement)) is not None:  # type: ignore[arg-type]
                take_back(model)
                if asked is not True:
                    raise InputError(f"{name} does not agree well enough with the model: {broken}. ({found.agreement})")
                reasons.append(f"{name} does not agree well enough: {broken}.")
                continue
        found = replace(found, note=" ".join((*reasons, found.note)).strip())
        break
    else:
        raise InputError(f"No mode agrees well enough with the model. {' '.join(reasons)}")
    if found.note:
        logger.warning(f"optimize({'' if asked is True else repr(asked)}) took {found.mode}: {found.note}")
    vars(model)["_optimized"] = found
    return found


def optimized(model: Any) -> Optimized | None:
    """How `model` is run; None when nothing is derived, or when its weights have changed since."""
    found = vars(model).get("_optimized")
    if found is None:
        return None
    guards = [piece.guard for piece in _pieces(model)]
    if len(guards) == found.stacks + found.linears and all(guard.unchanged() for guard in guards):
        return found
    take_back(model)
    return None


def take_back(model: Any) -> None:
    """Remove all that was derived."""
    for module in model.modules():
        stack.drop(module)
        linear.drop(module)
    if vars(model).pop("_optimized", None) is not None:
        gc.collect()  # derived weights are held in circles, and are large


def _pieces(model: Any) -> Iterator[Any]:
    for module in model.modules():
        if (piece := stack_of(module) or linear.linear_of(module)) is not None:
            yield piece


def _checked(mode: str | bool) -> str | bool:
    name = _ALIASES.get(str(mode), mode)
    if name is not True and name not in probe.MODES:
        raise ArgumentError(
            f"optimize({mode!r}) is unknown: it is one of {', '.join(map(repr, probe.MODES))}, True for the best, or "
            f"None for the model as it is.{near(mode, probe.MODES)}"
        )
    return name


def _derive(model: Any, mode: str, asked: str | bool) -> Optimized:
    device = model.device.type
    name, make = next(iter(probe.makers(mode, device).items()))
    stacks, alone = _parts(model)
    with torch.inference_mode(), torch.no_grad():
        for layers in stacks:
            vars(layers)["derived"] = Stack(layers, lambda block: FusedBlock(block, make))
        alone_make = _maker_alone(make, device)
        for layer in alone if alone_make else ():
            linear.derive(layer, alone_make(Source.of(layer)))  # type: ignore[misc]
    pieces = list(_pieces(model))
    note = "" if stacks else "It has no stack of layers that can be fused."
    return Optimized(
        *(mode, asked, name, len(stacks), len(pieces) - len(stacks), sum(piece.bytes for piece in pieces), note)
    )


def _parts(model: Any) -> tuple[list[nn.ModuleList], list[nn.Linear]]:
    """Stacks whose layers are blocks, and linear layers outside of them."""
    stacks = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) and all(map(stack.block_of, module))
    ]
    inside = {id(module) for layers in stacks for module in layers.modules()}
    alone = [m for m in model.modules() if type(m) is nn.Linear and id(m) not in inside and m.weight.numel() >= _SMALL]
    return stacks, alone


def _maker_alone(make: Maker, device: str) -> Maker | None:
    """How to make products outside of stacks: heads are small, and sensitive, so never of bytes."""
    if make is not Int8:
        return make
    return next(iter(probe.makers("bf16", device).values()), None) if probe.worthwhile("bf16", device) else None


def _random_batches(model: Any) -> list[Batch]:
    """Eight texts of random tokens, for want of the user's own."""
    draw = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().num_embeddings
    longest = min(32, getattr(model.config, "max_position_embeddings", 32))
    return [{"input_ids": torch.randint(size, (8, longest), generator=draw).to(model.device)}]
