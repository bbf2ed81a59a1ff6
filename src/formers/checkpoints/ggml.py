"""The number types of ggml: blocks of small integers that share a scale -> float numbers.

A tensor is a row of blocks. A block of Q4_K, for instance, stands for 256 numbers, of 4 bits each:

    d (fp16)  dmin (fp16)  8 scales and 8 minima (6 bits each)  256 integers (4 bits each)     number = d s q - dmin m

Source: https://github.com/ggml-org/ggml, `ggml_type` in include/ggml.h and dequantize_row_* in src/ggml-quants.c.
Letters: N blocks, "fields": the integers that bytes are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_CHUNK = 2**19  # numbers that are made at once: what is between them and the bytes stays in the processor's cache


class Blocks(NamedTuple):
    """How blocks are stored: `numbers` in each, its `size` in bytes, and (N, size) bytes -> (N, numbers) in float32."""

    name: str
    numbers: int
    size: int
    unpack: Callable[[Tensor], Tensor]


def dequantised(data: Tensor, blocks: Blocks, dtype: torch.dtype = torch.float32) -> Tensor:
    """The numbers (N · numbers,) that the bytes (N · size,) stand for, in `dtype`; computed in float32."""
    rows = data.view(-1, blocks.size)
    out = torch.empty(len(rows), blocks.numbers, dtype=dtype)
    step = _CHUNK // blocks.numbers
    for start in range(0, len(rows), step):
        out[start : start + step] = blocks.unpack(rows[start : start + step])
    return out.view(-1)


def _half(blocks: Tensor, at: int) -> Tensor:
    """The fp16 at a byte of each block: (N, 1)."""
    return blocks[:, at : at + 2].clone().view(torch.float16).float()


def _fields(data: Tensor, bits: int, together: int) -> Tensor:
    """Fields of `bits`: of each `together` bytes first the lowest field of every byte, then the next: (N, fields)."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)[:, None]
    groups = data.reshape(len(data), -1, 1, together)
    return (groups >> shifts & 2**bits - 1).reshape(len(data), -1)


def _scaled(scales: Tensor, integers: Tensor) -> Tensor:
    """Integers times the scale of their part of the block; scales (N, parts): (N, parts, integers of a part)."""
    return scales[:, :, None] * integers.reshape(*scales.shape, -1).float()


def _q4_0(x: Tensor) -> Tensor:
    return _half(x, 0) * (_fields(x[:, 2:], 4, 16).float() - 8)


def _q4_1(x: Tensor) -> Tensor:
    return _half(x, 0) * _fields(x[:, 4:], 4, 16).float() + _half(x, 2)


def _five_bits(x: Tensor, at: int) -> Tensor:
    """32 integers: their highest bits in four bytes, then the others."""
    return (_fields(x[:, at + 4 :], 4, 16) | _fields(x[:, at : at + 4], 1, 1) << 4).float()


def _q5_0(x: Tensor) -> Tensor:
    return _half(x, 0) * (_five_bits(x, 2) - 16)


def _q5_1(x: Tensor) -> Tensor:
    return _half(x, 0) * _five_bits(x, 4) + _half(x, 2)


def _q8_0(x: Tensor) -> Tensor:
    return _half(x, 0) * x[:, 2:].view(torch.int8).float()


def _q2_k(x: Tensor) -> Tensor:
    scales, integers = x[:, :16], _fields(x[:, 16:80], 2, 32)
    low = _half(x, 82) * (scales >> 4).float()
    return (_scaled(_half(x, 80) * (scales & 15).float(), integers) - low[:, :, None]).flatten(1)


def _q3_k(x: Tensor) -> Tensor:
    scales = _fields(x[:, 96:104], 4, 8) | _fields(x[:, 104:108], 2, 4) << 4
    integers = (_fields(x[:, 32:96], 2, 32) | _fields(x[:, :32], 1, 32) << 2).float() - 4
    return _scaled(_half(x, 108) * (scales.float() - 32), integers).flatten(1)


def _six_bits(x: Tensor) -> tuple[Tensor, Tensor]:
    """The 8 scales and 8 minima of 6 bits each that Q4_K and Q5_K have in 12 bytes."""
    first, second, third = x[:, :4], x[:, 4:8], x[:, 8:]
    scales = torch.cat([first & 63, third & 15 | first >> 6 << 4], 1)
    minima = torch.cat([second & 63, third >> 4 | second >> 6 << 4], 1)
    return scales.float(), minima.float()


def _with_minima(x: Tensor, integers: Tensor) -> Tensor:
    scales, minima = _six_bits(x[:, 4:16])
    return (_scaled(_half(x, 0) * scales, integers) - (_half(x, 2) * minima)[:, :, None]).flatten(1)


def _q4_k(x: Tensor) -> Tensor:
    return _with_minima(x, _fields(x[:, 16:], 4, 32))


def _q5_k(x: Tensor) -> Tensor:
    return _with_minima(x, _fields(x[:, 48:], 4, 32) | _fields(x[:, 16:48], 1, 32) << 4)


def _q6_k(x: Tensor) -> Tensor:
    integers = (_fields(x[:, :128], 4, 64) | _fields(x[:, 128:192], 2, 32) << 4).float() - 32
    return _scaled(_half(x, 208) * x[:, 192:208].view(torch.int8).float(), integers).flatten(1)


PLAIN = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
BLOCKS = {
    2: Blocks("Q4_0", 32, 18, _q4_0),
    3: Blocks("Q4_1", 32, 20, _q4_1),
    6: Blocks("Q5_0", 32, 22, _q5_0),
    7: Blocks("Q5_1", 32, 24, _q5_1),
    8: Blocks("Q8_0", 32, 34, _q8_0),
    10: Blocks("Q2_K", 256, 84, _q2_k),
    11: Blocks("Q3_K", 256, 110, _q3_k),
    12: Blocks("Q4_K", 256, 144, _q4_k),
    13: Blocks("Q5_K", 256, 176, _q5_k),
    14: Blocks("Q6_K", 256, 210, _q6_k),
}
OTHERS = {  # which are not read, for errors
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
    41: "Q1_0",
}  # fmt: skip
FOR_PRODUCTS = ("Q8_1", "Q8_K")  # what llama.cpp makes of activations; no file stores weights in them
