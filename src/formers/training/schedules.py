"""How the learning rate changes from step to step.

      1 ┤     ╱╲                   ╱────────╲            a schedule is a factor of the optimizer's rate,
        │    ╱   ╲                ╱           ╲          a function of the step; it starts from 0 over
      0 ┤───╱──────╲───          ╱──────────────╲──      `num_warmup_steps` where it has any
         warm-up   linear         warm-up  stable  decay

Sources: Goyal et al. 2017 (arXiv 1706.02677) for the warm-up, Loshchilov and Hutter 2016 (arXiv 1608.03983) for the
cosines, Vaswani et al. 2017 (arXiv 1706.03762) for the inverse root, Hu et al. 2024 (arXiv 2404.06395) for the
stable part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from ..errors import ArgumentError, InputError
from .choices import SchedulerType

Factor = Callable[[int], float]


def _scheduled(optimizer: Optimizer, factor: Factor, last_epoch: int) -> LambdaLR:
    return LambdaLR(optimizer, factor, last_epoch)


def _warm(step: int, warmup: int) -> float:
    return step / max(1, warmup)


def _after(step: int, warmup: int, total: int) -> float:
    """How much of what follows the warm-up is over, from 0 on."""
    return (step - warmup) / max(1, total - warmup)


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """The optimizer's own rate throughout."""
    return _scheduled(optimizer, _constant, last_epoch)


def _constant(step: int) -> float:
    return 1.0


def get_reduce_on_plateau_schedule(optimizer: Optimizer, **kwargs: Any) -> ReduceLROnPlateau:
    """torch's: less when a metric has not improved for some evaluations."""
    return ReduceLROnPlateau(optimizer, **kwargs)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1) -> LambdaLR:
    """From 0 to the rate, which then stays."""
    return _scheduled(optimizer, partial(_constant_with_warmup, warmup=num_warmup_steps), last_epoch)


def _constant_with_warmup(step: int, *, warmup: int) -> float:
    return _warm(step, warmup) if step < warmup else 1.0


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """From 0 to the rate, then straight down to 0 at `num_training_steps`."""
    factor = partial(_linear, warmup=num_warmup_steps, total=num_training_steps)
    return _scheduled(optimizer, factor, last_epoch)


def _linear(step: int, *, warmup: int, total: int) -> float:
    return _warm(step, warmup) if step < warmup else max(0.0, 1 - _after(step, warmup, total))


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5, last_epoch: int = -1
) -> LambdaLR:
    """From 0 to the rate, then along `num_cycles` waves of a cosine: half a wave ends at 0."""
    factor = partial(_cosine, warmup=num_warmup_steps, total=num_training_steps, cycles=num_cycles)
    return _scheduled(optimizer, factor, last_epoch)


def _cosine(step: int, *, warmup: int, total: int, cycles: float, least: float = 0.0) -> float:
    if step < warmup:
        return _warm(step, warmup)
    wave = 0.5 * (1 + math.cos(math.pi * cycles * 2 * _after(step, warmup, total)))
    return max(0.0, wave * (1 - least) + least)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1, last_epoch: int = -1
) -> LambdaLR:
    """From 0 to the rate, then `num_cycles` times from the rate to 0 along half a cosine."""
    factor = partial(_restarting, warmup=num_warmup_steps, total=num_training_steps, cycles=num_cycles)
    return _scheduled(optimizer, factor, last_epoch)


def _restarting(step: int, *, warmup: int, total: int, cycles: int) -> float:
    if step < warmup:
        return _warm(step, warmup)
    over = _after(step, warmup, total)
    return 0.0 if over >= 1 else max(0.0, 0.5 * (1 + math.cos(math.pi * (cycles * over % 1))))


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    last_epoch: int = -1,
) -> LambdaLR:
    """From 0 to the rate, then down to `lr_end` by a power of what remains."""
    rate = optimizer.defaults["lr"]
    if not rate > lr_end:
        raise InputError(f"lr_end ({lr_end}) must be below the optimizer's learning rate ({rate}).")
    factor = partial(_polynomial, warmup=num_warmup_steps, total=num_training_steps, least=lr_end / rate, power=power)
    return _scheduled(optimizer, factor, last_epoch)


def _polynomial(step: int, *, warmup: int, total: int, least: float, power: float) -> float:
    if step < warmup:
        return _warm(step, warmup)
    return least if step > total else (1 - least) * (1 - _after(step, warmup, total)) ** power + least


def get_inverse_sqrt_schedule(
    optimizer: Optimizer, num_warmup_steps: int, timescale: int | None = None, last_epoch: int = -1
) -> LambdaLR:
    """From 0 to the rate, then by 1/√(steps), in units of `timescale`: the warm-up's, 10,000 without one."""
    scale = timescale if timescale is not None else num_warmup_steps or 10_000
    return _scheduled(optimizer, partial(_inverse_root, warmup=num_warmup_steps, scale=scale), last_epoch)


def _inverse_root(step: int, *, warmup: int, scale: int) -> float:
    return _warm(step, warmup) if step < warmup else 1 / math.sqrt((step + scale - warmup) / scale)


def get_cosine_with_min_lr_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> LambdaLR:
    """The cosine, down to `min_lr`, or to `min_lr_rate` of the rate, instead of 0."""
    least = _least(optimizer, min_lr, min_lr_rate)
    factor = partial(_cosine, warmup=num_warmup_steps, total=num_training_steps, cycles=num_cycles, least=least)
    return _scheduled(optimizer, factor, last_epoch)


def _least(optimizer: Optimizer, rate: float | None, share: float | None) -> float:
    if (rate is None) == (share is None):
        raise ArgumentError("Give one of min_lr, a learning rate, and min_lr_rate, a part of the optimizer's own.")
    return share if rate is None else rate / optimizer.defaults["lr"]  # type: ignore[return-value]


def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> LambdaLR:
    """The same, with a warm-up that begins at `warmup_lr_rate` of the rate, or else at one step's part of it."""
    least = _least(optimizer, min_lr, min_lr_rate)
    factor = partial(
        _cosine_from,
        warmup=num_warmup_steps, total=num_training_steps, cycles=num_cycles, least=least, first=warmup_lr_rate,
    )  # fmt: skip
    return _scheduled(optimizer, factor, last_epoch)


def _cosine_from(step: int, *, warmup: int, total: int, cycles: float, least: float, first: float | None) -> float:
    if step < warmup:
        if first is None:
            return (step + 1) / max(1, warmup)
        return first + (1 - first) * step / max(1, warmup - 1)
    over = (step - warmup + 1) / max(1, total - warmup)
    wave = 0.5 * (1 + math.cos(math.pi * cycles * 2 * over))
    return max(0.0, wave * (1 - least) + least)


def get_wsd_schedule(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Warm-up, a stable part, and a decay; each of the two slopes is "linear", "cosine" or "1-sqrt"."""
    if num_training_steps is None and num_stable_steps is None:
        raise ArgumentError("Give num_training_steps or num_stable_steps.")
    for name, kind in (("warmup_type", warmup_type), ("decay_type", decay_type)):
        if kind not in _SLOPES:
            raise ArgumentError(f"{name}={kind!r} is none of {', '.join(map(repr, _SLOPES))}.")
    stable: Any = num_stable_steps
    if num_training_steps is not None and stable is None:
        stable = num_training_steps - num_warmup_steps - num_decay_steps
    factor = partial(
        _stable, warmup=num_warmup_steps, stable=stable, decay=num_decay_steps,
        up=warmup_type, down=decay_type, least=min_lr_ratio, cycles=num_cycles,
    )  # fmt: skip
    return _scheduled(optimizer, factor, last_epoch)


_SLOPES: dict[str, Callable[[float, float], float]] = {  # from how much is over, and waves, to 1 … 0
    "linear": lambda over, cycles: 1 - over,
    "cosine": lambda over, cycles: 0.5 * (1 + math.cos(math.pi * cycles * 2 * over)),
    "1-sqrt": lambda over, cycles: 1 - math.sqrt(over),
}


def _stable(
    step: int, *, warmup: int, stable: int, decay: int, up: str, down: str, least: float, cycles: float
) -> float:
    if step < warmup:
        risen = _SLOPES[up](1 - _warm(step, warmup), 0.5)
        return max(0.0, risen * (1 - least) + least)
    if step < warmup + stable:
        return 1.0
    if step >= warmup + stable + decay:
        return least
    fallen = _SLOPES[down]((step - warmup - stable) / max(1, decay), cycles)
    return max(0.0, fallen * (1 - least) + least)


TYPE_TO_SCHEDULER_FUNCTION: dict[str, Callable[..., LRScheduler | ReduceLROnPlateau]] = {
    SchedulerType.LINEAR: get_linear_schedule_with_warmup,
    SchedulerType.COSINE: get_cosine_schedule_with_warmup,
    SchedulerType.COSINE_WITH_RESTARTS: get_cosine_with_hard_restarts_schedule_with_warmup,
    SchedulerType.POLYNOMIAL: get_polynomial_decay_schedule_with_warmup,
    SchedulerType.CONSTANT: get_constant_schedule,
    SchedulerType.CONSTANT_WITH_WARMUP: get_constant_schedule_with_warmup,
    SchedulerType.INVERSE_SQRT: get_inverse_sqrt_schedule,
    SchedulerType.REDUCE_ON_PLATEAU: get_reduce_on_plateau_schedule,
    SchedulerType.COSINE_WITH_MIN_LR: get_cosine_with_min_lr_schedule_with_warmup,
    SchedulerType.COSINE_WARMUP_WITH_MIN_LR: get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
    SchedulerType.WARMUP_STABLE_DECAY: get_wsd_schedule,
}
_UNWARMED = (SchedulerType.CONSTANT, SchedulerType.REDUCE_ON_PLATEAU)
_ENDLESS = (*_UNWARMED, SchedulerType.CONSTANT_WITH_WARMUP, SchedulerType.INVERSE_SQRT)


def get_scheduler(
    name: str | SchedulerType,
    optimizer: Optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
) -> Any:
    """The schedule called `name`, with the steps that it needs and options of its own.

    Errors: ArgumentError for a name that is not known, or steps that are needed and not given.
    """
    kind, options = SchedulerType(name), dict(scheduler_specific_kwargs or {})
    if kind not in TYPE_TO_SCHEDULER_FUNCTION:
        raise ArgumentError(f"The schedule {kind.value!r} is not here; known are those of get_scheduler's docstring.")
    if kind not in _UNWARMED:
        if num_warmup_steps is None:
            raise ArgumentError(f"The schedule {kind.value!r} needs num_warmup_steps; 0 for none.")
        options["num_warmup_steps"] = num_warmup_steps
    if kind not in _ENDLESS:
        if num_training_steps is None:
            raise ArgumentError(f"The schedule {kind.value!r} needs num_training_steps.")
        options["num_training_steps"] = num_training_steps
    return TYPE_TO_SCHEDULER_FUNCTION[kind](optimizer, **options)
