"""Position biases: what is added to attention scores besides query times key.

Letters: B batch, H heads, T columns, d width of a head, P largest number of positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def relative_key(query: Tensor, key: Tensor, table: Tensor, with_key: bool = False) -> Tensor:
    """Learned relative positions on the query side, and with `with_key` on both sides.

    query, key: (B, H, T, d); table: (2P - 1, d), whose row i - j + P - 1 belongs to query column i and key column j.
    Returns (B, H, T, T), scaled by 1/√d as the scores are.
    Source: Shaw et al. 2018 (arXiv 1803.02155); Huang et al. 2020, methods 1 and 4 (arXiv 2009.13658).
    """
    columns = torch.arange(query.shape[2], device=query.device)
    longest = (table.shape[0] + 1) // 2
    distance = table[columns[:, None] - columns[None] + longest - 1]  # (T, T, d)
    bias = torch.einsum("bhid,ijd->bhij", query, distance)
    if with_key:
        bias = bias + torch.einsum("bhjd,ijd->bhij", key, distance)
    return bias / query.shape[-1] ** 0.5
