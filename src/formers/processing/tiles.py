"""Images as tiles: how large an image is made, how it is cut, and the tiles of several texts as one array.

(H, W) ─ longest_edge ─▶ ─ whole_tiles ─▶ multiples of a tile's edge ─ tiles_of ─▶ rows · columns tiles
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import InputError
from .transforms import Array, pad, pixel_mask, size_of

_LARGEST = 4096  # pixels an edge, whatever the settings say


def longest_edge(own: tuple[int, int], edge: int) -> tuple[int, int]:
    """The height and width whose longest edge is `edge`, the other one an even number of pixels."""
    height, width = own
    aspect = width / height
    if width >= height:
        width, height = edge, int(edge / aspect)
        height += height % 2
    else:
        height, width = edge, int(edge * aspect)
        width += width % 2
    height, width = max(height, 1), max(width, 1)
    aspect = width / height
    if width >= height and width > _LARGEST:
        return max(int(_LARGEST / aspect), 1), _LARGEST
    if height > width and height > _LARGEST:
        return _LARGEST, max(int(_LARGEST * aspect), 1)
    return height, width


def whole_tiles(own: tuple[int, int], edge: int) -> tuple[int, int]:
    """The next larger height and width that are multiples of a tile's edge."""
    height, width = own
    aspect = width / height
    if width >= height:
        width = math.ceil(width / edge) * edge
        return math.ceil(int(width / aspect) / edge) * edge, width
    height = math.ceil(height / edge) * edge
    return height, math.ceil(int(height * aspect) / edge) * edge


def tiles_of(array: Array, edge: int) -> list[Array]:
    """The squares of an array (C, rows · edge, columns · edge), row by row."""
    rows, columns = array.shape[1] // edge, array.shape[2] // edge
    return [
        array[:, edge * row : edge * (row + 1), edge * column : edge * (column + 1)]
        for row in range(rows)
        for column in range(columns)
    ]


def padded_tiles(tiles: list[list[Array]]) -> dict[str, Any]:
    """The tiles of each text as one array (texts, most tiles, C, H, W), zeros where there are none, and which pixels
    are theirs. Errors: InputError where no text has any."""
    every = [tile for group in tiles for tile in group]
    if not every:
        raise InputError("There are no images: all the lists are empty.")
    size = max(tile.shape[1] for tile in every), max(tile.shape[2] for tile in every)
    shape = (len(tiles), max(map(len, tiles)))
    values = np.zeros((*shape, every[0].shape[0], *size), np.float32)
    masks = np.zeros((*shape, *size), np.int64)
    for row, group in enumerate(tiles):
        for column, (tile, full) in enumerate(zip(group, pad(group, size) if group else [], strict=True)):
            values[row, column], masks[row, column] = full, pixel_mask(size_of(tile), size)
    return {"pixel_values": values, "pixel_attention_mask": masks}
