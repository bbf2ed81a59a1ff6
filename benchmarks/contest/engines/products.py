"""The machine's own matrix product: 2,048 × 2,048 × 2,048 with torch, the yardstick for everything else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

SIZE, TIMES = 2_048, 5


def prepare(job: dict[str, Any], texts: list[str]) -> Callable[[], dict[str, Any]]:
    """What measures GFLOP/s by type of number; int8 only where torch has a product for it."""
    torch.set_num_threads(job["threads"])
    a, b = torch.randn(2, SIZE, SIZE)
    a16, b16 = a.bfloat16(), b.bfloat16()
    calls = {"float32": lambda: torch.mm(a, b), "bf16": lambda: torch.mm(a16, b16)}
    for int8 in (_prepacked, _plain):
        try:
            calls["int8"] = int8()
            break
        except (RuntimeError, AttributeError):
            continue
    return lambda: {"rates": {name: rate(call) for name, call in calls.items()}}


def rate(call: Callable[[], Any]) -> float:
    """GFLOP/s of a product, the fastest of some."""
    fastest = float("inf")
    for _ in range(TIMES):
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return float(2 * SIZE**3 / fastest / 1e9)


def _prepacked() -> Callable[[], torch.Tensor]:
    """oneDNN's product of u8 and int8 weights in its own layout, to bf16."""
    inputs = torch.randint(0, 255, (SIZE, SIZE), dtype=torch.uint8)
    weights = torch.randint(-127, 128, (SIZE, SIZE), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weights, [SIZE, SIZE])
    scales, zeros = torch.full((SIZE,), 0.01), torch.zeros(SIZE, dtype=torch.long)
    product = torch.ops.onednn.qlinear_pointwise

    def call() -> torch.Tensor:
        found: torch.Tensor = product(
            inputs, 0.01, 128, packed, scales, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
        )
        return found

    call()
    return call


def _plain() -> Callable[[], torch.Tensor]:
    a, b = (torch.randint(-127, 128, (SIZE, SIZE), dtype=torch.int8) for _ in range(2))
    torch._int_mm(a, b)
    return lambda: torch._int_mm(a, b)
