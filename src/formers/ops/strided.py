"""Convolutions with strides as products of matrices, for rows that lie one after the other.

    kernel 3, stride 2      rows   a b c d e f g
                            result [a b|c] [c d|e] [e f|g]     (pairs side by side are one product, the rest another)

Letters: T rows of C numbers, N results of O numbers, K kernel, s stride.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Strided(NamedTuple):
    """A convolution without padding, as what it multiplies rows with: `weight` (K · C, O), `bias` (O,) or None."""

    weight: Tensor
    bias: Tensor | None
    kernel: int
    stride: int

    @classmethod
    def of(cls, convolution: nn.Conv1d) -> Strided:
        """That of a module, which is of one group and without dilation."""
        weight = convolution.weight
        made = weight.permute(2, 1, 0).reshape(-1, weight.shape[0])
        return cls(made, convolution.bias, convolution.kernel_size[0], convolution.stride[0])

    def reads(self, results: int) -> int:
        """How many rows so many results are made of."""
        return (results - 1) * self.stride + self.kernel

    def __call__(self, rows: Tensor) -> Tensor:
        """(T, C), contiguous, to (N, O)."""
        (T, C), step = rows.shape, self.stride * rows.shape[1]
        N = (T - self.kernel) // self.stride + 1
        made = None
        for first in range(0, self.kernel, self.stride):  # as many rows at once as no other result begins with
            last = min(first + self.stride, self.kernel)
            read = rows.as_strided((N, (last - first) * C), (step, 1), rows.storage_offset() + first * C)
            weight = self.weight[first * C : last * C]
            if made is not None:
                made.addmm_(read, weight)
            else:
                made = read @ weight if self.bias is None else torch.addmm(self.bias, read, weight)
        assert made is not None  # a kernel has columns
        return made
