"""Which products of a stack may be of bytes, and what its rows are best divided by, found on a few texts.

Letters: N rows, K inputs, M outputs, D width.

Some columns of a model's rows are many times as large as the rest, and one scale for all numbers then leaves few levels
to the others. So rows are divided, column by column, by what the normalisation before can divide by for nothing, and
the weights multiplied (Xiao et al. 2022, arXiv 2211.10438). Products that still lose too much stay in bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .agreement import Batch, mask_of
from .products import Maker
from .stack import Block, FusedBlock, Pass, Plan, blocks_of

# how much of a column's size goes from the rows to the weights
_STRENGTH = 0.65
_TINY = 1e-5
_ROWS = 128  # that losses are found on
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
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            if given[0].shape[:2] == real.shape:  # some projections read embeddings of distances, too
                rows.append(given[0][real].float())

        return hook

    handles = [
        layer.register_forward_pre_hook(keep(rows[part]))
        for block, rows in zip(blocks, read, strict=True)
        for part, layer in zip(PARTS, (block.projections[0], block.output, block.up, block.down), strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def plans(blocks: list[Block], inputs: list[Inputs], make: Maker, context: torch.dtype) -> list[Plan]:
    """A plan of bytes alone, as `make` makes them, for each layer."""
    before: list[Tensor | None] = []
    for block, given in zip(blocks, inputs, strict=True):
        # rows that come in from more than one layer cannot be divided by either, nor without a norm
        whole = block.repeats or (block.pre and type(block.attention_norm) is nn.Identity)
        before.append(None if whole else _smoothing(given.qkv, *block.projections))
    middle = [_smoothing(given.up, b.up) for b, given in zip(blocks, inputs, strict=True)]
    after = [None if block.pre else smooth for block, smooth in zip(blocks, [*before[1:], None], strict=True)]
    return [Plan(make, make, make, make, *smooth, context) for smooth in zip(before, middle, after, strict=True)]


def _smoothing(rows: Tensor, *layers: nn.Linear) -> Tensor:
    """(K,) what to divide the columns of `rows` by."""
    weight = torch.cat([layer.weight.detach().float() for layer in layers])
    large, heavy = (x.abs().amax(0).clamp(min=_TINY) for x in (rows, weight))
    return large**_STRENGTH / heavy ** (1 - _STRENGTH)


def harms(
    fused: Sequence[FusedBlock],
    inputs: list[Inputs],
    exact: Sequence[FusedBlock],
    passes: Sequence[tuple[Pass, Tensor]],
) -> dict[tuple[int, str], float]:
    """How much each product of bytes changes the model's results: {(layer, part): 1 - cosine}.

    Found for a layer at a time, with the others exact; its products have their shares by what they lose themselves.
    """
    found = {}
    # there are no passes where the model's own code has to run: then all layers count alike
    changed = [_changed(fused, exact, one, rows) for one, rows in passes] or [torch.ones(len(fused))]
    changes = torch.stack(changed).mean(0).tolist()
    for index, (block, given) in enumerate(zip(fused, inputs, strict=True)):
        lost = {part: loss**2 for part, loss in _losses(block, given).items()}
        found.update({(index, part): changes[index] * loss / sum(lost.values()) for part, loss in lost.items()})
    return found


def _changed(fused: Sequence[FusedBlock], exact: Sequence[FusedBlock], one: Pass, rows: Tensor) -> Tensor:
    """(layers,) 1 - cosine of the texts' means, when one layer is of bytes and the others exact."""
    states = [one.entering(rows, exact[one.uses[0]])]
    for i, layer in enumerate(one.uses):
        states.append(one.through(i, exact[layer], states[-1]))
    expected = _embeddings(one, states[-1])
    found = []
    for index, block in enumerate(fused):
        start = one.uses.index(index)
        rows = states[start]
        for i, layer in enumerate(one.uses[start:], start):
            rows = one.through(i, block if layer == index else exact[layer], rows)
        found.append(1 - F.cosine_similarity(_embeddings(one, rows), expected, dim=-1).mean())
    return torch.stack(found)


def _embeddings(one: Pass, rows: Tensor) -> Tensor:
    """(B, D) of each text: a multiple of the mean of its rows, since there are zeros at padding."""
    return one.step.layout.unpack(rows.view(one.shape)).sum(1)


def _losses(fused: FusedBlock, given: Inputs) -> dict[str, float]:
    """Relative error of each product of bytes: of the sum, where its results are added to rows."""
    block, plan, feed_forward = fused.block, fused.plan, fused.feed_forward
    smooth = {"qkv": plan.before, "up": plan.middle}
    beside = {} if block.pre else {"output": given.qkv, "down": given.up}
    products = {"qkv": fused.qkv, "output": fused.output, "up": feed_forward.up, "down": feed_forward.down}
    found = {}
    for part, source in plan.sources(block).items():
        rows: Tensor = getattr(given, part)[:_ROWS]
        if (divided := smooth.get(part)) is not None:
            rows = rows / divided
        exact = F.linear(rows, source.weight, source.bias)
        exact = exact if source.activation is None else source.activation(exact)
        error = products[part](rows) - exact
        whole = exact + beside[part][:_ROWS] if part in beside else exact
        found[part] = float(error.norm() / whole.norm().clamp(min=_TINY))
    return found
