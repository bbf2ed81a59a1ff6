"""What this processor and this torch can do, found by doing it: once for each process, device and shape of layers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.activations import GELUActivation
from ..ops.layout import Layout
from .half import Half
from .int8 import Int8
from .products import FewRows, Maker, Packed, Parts, Plain, Source
from .row_int8 import FbgemmRows, OnednnRows
from .stack import Plan, attend, feed_forward

_CONTEXTS = (torch.bfloat16, torch.float32)
# modes, the shortest numbers first
MODES = ("int8", "bf16", "fp16", "float32")
# relative error of a product of random numbers that shows a wrong operator rather than a short type
_TOLERANCE = {"int8": 0.03, "bf16": 0.01, "fp16": 1e-3, "float32": 1e-5}
_FASTER = 0.9  # of the time of the next mode, or a shorter type is not worth its errors
_FEW, _ROWS = 24, 256  # rows of one short text, and of many
_LOOK = 16  # rows of the first look, at a small layer: some processors take a reference loop, a thousand times as long
_HOPELESS = 40.0  # times as long as the fastest there: no second look
_COLD = 16  # rows up to which weights come from memory, and not from where the product before has left them
_MEMORY = 2**26  # bytes that are read to leave nothing there


class Shape(NamedTuple):
    """Of a layer: width D, and width F of its feed-forward; and how it is used.

    rows: of the passes that count, few and many. alone: whether no row's result may depend on others.
    """

    width: int = 768
    inner: int = 3072
    rows: tuple[int, ...] = (_FEW, _ROWS)
    alone: bool = False

    def bounded(self) -> Shape:
        """The shape itself, or of so large a layer a smaller one, whose products are no faster for their size."""
        return self._replace(width=min(self.width, 1024), inner=min(self.inner, 4096))


SMALL = Shape(256, 512)


@cache
def makers(mode: str, device: str) -> dict[str, Maker]:
    """How to make products in `mode` on `device`: {name: maker}; empty where none works."""
    known: dict[str, Maker] = {}
    if mode == "int8":
        known = {"FBGEMM int8": FbgemmRows, "oneDNN int8 by rows": OnednnRows, "oneDNN int8": Int8}
    elif mode == "fp16":
        known = {"FBGEMM fp16": Half}
    else:
        dtype = torch.float32 if mode == "float32" else torch.bfloat16
        if device == "cpu":
            known[f"oneDNN {mode}"] = lambda source, _: Packed(source, dtype, rows_at_once(*source.weight.shape, dtype))
        if device == "cpu" and mode == "float32":
            known["oneDNN float32, few rows"] = FewRows
        known[f"torch {mode}"] = lambda source, _: Plain(source, dtype)
        if mode == "bf16":  # more exact, and much faster where the processor has no units for bfloat16
            known["FBGEMM fp16"] = Half
    if device != "cpu":
        known = {name: make for name, make in known.items() if name.startswith("torch")}
    return {name: make for name, make in known.items() if _works(make, _TOLERANCE[mode], device)}


def preferred(mode: str, device: str, shape: Shape = Shape()) -> tuple[str, Maker]:  # noqa: B008
    """The fastest of `makers`, where there are any, for layers of that shape."""
    found, times = makers(mode, device), race(device, shape)
    found = {name: make for name, make in found.items() if name not in _unfit(shape)} or found
    name = min(found, key=lambda name: times.get(name, math.inf))
    return name, found[name]


def _unfit(shape: Shape) -> tuple[str, ...]:
    """The makers that are not for layers of that shape."""
    return ("oneDNN int8", "oneDNN float32") if shape.alone else ("oneDNN float32, few rows",)


def worthwhile(mode: str, device: str, shape: Shape = Shape(), longer: float = 0.0) -> bool:  # noqa: B008
    """Whether `mode` works on `device` and is faster there than the modes after it that do.

    longer: share of the products that are of the fastest of these.
    """
    if not makers(mode, device):
        return False
    own, others = seconds(mode, device, shape)
    return others == math.inf or own + longer * (others - own) < _FASTER * others


def seconds(mode: str, device: str, shape: Shape = Shape()) -> tuple[float, float]:  # noqa: B008
    """Seconds of a layer's products in `mode`, and in the fastest of the modes after it; infinity where none works.

    They are of few rows and of many: the geometric mean.
    """
    times = race(device, shape)
    own, *others = (
        min((times.get(name, math.inf) for name in makers(other, device)), default=math.inf)
        for other in MODES[MODES.index(mode) :]
    )
    return own, min(others, default=math.inf)


@cache
def race(device: str, shape: Shape) -> dict[str, float]:
    """Seconds of a layer's products by every maker of every mode, in the forms in which they are used: {name: seconds}.

    Makers that are hopeless in a small layer are left out.
    """
    every = {name: make for mode in MODES for name, make in makers(mode, device).items()}
    every = {name: make for name, make in every.items() if name not in _unfit(shape)}
    looked = _times(every, SMALL, device, (_LOOK,), 3)
    every = {name: make for name, make in every.items() if looked[name] < _HOPELESS * min(looked.values())}
    return _times(every, shape.bounded(), device, shape.rows, 4)


def _times(every: dict[str, Maker], shape: Shape, device: str, rows: Sequence[int], times: int) -> dict[str, float]:
    """{name: seconds}, the geometric mean over `rows`."""
    with torch.inference_mode():
        layers = [_layer(make, shape, device) for make in every.values()]
        found = []
        for count in rows:
            x = _even(count, shape.width).to(device)
            between = torch.ones(_MEMORY, dtype=torch.uint8).max if shape.alone and count <= _COLD else None
            found.append(fastest(*(partial(layer, x) for layer in layers), times=times, between=between))
    means = (math.prod(each) ** (1 / len(rows)) for each in zip(*found, strict=True))
    return dict(zip(every, means, strict=True))


def _layer(make: Maker, shape: Shape, device: str) -> Callable[[Tensor], object]:
    """The products of a layer: results as attention reads them, as residuals do, and within the feed-forward."""
    D, F_ = shape.width, shape.inner
    weights = ((3 * D, D), (D, D), (F_, D), (D, F_))
    qkv, output, up, down = (Source(_even(*size).to(device), torch.zeros(size[0], device=device)) for size in weights)
    first, second = make(qkv, torch.bfloat16), make(output, torch.float32)
    both = feed_forward(Plan(make), Source(up.weight, up.bias, GELUActivation()), down)

    def run(x: Tensor) -> None:
        first(x)
        second(x)
        both(x)

    return run


def _even(rows: int, columns: int) -> Tensor:
    """Numbers from -0.1 to 0.1 without the time to draw them."""
    return torch.linspace(-0.1, 0.1, columns).repeat(rows, 1)


@cache
def attends_in(device: str) -> torch.dtype:
    """The type, bfloat16 or float32, in which attention of short texts is faster."""
    texts, length, heads = 8, 24, 12
    rows = _even(texts * length, 3 * 64 * heads).to(device)
    layout = Layout(texts, length)
    with torch.inference_mode():
        runs = []
        for dtype in _CONTEXTS:
            query, key, value = rows.to(dtype).chunk(3, dim=1)
            runs.append(partial(attend, query, key, value, layout, heads))
        seconds = fastest(*runs, times=7)
    return _CONTEXTS[seconds.index(min(seconds))]


@cache
def computes_slowly(dtype: torch.dtype) -> bool:
    """Whether torch's own products of a short text in a type of 16 bits take longer here than those in float32."""
    with torch.inference_mode():
        source, x = _example(768, 768, "cpu", _FEW)
        runs = [partial(F.linear, x.to(kind), source.weight.to(kind)) for kind in (dtype, torch.float32)]
        short, full = fastest(*runs, times=3)
    return short > 1.5 * full


@cache
def rows_at_once(outputs: int, inputs: int, dtype: torch.dtype) -> Parts:
    """How many rows a packed product of that shape should get at once.

    oneDNN 3 takes paths of half the speed for some numbers of rows where it multiplies tiles (AMX), which are others
    for each shape.
    """
    if dtype == torch.float32 or not _has_tiles():
        return Parts()
    return Parts(*(_part(outputs, inputs, dtype, n) for n in (1024, 2048)))


def _has_tiles() -> bool:
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private to torch; without it, find out
    return ask is None or bool(ask())


def _part(outputs: int, inputs: int, dtype: torch.dtype, rows: int) -> int | None:
    choices = (None, 256, 384)
    with torch.inference_mode():
        source, x = _example(outputs, inputs, "cpu", rows)
        runs = [partial(Packed(source, dtype, Parts(choice, choice)), x.to(dtype)) for choice in choices]
        seconds = fastest(*runs, times=5)
    best = min(range(len(choices)), key=seconds.__getitem__)
    return choices[best] if seconds[best] < _FASTER * seconds[0] else None


def _works(make: Maker, tolerance: float, device: str) -> bool:
    with torch.inference_mode():
        source, x = _example(192, 384, device, 33)
        expected = F.linear(x, source.weight, source.bias)
        try:
            found = make(source, torch.float32)(x).float()
        # whatever a private operator raises where it is missing or has other arguments
        except Exception:
            return False
        return bool((found - expected).norm() <= tolerance * expected.norm())


def _example(outputs: int, inputs: int, device: str, rows: int) -> tuple[Source, Tensor]:
    draw = torch.Generator().manual_seed(0)  # not the user's random numbers
    shapes = ((outputs, inputs), (outputs,), (rows, inputs))
    weight, bias, x = (torch.randn(*shape, generator=draw).to(device) for shape in shapes)
    return Source(weight, bias), x


def fastest(*runs: Callable[[], object], times: int, between: Callable[[], object] | None = None) -> list[float]:
    """Seconds of the fastest of some calls of each of `runs`, in turn, since other programs come and go.

    between: what is done before each call.
    """
    seconds = [[] for _ in runs]  # type: list[list[float]]
    for _ in range(times):
        for run, measured in zip(runs, seconds, strict=True):
            if between is not None:
                between()
            start = time.perf_counter()
            run()
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
            measured.append(time.perf_counter() - start)
    return list(map(min, seconds))
