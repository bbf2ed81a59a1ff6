"""FBGEMM's products with weights in half precision."""

from __future__ import annotations

import torch
from torch import Tensor

from .products import Source


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
