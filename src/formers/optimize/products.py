"""Products: linear layers computed from derived weights, in the type and memory layout that a processor is fast at.

Letters: N rows, K inputs, M outputs.

Every product takes rows of any floating type. oneDNN's operators are private to torch: they are used only where `probe`
has run them and found their results right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.activations import GELUActivation, NewGELUActivation
from ..ops.conv1d import Conv1D

# activation module -> what oneDNN calls it: operator, algorithm
FUSED: dict[type[nn.Module], tuple[str, str]] = {
    GELUActivation: ("gelu", "none"),
    NewGELUActivation: ("gelu", "tanh"),
    nn.ReLU: ("relu", ""),
}


# a layer that computes x · weightᵀ + bias, whichever way round its weight lies
Linear = nn.Linear | Conv1D


def matrix(layer: Linear) -> Tensor:
    """The weight of a layer, (M, K)."""
    return layer.weight.detach() if isinstance(layer, nn.Linear) else layer.weight.detach().T


class Product(Protocol):
    """x (N, K) to activation(x · weightᵀ + bias), (N, M). bytes: of its weight."""

    bytes: int

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Source:
    """What a product is made from: weight (M, K), bias (M,) or None, and the activation that follows, if any."""

    weight: Tensor
    bias: Tensor | None
    activation: nn.Module | None = None

    @classmethod
    def of(
        cls,
        *layers: Linear,
        activation: nn.Module | None = None,
        smooth: Tensor | None = None,
        scale: float | Tensor = 1.0,
    ) -> Source:
        """One product for several layers that read the same rows: their outputs side by side, times `scale`, which is
        one number or, of each layer, one for each of its outputs (M,).

        smooth: (K,) what the rows that come in have been divided by.
        """
        whole = isinstance(scale, float) and scale == 1.0
        of_rows = scale[:, None] if isinstance(scale, Tensor) else scale
        weights = [matrix(layer).float() if whole else matrix(layer).float() * of_rows for layer in layers]
        weight = weights[0].contiguous() if len(weights) == 1 else torch.cat(weights)
        biases = [
            weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach() * scale
            for layer, weight in zip(layers, weights, strict=True)
        ]
        bias = None if all(layer.bias is None for layer in layers) else torch.cat(biases).float()
        return cls(weight if smooth is None else weight * smooth, bias, activation)

    def fused(self) -> tuple[str, str, nn.Module | None]:
        """Operator and algorithm of the activation as oneDNN fuses it, and the activation where it has to follow."""
        if self.activation is not None and type(self.activation) in FUSED:
            return *FUSED[type(self.activation)], None
        return "none", "", self.activation


class TwoProducts(Product, Protocol):
    """A feed-forward."""

    up: Product
    down: Product


# makes a product whose results are wanted in a type, if it has the choice
Maker = Callable[[Source, torch.dtype], Product]


class Plain:
    """torch's own product in `dtype`: on every device, with every version."""

    def __init__(self, source: Source, dtype: torch.dtype) -> None:
        self.dtype, self.activation = dtype, source.activation
        self.weight = source.weight.to(dtype)
        self.bias = None if source.bias is None else source.bias.to(dtype)
        self.bytes = self.weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        y = F.linear(x.to(self.dtype), self.weight, self.bias)
        return y if self.activation is None else self.activation(y)


class Parts(NamedTuple):
    """How many rows a product gets at once, None for all: where there are `MANY` of them or more, and where fewer."""

    few: int | None = None
    many: int | None = None


MANY = 1400


def in_parts(run: Callable[[Tensor], Tensor], x: Tensor, rows: int | None) -> Tensor:
    """`run` on x (N, K), on `rows` of them at once; None for all."""
    if rows is None or x.shape[0] <= rows:
        return run(x)
    return torch.cat([run(part) for part in x.split(rows)])


class FeedForward:
    """Two products with an activation between them, and a gate where the first gives twice as many numbers.

    rows: how many of them go through both at once; None for all.
    """

    def __init__(self, up: Product, down: Product, gate: nn.Module | None = None, rows: int | None = None) -> None:
        self.up, self.down, self.gate, self.rows = up, down, gate, rows
        self.bytes = up.bytes + down.bytes

    def __call__(self, x: Tensor) -> Tensor:
        return in_parts(self._run, x, self.rows)

    def _run(self, x: Tensor) -> Tensor:
        between = self.up(x)
        if self.gate is not None:
            inner, factors = between.chunk(2, dim=1)
            between = self.gate(inner).mul_(factors)
        return self.down(between)


class Packed:
    """oneDNN's product in `dtype`, with the weight laid out beforehand and not again at every call.

    parts: oneDNN has slow paths for some numbers of rows (`probe.rows_at_once` finds out).
    """

    def __init__(self, source: Source, dtype: torch.dtype, parts: Parts | None = None) -> None:
        self.dtype, self.parts = dtype, Parts() if parts is None else parts
        self.operator, self.algorithm, self.activation = source.fused()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(source.weight.to(dtype), None)
        self.bias = None if source.bias is None else source.bias.to(dtype)
        self.bytes = source.weight.numel() * dtype.itemsize

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        y = in_parts(self._run, x, self.parts.many if x.shape[0] >= MANY else self.parts.few)
        return y if self.activation is None else self.activation(y)

    def _run(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, self.operator, [], self.algorithm)


class FewRows(Packed):
    """The same in float32 for models that write, of a row at a time, which is given to torch's own product: with the
    weight turned round (K, M), unless there are more inputs than outputs, since then memory is read faster. oneDNN gets
    four rows at least, for which it takes no longer than for two."""

    LEAST = 4

    def __init__(self, source: Source, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(source, torch.float32)
        outputs, inputs = source.weight.shape
        self.single = source.weight.t() if outputs < inputs else source.weight.t().contiguous()
        self.last, self.bytes = source.activation, self.bytes * (1 if outputs < inputs else 2)

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) >= self.LEAST:
            return super().__call__(x)
        if len(x) > 1:
            return super().__call__(F.pad(x, (0, 0, 0, self.LEAST - len(x))))[: len(x)]
        x = x.float()
        y = x @ self.single if self.bias is None else torch.addmm(self.bias, x, self.single)
        return y if self.last is None else self.last(y)
