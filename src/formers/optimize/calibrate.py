"""Which products of a stack may be of bytes, and what its rows are best divided by, found on a few texts.

Letters: N rows, K inputs, M outputs, D width.

Some columns of a model's rows are many times as large as the rest, and one scale for all numbers then leaves few levels
to the others. So rows are divided, column by column, by what the normalisation before can divide by for nothing, and
the weights multiplied (Xiao et al. 2022, arXiv 2211.10438). Products that still lose too much stay in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .agreement import Agreement, Batch, mask_of
from .int8 import Int8
from .products import Maker
from .stack import Block, Plan, blocks_of

# how much of a column's size goes from the rows to the weights
_STRENGTH = 0.65
_TINY = 1e-5
PARTS = ("qkv", "output", "up", "down")


@dataclass
class Inputs:
    """What the products of a layer read on the sample texts: (N, K) each."""

    qkv: Tensor
    output: Tensor
    up: Tensor
    down: Tensor


def inputs_of(model: Any, layers: nn.ModuleList, batches: Iterable[Batch]) -> list[Inputs]:
    """Run the base model, and keep what the products of each layer read, without padding."""
    blocks = blocks_of(layers)
    read: list[dict[str, list[Tensor]]] = [{part: [] for part in PARTS} for _ in blocks]
    with torch.inference_mode():
        for batch in batches:
            with _listening(blocks, read, mask_of(batch).bool()):
                model.base_model(**batch)
    return [Inputs(**{part: torch.cat(rows) for part, rows in one.items()}) for one in read]


@contextmanager
def _listening(blocks: list[Block], read: list[dict[str, list[Tensor]]], real: Tensor) -> Iterator[None]:
    def keep(rows: list[Tensor]) -> Any:
        return lambda _, given: rows.append(given[0][real].float())

    handles = [
        layer.register_forward_pre_hook(keep(rows[part]))
        for block, rows in zip(blocks, read, strict=True)
        for part, layer in zip(PARTS, (block.query, block.output, block.up, block.down), strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def plans(blocks: list[Block], inputs: list[Inputs]) -> list[Plan]:
    """A plan of bytes alone for each layer."""
    before = [_smoothing(given.qkv, b.query, b.key, b.value) for b, given in zip(blocks, inputs, strict=True)]
    middle = [_smoothing(given.up, b.up) for b, given in zip(blocks, inputs, strict=True)]
    after = [*before[1:], None]
    return [Plan(Int8, Int8, Int8, Int8, *smooth) for smooth in zip(before, middle, after, strict=True)]


def _smoothing(rows: Tensor, *layers: nn.Linear) -> Tensor:
    """(K,) what to divide the columns of `rows` by."""
    weight = torch.cat([layer.weight.detach().float() for layer in layers])
    large, heavy = (x.abs().amax(0).clamp(min=_TINY) for x in (rows, weight))
    return large**_STRENGTH / heavy ** (1 - _STRENGTH)


def harms(
    blocks: list[Block],
    inputs: list[Inputs],
    plans: Sequence[Plan],
    exact: Maker,
    agreement: Callable[[Sequence[Plan]], Agreement],
) -> dict[tuple[int, str], float]:
    """How much each product of bytes changes the model's results: {(layer, part): 1 - cosine}.

    Found for a layer at a time, with the others exact; its products have their shares by what they lose themselves.
    """
    found = {}
    untouched = [replace(plan, qkv=exact, output=exact, up=exact, down=exact) for plan in plans]
    for index, (block, given, plan) in enumerate(zip(blocks, inputs, plans, strict=True)):
        harm = 1 - agreement([*untouched[:index], plan, *untouched[index + 1 :]]).cosine
        lost = {part: loss**2 for part, loss in _losses(block, plan, given).items()}
        found.update({(index, part): harm * loss / sum(lost.values()) for part, loss in lost.items()})
    return found


def _losses(block: Block, plan: Plan, given: Inputs) -> dict[str, float]:
    """Relative error of each product of bytes: of the sum, where its results are added to rows."""
    smooth = {"qkv": plan.before, "up": plan.middle}
    beside = {"output": given.qkv, "down": given.up}
    found = {}
    for part, source in plan.sources(block).items():
        source = replace(source, activation=None)
        rows: Tensor = getattr(given, part)
        if (divided := smooth.get(part)) is not None:
            rows = rows / divided
        exact = F.linear(rows, source.weight, source.bias)
        error = Int8(source)(rows) - exact
        whole = exact + beside[part] if part in beside else exact
        found[part] = float(error.norm() / whole.norm().clamp(min=_TINY))
    return found
