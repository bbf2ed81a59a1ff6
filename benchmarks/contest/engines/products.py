"""The machine's own matrix product with torch, the yardstick for everything else: 2,048 × 2,048 × 2,048, or smaller
where a processor has no units for a type of number and would take minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

SIZE, SMALLEST, TIMES = 2_048, 256, 5
LONGEST = 0.5  # seconds of one product


def prepare(job: dict[str, Any], texts: list[str]) -> Callable[[], dict[str, Any]]:
    """What measures GFLOP/s by type of number; int8 only where torch has a product for it."""
    torch.set_num_threads(job["threads"])
    calls = {"float32": _bounded(partial(_floats, torch.float32)), "bf16": _bounded(partial(_floats, torch.bfloat16))}
    for int8 in (_prepacked, _plain):
        try:
            calls["int8"] = _bounded(int8)
            break
        except (RuntimeError, AttributeError):
            continue
    return lambda: {"rates": {name: rate(*call) for name, call in calls.items()}}


def _bounded(make: Callable[[int], Callable[[], Any]]) -> tuple[int, Callable[[], Any]]:
    """The largest size whose product does not take too long, and that product."""
    size = SMALLEST
    while True:
        call = make(size)
        if size == SIZE or 8 * 2 * size**3 / rate(size, call, 2) / 1e9 > LONGEST:
            return size, call
        size *= 2


def rate(size: int, call: Callable[[], Any], times: int = TIMES) -> float:
    """GFLOP/s of a product, the fastest of some."""
    fastest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return float(2 * size**3 / fastest / 1e9)


def _floats(dtype: torch.dtype, size: int) -> Callable[[], torch.Tensor]:
    a, b = torch.randn(2, size, size).to(dtype)
    return lambda: torch.mm(a, b)


def _prepacked(size: int) -> Callable[[], torch.Tensor]:
    """oneDNN's product of u8 and int8 weights in its own layout, to float32."""
    inputs = torch.randint(0, 255, (size, size), dtype=torch.uint8)
    weights = torch.randint(-127, 128, (size, size), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weights, [size, size])
    scales, zeros = torch.full((size,), 0.01), torch.zeros(size, dtype=torch.long)
    product = torch.ops.onednn.qlinear_pointwise

    def call() -> torch.Tensor:
        found: torch.Tensor = product(
            inputs, 0.01, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return found

    call()
    return call


def _plain(size: int) -> Callable[[], torch.Tensor]:
    a, b = (torch.randint(-127, 128, (size, size), dtype=torch.int8) for _ in range(2))
    torch._int_mm(a, b)
    return lambda: torch._int_mm(a, b)
