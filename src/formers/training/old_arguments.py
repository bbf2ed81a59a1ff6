"""Arguments of training that earlier versions of Transformers had, that mean nothing here, or that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, InputError
from ..logging import warn_once

Renamed = Callable[[Any], dict[str, Any]]


def _as(name: str) -> Renamed:
    return lambda value: {name: value}


def _part(ratio: float) -> float:
    if not 0 <= ratio < 1:
        raise InputError(f"warmup_ratio={ratio} must be at least 0 and below 1; warmup_steps is a number of steps.")
    return ratio


# what an old argument means in the new ones
RENAMED: dict[str, Renamed] = {
    "evaluation_strategy": _as("eval_strategy"),
    "no_cuda": _as("use_cpu"),
    "per_gpu_train_batch_size": _as("per_device_train_batch_size"),
    "per_gpu_eval_batch_size": _as("per_device_eval_batch_size"),
    "gradient_checkpointing": _as("activation_checkpointing"),
    "gradient_checkpointing_kwargs": _as("activation_checkpointing_kwargs"),
    "group_by_length": lambda given: {"train_sampling_strategy": "group_by_length" if given else "random"},
    "adafactor": lambda given: {"optim": "adafactor"} if given else {},
    "include_inputs_for_metrics": lambda given: {"include_for_metrics": ["inputs"]} if given else {},
    "warmup_ratio": lambda ratio: {"warmup_steps": _part(float(ratio))} if ratio else {},
    "torchdynamo": lambda backend: {"torch_compile": True, "torch_compile_backend": backend} if backend else {},
    "include_tokens_per_second": lambda given: {"include_num_input_tokens_seen": "all"} if given else {},
}
# how an old argument is read
READ: dict[str, Callable[[Any], Any]] = {
    "evaluation_strategy": lambda args: args.eval_strategy,
    "no_cuda": lambda args: args.use_cpu,
    "per_gpu_train_batch_size": lambda args: args.per_device_train_batch_size,
    "per_gpu_eval_batch_size": lambda args: args.per_device_eval_batch_size,
    "gradient_checkpointing": lambda args: args.activation_checkpointing,
    "gradient_checkpointing_kwargs": lambda args: args.activation_checkpointing_kwargs,
    "group_by_length": lambda args: args.train_sampling_strategy == "group_by_length",
    "adafactor": lambda args: args.optim == "adafactor",
    "include_inputs_for_metrics": lambda args: "inputs" in args.include_for_metrics,
    "warmup_ratio": lambda args: args.warmup_steps if args.warmup_steps < 1 else 0.0,
    "torchdynamo": lambda args: args.torch_compile_backend,
    "include_tokens_per_second": lambda args: args.include_num_input_tokens_seen != "no",
}
# what says how other libraries, devices or places do the same: no result depends on it; and its value for "not given"
WITHOUT_EFFECT: dict[str, Any] = {
    "ddp_static_graph": None,
    "debug": "",
    "dispatch_batches": None,
    "enable_jit_checkpoint": False,
    "eval_use_gather_object": False,
    "fp16_backend": "auto",
    "fp16_opt_level": "O1",
    "fsdp_min_num_params": 0,
    "fsdp_transformer_layer_cls_to_wrap": None,
    "half_precision_backend": "auto",
    "hub_always_push": False,
    "hub_model_id": None,
    "hub_private_repo": None,
    "hub_revision": None,
    "hub_strategy": "every_save",
    "hub_token": None,
    "jit_mode_eval": False,
    "liger_kernel_config": None,
    "mp_parameters": "",
    "project": "huggingface",
    "push_to_hub_model_id": None,
    "push_to_hub_organization": None,
    "push_to_hub_token": None,
    "ray_scope": "last",
    "skip_memory_metrics": True,
    "split_batches": None,
    "tpu_metrics_debug": False,
    "tpu_num_cores": None,
    "trackio_bucket_id": None,
    "trackio_space_id": None,
    "trackio_static_space_id": None,
    "use_ipex": False,
    "use_legacy_prediction_loop": False,
    "use_liger_kernel": False,
    "use_mps_device": False,
    "xpu_backend": None,
}
# what would change what is computed, or where it goes, and is not here; its value for "not given", and the way out
REFUSED: dict[str, tuple[Any, str]] = {
    "deepspeed": (None, "DeepSpeed is not supported; train with several processes by torchrun"),
    "fsdp": (None, "fully sharded training is not supported; train with several processes by torchrun"),
    "fsdp_config": (None, "fully sharded training is not supported; train with several processes by torchrun"),
    "optim_target_modules": (None, "optimizers of low rank are not here; hand Trainer your own: optimizers=(…)"),
    "parallelism_config": (None, "models are not split over devices here; train with several processes by torchrun"),
    "past_index": (-1, "states are not carried from batch to batch; leave it out"),
    "push_to_hub": (False, "nothing is uploaded here; save the model and upload its folder with huggingface_hub"),
    "sharded_ddp": ("", "sharded training is not supported; train with several processes by torchrun"),
}


def translated(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The arguments by their new names. defaults: of the new ones; a value that is the default counts as not given, as
    parsers and dataclasses.replace hand over all.

    Errors: ArgumentError for those that cannot be honoured, and for an old and a new name that say different things.
    """
    found = {name: value for name, value in given.items() if name not in RENAMED}
    for name, value in given.items():
        if name in RENAMED and value is not None:
            for new, meant in RENAMED[name](value).items():
                _take(found, name, new, meant, defaults.get(new))
    for name in REFUSED:
        refuse(name, found.get(name))
    for name in WITHOUT_EFFECT:
        say_once(name, found.get(name))
    return {name: value for name, value in found.items() if name not in WITHOUT_EFFECT and name not in REFUSED}


def _take(found: dict[str, Any], name: str, new: str, meant: Any, default: Any) -> None:
    """Set `new` to what the argument `name` means, where that is asked for."""
    if found.get(new, default) == default:
        found[new] = meant
    elif meant not in (default, found[new]) and name != "warmup_ratio":  # steps that are given count
        raise ArgumentError(f"{new}={found[new]!r} and {name}, its older name, say different things: give one of them.")


def _missing(value: Any, absent: Any) -> bool:
    return value is None or value == absent or (absent is not True and value is False) or value in ("", [], {})


def refuse(name: str, value: Any) -> None:
    """Errors: ArgumentError where an argument of REFUSED is given."""
    absent, way_out = REFUSED[name]
    if not _missing(value, absent):
        raise ArgumentError(f"{name}={value!r} cannot be honoured: {way_out}.")


def say_once(name: str, value: Any) -> None:
    """A warning where an argument of WITHOUT_EFFECT is given."""
    if not _missing(value, WITHOUT_EFFECT[name]):
        warn_once(f"TrainingArguments: {name}={value!r} has no effect here.")


def absent(name: str) -> property:
    """An argument that is not here, as an attribute: as if it had not been given."""
    refused = name in REFUSED
    value, check = (REFUSED[name][0], refuse) if refused else (WITHOUT_EFFECT[name], say_once)
    return property(lambda args: value, lambda args, given: check(name, given))


def readable(name: str) -> property:
    """An old argument as an attribute."""

    def write(args: Any, value: Any) -> None:
        for new, meant in RENAMED[name](value).items():
            setattr(args, new, meant)

    return property(READ[name], write)
