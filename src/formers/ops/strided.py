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
    def of(cls, convolution: nn.Conv1d, norm: nn.GroupNorm | None = None, wave: Tensor | None = None) -> Strided:
        """That of a module, which is of one group and without dilation.

        norm, wave: the norm of each channel that follows, and the samples (S,) that the channels are made of: what is
        linear has the mean and the deviation that follow from those of the windows u that it reads,

            mean(w · u) = w · mean(u)        var(w · u) = wᵀ · cov(u) · w

        so that the norm becomes part of weight and bias."""
        kernel, stride = convolution.kernel_size[0], convolution.stride[0]
        weight = convolution.weight.permute(2, 1, 0).reshape(-1, convolution.weight.shape[0])
        if norm is None or wave is None:
            return cls(weight, convolution.bias, kernel, stride)
        windows = wave.unfold(0, kernel, stride).double()  # (N, K)
        mean, exact = windows.mean(0), weight.double()
        windows = windows - mean
        spread = windows.T @ windows / len(windows)  # (K, K)
        scale = norm.weight / ((spread @ exact * exact).sum(0).clamp(min=0) + norm.eps).sqrt()
        bias = norm.bias - scale * (mean @ exact)
        return cls((exact * scale).to(weight.dtype), bias.to(weight.dtype), kernel, stride)

    def reads(self, results: int) -> int:
        """How many rows so many results are made of."""
        return (results - 1) * self.stride + self.kernel

    def __call__(self, rows: Tensor) -> Tensor:
        """(T, C), contiguous, to (N, O)."""
        (T, C), step = rows.shape, self.stride * rows.shape[1]
        N = (T - self.kernel) // self.stride + 1
        made, most = None, self.stride if C > 1 else self.kernel  # windows of single numbers are small: copied
        for first in range(0, self.kernel, most):  # rows that no other result begins with
            last = min(first + most, self.kernel)
            read = rows.as_strided((N, (last - first) * C), (step, 1), rows.storage_offset() + first * C)
            weight = self.weight[first * C : last * C]
            if made is not None:
                made.addmm_(read, weight)
            else:
                made = read @ weight if self.bias is None else torch.addmm(self.bias, read, weight)
        assert made is not None  # a kernel has columns
        return made
