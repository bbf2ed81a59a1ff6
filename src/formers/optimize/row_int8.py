"""Products of bytes with a scale for each row, by FBGEMM (QNNPACK on ARM) or oneDNN.

Letters: N rows, K inputs, M outputs.

Weights have a scale for each output, and rows one each, so that what is computed of a text does not depend on the texts
beside it, and one large number takes levels from its own row alone. Source: Khudia et al. 2021 (arXiv 2101.05615).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.activations import GELUActivation, NewGELUActivation
from .int8 import Codes
from .products import FeedForward, Source

# x (N, K), of which no number is above 1, its scale and its zero, to (N, M) in float32
Run = Callable[[Tensor, float, int], Tensor]

_TINY = 1e-30
# the least number that an activation gives
_LEAST: dict[type[nn.Module], float] = {
    GELUActivation: -0.17,
    NewGELUActivation: -0.1701,
    nn.ReLU: 0.0,
    nn.SiLU: -0.2785,
}
_ROWS = 128  # of a feed-forward at once, for each thread: what is between its products stays near the processor


def direct(operator: Any) -> Any:
    """An operator without what torch looks for in its arguments at each call, which few rows take no longer than."""
    return getattr(operator, "_op", operator)


class RowInt8:
    """A product of bytes; rows come out in float32.

    least: the least number that may come in, where it is known: its codes are then all above it.
    """

    def __init__(self, source: Source, dtype: torch.dtype = torch.float32, least: float | None = None) -> None:
        # weights, which are the more even, do with half the levels where there are too few bits for all
        levels = 63 if saturates(self.prepared) else 127
        scales = source.weight.abs().amax(1).clamp(min=_TINY) / levels  # (M,)
        self.run = self.prepared(source.weight, scales)
        self.bytes, self.activation, self.least = source.weight.numel(), source.activation, least
        self.bias = source.bias
        if least is not None:  # what the weights make of a row of `least`
            of_least = least * scales * (source.weight / scales[:, None]).round().sum(1)
            self.bias = of_least if source.bias is None else source.bias + of_least
        self.scale, self.zero = (1 / 127, 128) if least is None else (1 / 255, 0)

    @staticmethod
    def prepared(weight: Tensor, scales: Tensor) -> Run:
        """The product with a weight (M, K), which has these scales (M,)."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        if self.least is None:
            span = x.abs().amax(1, keepdim=True).clamp_(min=_TINY)  # (N, 1)
            x = x / span
        else:
            span = x.amax(1, keepdim=True).sub_(self.least).clamp_(min=_TINY)
            x = x.sub(self.least).div_(span)
        y = self.run(x, self.scale, self.zero)
        y = y.mul_(span) if self.bias is None else torch.addcmul(self.bias, y, span, out=y)
        return y if self.activation is None else self.activation(y)


class FbgemmRows(RowInt8):
    """By FBGEMM, or the engine that torch's build has in its place."""

    @staticmethod
    def prepared(weight: Tensor, scales: Tensor) -> Run:
        with warnings.catch_warnings():  # torch announces that the operator will go, which is no user's concern
            warnings.simplefilter("ignore")
            zeros = torch.zeros_like(scales, dtype=torch.long)
            codes = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(codes, None)
        if torch.backends.quantized.engine == "qnnpack":  # which finds scale and zero itself
            dynamic = torch.ops.quantized.linear_dynamic.default
            return lambda x, scale, zero: dynamic(x, packed)
        product = direct(torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default)
        return lambda x, scale, zero: product(x, scale, zero, packed)


class OnednnRows(RowInt8):
    """By oneDNN, which is given codes."""

    @staticmethod
    def prepared(weight: Tensor, scales: Tensor) -> Run:
        packed = torch.ops.onednn.qlinear_prepack((weight / scales[:, None]).round().to(torch.int8), None)
        weights = packed, scales, torch.zeros(len(scales), dtype=torch.long), None
        form: Any = (1.0, 0, torch.float32, "none", [], "")
        product = direct(torch.ops.onednn.qlinear_pointwise.default)
        return lambda x, scale, zero: product(Codes.made(x, scale, zero).codes, scale, zero, *weights, *form)


class Finer(RowInt8):
    """With what the codes of a row leave over as codes of a second one: weights are read once for both.

    That is twice the work for many rows and hardly more for few; a row that has large numbers keeps its small ones.
    """

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        span = x.abs().amax(1, keepdim=True).clamp_(min=_TINY)  # (N, 1)
        x = x.mul(127 / span)
        codes = x.round()
        coarse, rest = self.run(torch.cat((codes / 127, (x - codes).mul_(2))), self.scale, self.zero).chunk(2)
        y = coarse.add_(rest, alpha=1 / 254).mul_(span)  # what is left over is a half at most
        y = y if self.bias is None else y.add_(self.bias)
        return y if self.activation is None else self.activation(y)


class FinerFbgemmRows(Finer, FbgemmRows):
    """By FBGEMM."""


class FinerOnednnRows(Finer, OnednnRows):
    """By oneDNN."""


def finer(make: object) -> type[Finer] | None:
    """What makes the same products with finer codes; None where it is the weights that have few levels."""
    found = {FbgemmRows: FinerFbgemmRows, OnednnRows: FinerOnednnRows}.get(make)  # type: ignore[call-overload]
    return None if found is None or saturates(found.prepared) else found


def feed_forward(make: type[RowInt8], up: Source, down: Source, gate: nn.Module | None = None) -> FeedForward:
    """Two products of bytes with an activation, or a gate, between them."""
    least = None if gate is not None or up.activation is None else _LEAST.get(type(up.activation))
    return FeedForward(make(up), make(down, least=least), gate, _ROWS * torch.get_num_threads())


@cache
def saturates(prepared: Callable[[Tensor, Tensor], Run]) -> bool:
    """Whether the sum of two products can be too large for its 16 bits, as on x86 without VNNI."""
    run = prepared(torch.ones(32, 64), torch.full((32,), 1 / 127))
    return bool((run(torch.ones(4, 64), 1 / 255, 0) < 60).any())
