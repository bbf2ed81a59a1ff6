"""What values the arguments of a training may have."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .. import logging
from ..errors import ArgumentError, InputError
from .choices import IntervalStrategy, SaveStrategy, SchedulerType

SAMPLING = ("random", "sequential", "group_by_length")
TOKENS_SEEN = ("no", "all", "non_padding")
LEVELS = {**logging.log_levels, "passive": -1}

_ANY = float("inf")
_BETWEEN: dict[str, tuple[float, float]] = {
    "per_device_train_batch_size": (1, _ANY),
    "per_device_eval_batch_size": (1, _ANY),
    "gradient_accumulation_steps": (1, _ANY),
    "learning_rate": (0, _ANY),
    "warmup_steps": (0, _ANY),
    "weight_decay": (0, _ANY),
    "adam_beta1": (0, 1),
    "adam_beta2": (0, 1),
    "adam_epsilon": (0, _ANY),
    "max_grad_norm": (0, _ANY),
    "label_smoothing_factor": (0, 1),
    "neftune_noise_alpha": (0, _ANY),
    "num_train_epochs": (0, _ANY),
    "logging_steps": (0, _ANY),
    "eval_steps": (0, _ANY),
    "eval_accumulation_steps": (1, _ANY),
    "dataloader_num_workers": (0, _ANY),
    "torch_empty_cache_steps": (1, _ANY),
    "packing_length": (2, _ANY),
}
_CHOICES = {
    "train_sampling_strategy": SAMPLING,
    "include_num_input_tokens_seen": TOKENS_SEEN,
    "log_level": tuple(LEVELS),
    "log_level_replica": tuple(LEVELS),
}
# a loss that is no number is always an error; texts of like lengths are train_sampling_strategy's
_UNUSED = {"logging_nan_inf_filter": True, "sortish_sampler": False}


def read_numbers(args: Any) -> None:
    """Make numbers of words: YAML reads 1e-5 as one. Errors: InputError for a word that is no number."""
    for field in fields(args):
        value, kind = getattr(args, field.name), str(field.type).partition(" ")[0]
        if not isinstance(value, str) or kind not in ("int", "float"):
            continue
        try:
            setattr(args, field.name, int(value) if kind == "int" else float(value))
        except ValueError:
            raise InputError(f"{field.name}={value!r} is no {'whole ' * (kind == 'int')}number.") from None


def check(args: Any) -> None:
    """Errors: InputError for a value that is not among those possible, ArgumentError for some that exclude others."""
    for name, (least, most) in _BETWEEN.items():
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            raise InputError(
                f"{name}={value!r} must be at least {least}{f' and at most {most:g}' if most < _ANY else ''}."
            )
    for name, known in _CHOICES.items():
        if getattr(args, name) not in known:
            raise ArgumentError(f"{name}={getattr(args, name)!r} is none of {', '.join(known)}.")
    _check_steps(args)
    if args.fp16 and args.bf16:
        raise ArgumentError("fp16 and bf16 exclude each other.")
    if args.fp16_full_eval and args.bf16_full_eval:
        raise ArgumentError("fp16_full_eval and bf16_full_eval exclude each other.")
    if args.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU and args.eval_strategy == IntervalStrategy.NO:
        raise ArgumentError("lr_scheduler_type='reduce_lr_on_plateau' waits for a metric: set eval_strategy.")
    for name in ("dataloader_prefetch_factor", "dataloader_persistent_workers"):
        if getattr(args, name) and not args.dataloader_num_workers:
            raise InputError(f"{name}={getattr(args, name)!r} is for workers: set dataloader_num_workers above 0.")
    for name, default in _UNUSED.items():
        if getattr(args, name, default) != default:
            logging.warn_once(f"TrainingArguments: {name}={getattr(args, name)!r} has no effect here.")
    _check_best(args)


def _check_steps(args: Any) -> None:
    """That numbers of steps are whole, or below 1 a part of the training; whole ones become ints."""
    if args.logging_strategy == IntervalStrategy.STEPS and not args.logging_steps:
        raise InputError("logging_strategy='steps' needs logging_steps above 0.")
    for name in ("logging_steps", "eval_steps", "save_steps", "warmup_steps"):
        value = getattr(args, name)
        if value is not None and value > 1:
            if value != int(value):
                raise InputError(f"{name}={value} is neither a whole number nor, below 1, a part of the training.")
            setattr(args, name, int(value))


def _check_best(args: Any) -> None:
    """That each checkpoint has been evaluated, where the best one is looked for."""
    if not args.load_best_model_at_end or args.save_strategy == SaveStrategy.BEST:
        return
    times = {name: str(getattr(args, name).value) for name in ("eval_strategy", "save_strategy")}
    if len(set(times.values())) > 1:
        raise ArgumentError(
            "load_best_model_at_end compares checkpoints by what an evaluation finds, so both come at one time: "
            f"{' and '.join(f'{name}={word!r}' for name, word in times.items())}. Set both to one value, or "
            "save_strategy='best'."
        )
    if args.eval_strategy == IntervalStrategy.STEPS:
        ratio = args.save_steps / (args.eval_steps or 1)
        same = (args.save_steps < 1) == ((args.eval_steps or 1) < 1)
        if not same or abs(ratio - round(ratio)) > 1e-6:
            raise ArgumentError(
                f"load_best_model_at_end needs save_steps ({args.save_steps}) to be a multiple of eval_steps "
                f"({args.eval_steps})."
            )
