"""What this processor and this torch can do, found by doing it: once for each process and each kind of product."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.activations import GELUActivation
from .int8 import GeluCodes, Int8
from .products import Maker, Packed, Parts, Plain, Source

# modes, the fastest first where all are there
MODES = ("int8", "bf16", "float32")
_ROWS, _WIDTH = 512, 768
_FEW = 16  # rows of the first look: some processors take a reference loop, a thousand times as long
_HOPELESS = 10.0  # times as long as another mode on few rows: no second look
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


def worthwhile(mode: str, device: str) -> bool:
    """Whether `mode` works on `device` and is faster there than the modes after it that do."""
    if not makers(mode, device):
        return False
    own, others = seconds(mode, device)
    return own < _FASTER * others


@cache
def seconds(mode: str, device: str) -> tuple[float, float]:
    """Seconds of products in `mode`, in the forms in which they are used, and of the fastest mode after it.

    (0, infinity) where there is none after it.
    """
    after = [other for other in MODES[MODES.index(mode) + 1 :] if makers(other, device)]
    if not after:
        return 0.0, float("inf")
    for rows, times in ((_FEW, 4), (_ROWS, 6)):
        own, *others = _times((mode, *after), device, rows, times)
        if own > _HOPELESS * min(others):
            break
    return own, min(others)


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


def _times(modes: tuple[str, ...], device: str, rows: int, times: int) -> list[float]:
    """Seconds of one product of each form in each of `modes`."""
    with torch.inference_mode():
        source, x = _example(_WIDTH, _WIDTH, device, rows)
        runs = [partial(_each_form, _forms(mode, device, source), x) for mode in modes]
        return _fastest(*runs, times=times)


def _forms(mode: str, device: str, source: Source) -> list[Callable[[Tensor], object]]:
    """The products of a layer: results as attention reads them, as residuals do, and within the feed-forward."""
    make, gelu = preferred(mode, device)[1], replace(source, activation=GELUActivation())
    between = GeluCodes(gelu).codes if make is Int8 else make(gelu, torch.bfloat16)
    return [make(source, torch.bfloat16), make(source, torch.float32), between]


def _each_form(forms: list[Callable[[Tensor], object]], x: Tensor) -> None:
    for run in forms:
        run(x)


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
