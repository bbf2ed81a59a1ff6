"""Which products of a stack may be of bytes, and what its rows are best divided by, found on a few texts.

Letters: N rows, K inputs, M outputs, D width.

Some columns of a model's rows are many times as large as the rest, and one scale for all numbers then leaves few levels
to the others. So rows are divided, column by column, by what the normalisation before can divide by for nothing, and
the weights multiplied (Xiao et al. 2022, arXiv 2211.10438). Products that still lose too much stay in bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .agreement import Batch, Results, columns_of, mask_of, senses
from .products import Linear, Maker, matrix
from .stack import Block, FusedBlock, Pass, Plan, blocks_of

# how much of a column's size goes from the rows to the weights
_STRENGTH = 0.65
_TINY = 1e-5
DEEP = 12  # layers


# what those products of a layer read, on the sample texts, whose rows can be divided, by their parts: (N, K) each; a
# decoder by itself reads no encoder's
Inputs = Mapping[str, Tensor]


def inputs_of(base: Any, layers: nn.ModuleList, batches: Iterable[Batch]) -> tuple[list[Inputs], Results]:
    """Run a model without a head: what products of each layer read, without padding, and what the model makes of it."""
    blocks, found = blocks_of(layers), []
    read: list[dict[str, list[Tensor]]] = [{part: [] for part in _readers(block)} for block in blocks]
    for batch in batches:
        masks = [mask.bool() for mask in (mask_of(batch), columns_of(batch)) if mask is not None]
        with _listening(blocks, read, masks, senses(batch)):
            found.append(Results.of(base, [batch]).embeddings)
    inputs: list[Inputs] = [{part: torch.cat(rows) for part, rows in one.items() if rows} for one in read]
    return inputs, Results(torch.cat(found), None, None)


def _readers(block: Block) -> dict[str, Linear]:
    """A layer of those products."""
    found = {"qkv": block.projections[0], "up": block.ups[0]}
    return found if block.cross is None else found | {"cross_query": block.cross.projections[0]}


@contextmanager
def _listening(
    blocks: list[Block], read: list[dict[str, list[Tensor]]], masks: list[Tensor], pictures: bool
) -> Iterator[None]:
    def keep(rows: list[Tensor]) -> Any:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            # some projections read embeddings of distances, too
            if (real := next((mask for mask in masks if given[0].shape[:2] == mask.shape), None)) is not None:
                rows.append(given[0][real].float())
            elif pictures:
                rows.append(given[0].flatten(0, -2).float())

        return hook

    handles = [
        layer.register_forward_pre_hook(keep(rows[part]))
        for block, rows in zip(blocks, read, strict=True)
        for part, layer in _readers(block).items()
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
        before.append(None if whole else _smoothing(given["qkv"], *block.projections))
    middle = [
        None if block.pre and type(block.output_norm) is nn.Identity else _smoothing(given["up"], *block.ups)
        for block, given in zip(blocks, inputs, strict=True)
    ]
    across = [
        _smoothing(given["cross_query"], block.cross.projections[0]) if block.cross and "cross_query" in given else None
        for block, given in zip(blocks, inputs, strict=True)
    ]
    after = [None if block.pre else smooth for block, smooth in zip(blocks, [*before[1:], None], strict=True)]
    return [Plan(make, *smooth, context) for smooth in zip(before, across, middle, after, strict=True)]


def _smoothing(rows: Tensor, *layers: Linear) -> Tensor:
    """(K,) what to divide the columns of `rows` by."""
    weight = torch.cat([matrix(layer).float() for layer in layers])
    large, heavy = (x.abs().amax(0).clamp(min=_TINY) for x in (rows, weight))
    return large**_STRENGTH / heavy ** (1 - _STRENGTH)


def harms(
    fused: Sequence[FusedBlock], exact: Sequence[FusedBlock], passes: Sequence[tuple[Pass, Tensor]]
) -> dict[tuple[int, str], float]:
    """How much each product of bytes changes the model's results: {(layer, part): 1 - cosine}.

    Found for a layer at a time, with the others exact; its products have their shares by how far each of them alone
    changes the layer's own rows. Of deep stacks, in which that would take long, it is the change of these rows itself.
    """
    # there are no passes where the model's own code has to run: then all products count alike
    parts = fused[0].parts
    changed = [_changed(fused, exact, one, rows) for one, rows in passes] or [torch.ones(len(fused), len(parts))]
    means = torch.stack(changed).mean(0).tolist()
    return {(i, part): value for i, values in enumerate(means) for part, value in zip(parts, values, strict=True)}


def _changed(fused: Sequence[FusedBlock], exact: Sequence[FusedBlock], one: Pass, rows: Tensor) -> Tensor:
    """(layers, parts) 1 - cosine of the texts' means, of which each part has its share."""
    states = [one.entering(rows, exact[one.uses[0]])]
    for i, layer in enumerate(one.uses):
        states.append(one.through(i, exact[layer], states[-1]))
    expected = _embeddings(one, states[-1])
    found = []
    for index, block in enumerate(fused):
        start = one.uses.index(index)
        single = [
            one.through(start, exact[index].otherwise(part, block.product(part)), states[start]) for part in block.parts
        ]
        lost = torch.stack([(rows - states[start + 1]).square().sum() for rows in single])
        if len(fused) > DEEP:
            found.append(lost / states[start + 1].square().sum().clamp(min=_TINY**2))
            continue
        rows = states[start]
        for i, layer in enumerate(one.uses[start:], start):
            rows = one.through(i, block if layer == index else exact[layer], rows)
        whole = 1 - F.cosine_similarity(_embeddings(one, rows), expected, dim=-1).mean()
        found.append(whole * lost / lost.sum().clamp(min=_TINY**2))
    return torch.stack(found)


def _embeddings(one: Pass, rows: Tensor) -> Tensor:
    """(B, D) of each text: a multiple of the mean of its rows, since there are zeros at padding."""
    return one.step.layout.unpack(rows.view(one.shape)).sum(1)
