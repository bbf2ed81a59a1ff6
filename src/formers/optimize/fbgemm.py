"""FBGEMM's products, and QNNPACK's on ARM: of bytes, and of weights in half precision.

Letters: N rows, K inputs, M outputs.

Bytes: weights have a scale for each output, and rows one each, so that what is computed of a text does not depend on
the texts beside it. Source: Khudia et al. 2021 (arXiv 2101.05615).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.activations import GELUActivation, NewGELUActivation
from .products import FeedForward, Source

_TINY = 1e-30
# the least number that an activation gives
_LEAST: dict[type[nn.Module], float] = {
    GELUActivation: -0.17,
    NewGELUActivation: -0.1701,
    nn.ReLU: 0.0,
    nn.SiLU: -0.2785,
}
_ROWS = 128  # of a feed-forward at once: what is between its products stays near the processor


class RowInt8:
    """A product of bytes; rows come out in float32.

    least: the least number that may come in, where it is known: its codes are then all above it.
    """

    def __init__(self, source: Source, dtype: torch.dtype = torch.float32, least: float | None = None) -> None:
        scales = source.weight.abs().amax(1).clamp(min=_TINY).double() / 127  # (M,)
        codes = _codes(source.weight, scales)
        self.weight = torch.ops.quantized.linear_prepack(codes, None)
        self.bytes, self.activation, self.least = source.weight.numel(), source.activation, least
        self.bias = torch.zeros(len(scales)) if source.bias is None else source.bias
        if least is not None:  # what the weights make of a row of `least`
            self.bias = self.bias + least * codes.dequantize().sum(1)
        positive, halved = 127 if least is None else 255, 2 if saturates() else 1
        self.scale, self.zero = 1 / (positive // halved), (128 // halved if least is None else 0)
        self.run = _product()

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        if self.least is None:
            span = x.abs().amax(1, keepdim=True).clamp_(min=_TINY)  # (N, 1)
            x = x / span
        else:
            span = x.amax(1, keepdim=True).sub_(self.least).clamp_(min=_TINY)
            x = x.sub(self.least).div_(span)
        y = self.run(x, self.scale, self.zero, self.weight)
        torch.addcmul(self.bias, y, span, out=y)
        return y if self.activation is None else self.activation(y)


def feed_forward(up: Source, down: Source, gate: nn.Module | None = None) -> FeedForward:
    """Two products of bytes with an activation, or a gate, between them."""
    least = None if gate is not None or up.activation is None else _LEAST.get(type(up.activation))
    return FeedForward(RowInt8(up), RowInt8(down, least=least), gate, _ROWS * torch.get_num_threads())


class Half:
    """A product of float32 rows with a weight in half precision, half as much to read; rows come out in float32."""

    def __init__(self, source: Source, dtype: torch.dtype = torch.float32) -> None:
        if not source.weight.abs().max() < torch.finfo(torch.float16).max:
            raise OverflowError("some weights are too large for half precision.")
        self.weight = torch.ops.quantized.linear_prepack_fp16(source.weight, source.bias)
        self.activation, self.bytes = source.activation, 2 * source.weight.numel()

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.quantized.linear_dynamic_fp16.default(x.float(), self.weight)
        return y if self.activation is None else self.activation(y)


def _codes(weight: Tensor, scales: Tensor) -> Tensor:
    """A weight (M, K) as signed bytes, with a scale (M,) for each output."""
    with warnings.catch_warnings():  # torch announces that the operator will go, which is no user's concern
        warnings.simplefilter("ignore")
        return torch.quantize_per_channel(weight, scales, torch.zeros_like(scales).long(), 0, torch.qint8)


def _product() -> Callable[[Tensor, float, int, Any], Tensor]:
    """x (N, K), of which no number is above 1, its scale and zero, and a packed weight, to (N, M) in float32."""
    if torch.backends.quantized.engine == "qnnpack":  # which finds scale and zero itself
        dynamic = torch.ops.quantized.linear_dynamic.default
        return lambda x, scale, zero, weight: dynamic(x, weight)
    found: Any = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
    return found


@cache
def saturates() -> bool:
    """Whether the sum of two products can be too large for its 16 bits, as on x86 without VNNI: rows get 7 bits."""
    x, weight = torch.ones(4, 64), torch.ones(32, 64)
    packed = torch.ops.quantized.linear_prepack(_codes(weight, torch.full((32,), 1 / 127, dtype=torch.float64)), None)
    return bool((_product()(x, 1 / 255, 0, packed) < 60).any())
