"""Rotary positions: queries and keys are turned by angles that grow with their column.

Source: Su et al. 2021 (arXiv 2104.09864).
Letters: H heads, d width of a head. "rows" are (N, …) or (B, T, …): see layout.py.
"""

from __future__ import annotations

import torch
from torch import Tensor


def angles(positions: Tensor, width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines (…, d) in float32 for positions (…); both halves of the d = `width` numbers turn alike."""
    rates = 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float, device=positions.device) / width))
    turned = positions[..., None].float() * rates
    turned = torch.cat((turned, turned), dim=-1)
    return turned.cos(), turned.sin()


def rotate(rows: Tensor, cosines: Tensor, sines: Tensor, heads: int, pairs: bool = False) -> Tensor:
    """Rows (…, H·d), each head's numbers turned by the angles (…, d) of its row.

    pairs: neighbouring numbers turn together; else each of the first half with its like in the second.
    """
    x = rows.unflatten(-1, (heads, -1)).float()  # (…, H, d)
    if pairs:
        across = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    else:
        first, second = x.chunk(2, dim=-1)
        across = torch.cat((-second, first), dim=-1)
    turned = x * cosines[..., None, :] + across * sines[..., None, :]
    return turned.flatten(-2).to(rows.dtype)
