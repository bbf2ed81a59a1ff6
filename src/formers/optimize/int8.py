"""Products of bytes. Letters: N rows, K inputs, M outputs.

Weights have a scale for each output, activations one scale for all, found at every call; sums are exact. Source: Jacob
et al. 2018 (arXiv 1712.05877).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from .products import Product, Source, in_parts

_LEVELS = 255  # of an unsigned byte
_GELU_LEAST = -0.17  # of any GELU
_TINY, _HUGE = 1e-30, 1e30
_MOST_ROWS = 2560  # with one scale: the more there are, the larger the greatest is, and the steps for all the others
_announced = False


class NotFinite(ArithmeticError):
    """Numbers that have no codes: infinite ones, and what is no number."""


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
        if not high - low < _HUGE:  # also where it is no number
            raise NotFinite
        scale = max((high - low) / _LEVELS, _TINY)
        return cls.made(x, scale, round(-low / scale))

    @classmethod
    def made(cls, x: Tensor, scale: float, zero: int) -> Codes:
        """Codes of float32 numbers for a scale that is known."""
        made = _quantized(x, scale, zero)
        # its numbers without a copy: int_repr makes one, five times as slow as the quantisation
        codes = torch.empty(0, dtype=torch.uint8).set_(made.untyped_storage(), 0, made.shape, made.stride())
        return cls(codes, scale, zero)


def _quantized(x: Tensor, scale: float, zero: int) -> Tensor:
    global _announced
    if _announced:
        return torch.quantize_per_tensor(x, scale, zero, torch.quint8)
    with warnings.catch_warnings():  # torch announces once that the operator will go, which is no user's concern
        warnings.simplefilter("ignore")
        _announced = True
        return torch.quantize_per_tensor(x, scale, zero, torch.quint8)


def _rows(x: Tensor) -> int:
    """How many rows of x get one scale: about as many in each part."""
    return -(-x.shape[0] // max(1, -(-x.shape[0] // _MOST_ROWS)))


class Int8:
    """oneDNN's product of bytes; rows come out in `dtype`."""

    def __init__(self, source: Source, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self.operator, self.algorithm, self.activation = source.fused()
        self.scales = source.weight.abs().amax(1).clamp(min=_TINY) / 127  # (M,)
        codes = (source.weight / self.scales[:, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(codes, None)
        self.zeros = torch.zeros(len(self.scales), dtype=torch.long)
        self.bias, self.bytes = source.bias, codes.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        y = in_parts(lambda part: self.of(Codes.of(part)), x, _rows(x))
        return y if self.activation is None else self.activation(y)

    def of(self, x: Codes) -> Tensor:
        """The product of codes; an activation that is not fused is left to the caller."""
        return self._run(x, 1.0, 0, self.dtype)

    def _run(self, x: Codes, scale: float, zero: int, dtype: torch.dtype) -> Tensor:
        return torch.ops.onednn.qlinear_pointwise.default(
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
            if greatest > _HUGE:
                raise NotFinite
        # room of a fifth; not narrower by more than a tenth at a time, since a wider one means work done twice
        self.greatest = max(1.2 * (top - zero) * scale, 0.9 * greatest, 1e-3)
        return found


class CodedFeedForward:
    """Two products of bytes with a GELU between them."""

    def __init__(self, up: Source, down: Source) -> None:
        codes, last = GeluCodes(up), Int8(down)
        self.up: Product = codes
        self.down: Product = last
        self._run = lambda part: last.of(codes.codes(part))
        self.bytes = self.up.bytes + self.down.bytes

    def __call__(self, x: Tensor) -> Tensor:
        return in_parts(self._run, x, _rows(x))
