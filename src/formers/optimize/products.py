"""Products: linear layers computed from derived weights, in the type and memory layout that a processor is fast at.

Letters: N rows, K inputs, M outputs.

Every product takes rows of any floating type and returns rows of its own. oneDNN's operators are private to torch:
they are used only where `probe` has run them and found their results right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.activations import GELUActivation, NewGELUActivation

# activation module -> what oneDNN calls it: operator, algorithm
FUSED: dict[type[nn.Module], tuple[str, str]] = {
    GELUActivation: ("gelu", "none"),
    NewGELUActivation: ("gelu", "tanh"),
    nn.ReLU: ("relu", ""),
}
_LEVELS = 255  # of an unsigned byte
_GELU_LEAST = -0.17  # of any GELU
_ALONE = ("none", "")


class Product(Protocol):
    """x (N, K) to activation(x · weightᵀ + bias), (N, M)."""

    bytes: int

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Source:
    """What a product is made from: weight (M, K), bias (M,) or None, and the activation that follows, if any."""

    weight: Tensor
    bias: Tensor | None
    activation: nn.Module | None = None

    @classmethod
    def of(cls, *layers: nn.Linear, activation: nn.Module | None = None) -> Source:
        """One product for several layers that read the same rows: their outputs side by side."""
        weight = torch.cat([layer.weight.detach().float() for layer in layers])
        biases = [
            layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.detach()
            for layer in layers
        ]
        return cls(weight, torch.cat(biases).float(), activation)

    def fused(self) -> tuple[str, str] | None:
        """The activation as oneDNN can fuse it; None when it has to be computed afterwards."""
        return _ALONE if self.activation is None else FUSED.get(type(self.activation))


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


class Packed:
    """oneDNN's product in `dtype`, with the weight laid out beforehand and not again at every call.

    rows: how many at once; oneDNN has slow paths for some numbers of rows (`probe.rows_at_once` finds out).
    """

    def __init__(self, source: Source, dtype: torch.dtype, rows: int | None = None) -> None:
        self.dtype, self.rows = dtype, rows
        fused = source.fused()
        self.operator, self.algorithm = fused or _ALONE
        self.activation = source.activation if fused is None else None
        self.weight = torch.ops.mkldnn._reorder_linear_weight(source.weight.to(dtype), None)
        self.bias = None if source.bias is None else source.bias.to(dtype)
        self.bytes = source.weight.numel() * dtype.itemsize

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if self.rows is not None and x.shape[0] > self.rows:
            y = torch.cat([self._run(part) for part in x.split(self.rows)])
        else:
            y = self._run(x)
        return y if self.activation is None else self.activation(y)

    def _run(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.operator, [], self.algorithm)


@dataclass(frozen=True)
class Codes:
    """Numbers as unsigned bytes: (codes - zero) · scale."""

    codes: Tensor
    scale: float
    zero: int

    @classmethod
    def of(cls, x: Tensor) -> Codes:
        """Codes from the least to the greatest of all numbers of `x`, zero among them."""
        x = x.float()
        least, greatest = (value.item() for value in x.aminmax())
        low, high = min(least, 0.0), max(greatest, 0.0)
        scale = max((high - low) / _LEVELS, 1e-30)
        zero = round(-low / scale)
        made = torch.quantize_per_tensor(x, scale, zero, torch.quint8)
        # its numbers without a copy: int_repr makes one, five times as slow as the quantisation
        codes = torch.empty(0, dtype=torch.uint8).set_(made.untyped_storage(), 0, x.shape)
        return cls(codes, scale, zero)


class Int8:
    """oneDNN's product of bytes: weights of a scale per output, activations of one scale, found at every call.

    Source: Jacob et al. 2018 (arXiv 1712.05877). Rows come out in `dtype`.
    """

    def __init__(self, source: Source, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        fused = source.fused()
        self.operator, self.algorithm = fused or _ALONE
        self.activation = source.activation if fused is None else None
        self.scales = source.weight.abs().amax(1).clamp(min=1e-30) / 127  # (M,)
        codes = (source.weight / self.scales[:, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(codes, None)
        self.zeros = torch.zeros(len(self.scales), dtype=torch.long)
        self.bias, self.bytes = source.bias, codes.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        y = self.of(Codes.of(x))
        return y if self.activation is None else self.activation(y)

    def of(self, x: Codes) -> Tensor:
        """The product of codes, in `dtype`; an activation that is not fused is left to the caller."""
        return self._run(x, 1.0, 0, self.dtype)

    def _run(self, x: Codes, scale: float, zero: int, dtype: torch.dtype) -> Tensor:
        return torch.ops.onednn.qlinear_pointwise(
            *(x.codes, x.scale, x.zero, self.weight, self.scales, self.zeros, self.bias),
            *(scale, zero, dtype, self.operator, [], self.algorithm),
        )


class GeluCodes(Int8):
    """A product followed by a GELU, whose results come out as codes: the next product's input, written once.

    Their scale is that of the call before with room to spare. Results are looked at: where some reach the top of the
    scale, it is widened and they are computed again.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.greatest = 4.0

    def codes(self, x: Tensor) -> Codes:
        """x (N, K) to the codes of gelu(x · weightᵀ + bias), (N, M)."""
        given, greatest = Codes.of(x), self.greatest  # other threads may change it
        while True:
            scale = (greatest - _GELU_LEAST) / _LEVELS
            zero = round(-_GELU_LEAST / scale)
            found = Codes(self._run(given, scale, zero, torch.uint8), scale, zero)
            top = int(found.codes.max())
            if top < _LEVELS:
                break
            greatest *= 2
        # room of a tenth; not narrower by more than a fifth at a time, since a wider one means work done twice
        self.greatest = max(1.1 * (top - zero) * scale, 0.8 * greatest, 1e-3)
        return found


Maker = Callable[[Source], Product]


class FeedForward:
    """Two products with an activation between them: rows to rows."""

    def __init__(self, make: Maker, up: Source, down: Source) -> None:
        in_codes = make is Int8 and (up.fused() or _ALONE)[0] == "gelu"
        self.up, self.down = GeluCodes(up) if in_codes else make(up), make(down)
        self.bytes = self.up.bytes + self.down.bytes

    def __call__(self, x: Tensor) -> Tensor:
        if isinstance(self.up, GeluCodes) and isinstance(self.down, Int8):
            return self.down.of(self.up.codes(x))
        return self.down(self.up(x))
