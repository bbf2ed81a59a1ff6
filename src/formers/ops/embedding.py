"""Table look-ups that say which id was out of range. Letters: B batch, T columns, N real tokens, D width."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import InputError, NotTensorError, RangeError
from .checks import batch_shape
from .layout import Layout, is_tracing


def whole_batch(module: nn.Module, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Layout:
    """The layout of a batch for embeddings that are called by hand: every token is there."""
    return Layout(*batch_shape(type(module).__name__, input_ids, inputs_embeds))


def packed_ids(ids: Tensor, layout: Layout, name: str) -> Tensor:
    """Rows of `layout` from what a caller gives as (B, T), or as (T,) or (1, T) for all rows of the batch."""
    if not isinstance(ids, Tensor):
        raise NotTensorError(f"{name} is a {type(ids).__name__}, not a tensor; torch.tensor(…) makes one of a list.")
    if ids.dim() == 1:
        ids = ids[None]
    if ids.dim() != 2 or ids.shape[1] != layout.columns or ids.shape[0] not in (1, layout.batch):
        raise InputError(
            f"{name} has shape {tuple(ids.shape)}, but the batch is ({layout.batch}, {layout.columns}): "
            "give an integer for each token, in the same shape."
        )
    if ids.is_floating_point():
        raise InputError(f"{name} is {ids.dtype}; it should be integers: {name}.long().")
    return layout.pack(ids)


def packed_boxes(
    bbox: Tensor | None, layout: Layout, device: torch.device, limit: int, ordered: bool = False
) -> Tensor:
    """Rows of four numbers from the boxes of tokens, integers (B, T, 4), or (1, T, 4) for all; zeros without boxes.

    A box is (x0, y0, x1, y1) in thousandths of its page, numbers below `limit`; `ordered`: with x0 ≤ x1 and y0 ≤ y1.
    """
    B, T = layout.batch, layout.columns
    if bbox is None:
        return layout.pack(torch.zeros(1, T, 4, dtype=torch.long, device=device))
    if not isinstance(bbox, Tensor):
        raise NotTensorError(f"bbox is a {type(bbox).__name__}, not a tensor; torch.tensor(…) makes one of a list.")
    if tuple(bbox.shape) not in ((B, T, 4), (1, T, 4)) or bbox.is_floating_point():
        raise InputError(
            f"bbox has shape {tuple(bbox.shape)} and type {bbox.dtype}, but the batch is ({B}, {T}): give four "
            f"integers for each token, {(B, T, 4)}: x0, y0, x1, y1 in thousandths of the page, 0 to 1000."
        )
    boxes = layout.pack(bbox)
    if is_tracing() or boxes.device.type == "meta":
        return boxes
    wrong = ((boxes < 0) | (boxes >= limit)).any(-1)
    if ordered:
        wrong = wrong | (boxes[..., 2:] < boxes[..., :2]).any(-1)
    if bool(wrong.any()):
        row = int(wrong.flatten().nonzero()[0])
        text, column = divmod(row if layout.index is None else int(layout.index[row]), T)
        raise RangeError(
            f"bbox[{text}, {column}] is {boxes.reshape(-1, 4)[row].tolist()}: a box is (x0, y0, x1, y1) in thousandths "
            f"of the page, integers from 0 to 1000{', x0 ≤ x1 and y0 ≤ y1' if ordered else ''} (and below "
            f"max_2d_position_embeddings, {limit}). Of pixels: 1000 * x // width, 1000 * y // height."
        )
    return boxes


@torch.no_grad()
def fill_sinusoids(table: Tensor, halves: bool = False) -> None:
    """Write fixed positions into a table (P, D): sines in even columns, cosines in odd ones.

    halves: sines in the first half of the columns, cosines in the second.
    Source: Vaswani et al. 2017 (arXiv 1706.03762).
    """
    positions, width = table.shape
    rates = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * rates  # (P, D / 2)
    both = (angles.sin(), angles.cos())
    table.copy_(torch.cat(both, dim=-1) if halves else torch.stack(both, dim=-1).flatten(-2)[:, :width])


def lookup(
    table: nn.Embedding,
    ids: Tensor,
    layout: Layout,
    name: str,
    limit: str,
    read: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The rows of `table` for integer `ids`, rows of `layout` or broadcast over its batch: (…) to (…, D).

    name: what an error calls the ids; limit: the configuration key that sets the table's size.
    read: how the table is called, where that is not `table(ids)`. A table may have rows before that of id 0: `offset`.
    """
    read = table if read is None else read
    # an index out of range stops a GPU process for good, so there it is looked for beforehand
    if ids.device.type == "cpu":
        try:
            return read(ids)
        except IndexError as e:
            bad = _first_bad(table, ids, layout)
            if bad is None:
                raise
            raise _error(table, ids, layout, name, limit, bad) from e
    if not torch.compiler.is_compiling() and (bad := _first_bad(table, ids, layout)) is not None:
        raise _error(table, ids, layout, name, limit, bad)
    return read(ids)


def _first_bad(table: nn.Embedding, ids: Tensor, layout: Layout) -> int | None:
    """The row whose id is out of range and comes first in the batch."""
    if ids.device.type == "meta":
        return None
    bad = ((ids < -_before(table)) | (ids >= _size(table))).flatten().nonzero().squeeze(1)
    if not len(bad):
        return None
    return int(bad[0 if layout.index is None else layout.index[bad].argmin()])


def _before(table: nn.Embedding) -> int:
    return int(getattr(table, "offset", 0))


def _size(table: nn.Embedding) -> int:
    return table.num_embeddings - _before(table)


def _error(table: nn.Embedding, ids: Tensor, layout: Layout, name: str, limit: str, bad: int) -> RangeError:
    place = bad if layout.index is None else int(layout.index[bad])
    row, column = divmod(place, layout.columns)
    return RangeError(
        f"{name}[{row}, {column}] is {int(ids.flatten()[bad])}, but {limit} is {_size(table)}: "
        f"ids go from 0 to {_size(table) - 1}. "
        + (
            "Shorten the text: tokenizer(…, truncation=True)."
            if name == "position_ids"
            else "Was the text tokenised with another model's tokenizer?"
        )
    )
