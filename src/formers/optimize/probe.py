"""What this processor and this torch can do, found by doing it: once for each process and each kind of product."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .int8 import Int8
from .products import Maker, Packed, Parts, Plain, Source

# modes, the fastest first where all are there
MODES = ("int8", "bf16", "float32")
_ROWS, _WIDTH = 512, 768
# relative error of a product of random numbers that shows a wrong operator rather than a short type
_TOLERANCE = {"int8": 0.03, "bf16": 0.01, "float32": 1e-5}
_FASTER = 0.9  # of the time of the next mode, or a shorter type is not worth its errors


@cache
def makers(mode: str, device: str) -> dict[str, Maker]:
    """How to make products in `mode` on `device`: {name: maker}, the first one preferred; empty where none works."""
    dtype = torch.float32 if mode == "float32" else torch.bfloat16
    known: dict[str, Maker] = {}
    if device == "cpu" and mode == "int8":
        known["oneDNN int8"] = Int8
    if mode != "int8":
        if device == "cpu":
            known[f"oneDNN {mode}"] = lambda source, _: Packed(source, dtype, rows_at_once(*source.weight.shape, dtype))
        known[f"torch {mode}"] = lambda source, _: Plain(source, dtype)
    return {name: make for name, make in known.items() if _works(make, _TOLERANCE[mode], device)}


def preferred(mode: str, device: str) -> tuple[str, Maker]:
    """The first of `makers`, where there are any."""
    return next(iter(makers(mode, device).items()))


@cache
def worthwhile(mode: str, device: str) -> bool:
    """Whether `mode` works on `device` and is faster there than the modes after it that do."""
    after = [other for other in MODES[MODES.index(mode) + 1 :] if makers(other, device)]
    if not makers(mode, device) or not after:
        return bool(makers(mode, device))
    times = _times((mode, *after), device)
    return times[0] < _FASTER * min(times[1:])


@cache
def rows_at_once(outputs: int, inputs: int, dtype: torch.dtype) -> Parts:
    """How many rows a packed product of that shape should get at once.

    oneDNN 3 takes paths of half the speed for some numbers of rows, which are others for each shape.
    """
    return Parts() if dtype == torch.float32 else Parts(*(_part(outputs, inputs, dtype, n) for n in (1024, 2048)))


def _part(outputs: int, inputs: int, dtype: torch.dtype, rows: int) -> int | None:
    choices = (None, 256, 384)
    with torch.inference_mode():
        source, x = _example(outputs, inputs, "cpu", rows)
        runs = [partial(Packed(source, dtype, Parts(choice, choice)), x.to(dtype)) for choice in choices]
        seconds = _fastest(*runs, times=5)
    best = min(range(len(choices)), key=seconds.__getitem__)
    return choices[best] if seconds[best] < _FASTER * seconds[0] else None


def _times(modes: tuple[str, ...], device: str) -> list[float]:
    """Seconds of one product in each of `modes`."""
    with torch.inference_mode():
        source, x = _example(_WIDTH, _WIDTH, device)
        products = [preferred(mode, device)[1](source, torch.float32) for mode in modes]
        return _fastest(*(partial(product, x) for product in products))


def _works(make: Maker, tolerance: float, device: str) -> bool:
    with torch.inference_mode():
        source, x = _example(_WIDTH // 4, _WIDTH // 2, device, 33)
        expected = F.linear(x, source.weight, source.bias)
        try:
            found = make(source, torch.float32)(x).float()
        # whatever a private operator raises where it is missing or has other arguments
        except Exception:
            return False
        return bool((found - expected).norm() <= tolerance * expected.norm())


def _example(outputs: int, inputs: int, device: str, rows: int = _ROWS) -> tuple[Source, Tensor]:
    draw = torch.Generator().manual_seed(0)  # not the user's random numbers
    shapes = ((outputs, inputs), (outputs,), (rows, inputs))
    weight, bias, x = (torch.randn(*shape, generator=draw).to(device) for shape in shapes)
    return Source(weight, bias), x


def _fastest(*runs: Callable[[], object], times: int = 6) -> list[float]:
    """Seconds of the fastest of some calls of each of `runs`, in turn, since other programs come and go."""
    seconds = [[] for _ in runs]  # type: list[list[float]]
    for _ in range(times):
        for run, measured in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
            measured.append(time.perf_counter() - start)
    return list(map(min, seconds))
