"""What training, evaluating and predicting give back, and the figures that are logged."""

from __future__ import annotations

import inspect
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class EvalPrediction:
    """What `compute_metrics` gets: `predictions` and `label_ids`, and the inputs and losses if they were asked for."""

    def __init__(self, predictions: Any, label_ids: Any, inputs: Any = None, losses: Any = None) -> None:
        self.predictions, self.label_ids, self.inputs, self.losses = predictions, label_ids, inputs, losses
        self.elements = (predictions, label_ids, *(x for x in (inputs, losses) if x is not None))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.elements)

    def __getitem__(self, index: int) -> Any:
        return self.elements[index]


class EvalLoopOutput(NamedTuple):
    """Predictions over a data set."""

    predictions: Any
    label_ids: Any
    metrics: dict[str, float] | None
    num_samples: int | None


class PredictionOutput(NamedTuple):
    """The same, as `predict` gives it."""

    predictions: Any
    label_ids: Any
    metrics: dict[str, float] | None


class TrainOutput(NamedTuple):
    """What a training ends with."""

    global_step: int
    training_loss: float
    metrics: dict[str, float]


class BestRun(NamedTuple):
    """The best of the runs of a search: its number, what it reached, the values that it had."""

    run_id: str
    objective: float | list[float]
    hyperparameters: dict[str, Any]
    run_summary: Any = None


def sorted_checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """The folders `checkpoint-N` in a folder, from the oldest step on."""
    found = [path for path in Path(folder).iterdir() if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]))


def get_last_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """The folder `checkpoint-N` of the highest N in a folder, None where there is none."""
    found = sorted_checkpoints(folder)
    return str(found[-1]) if found else None


def speed_metrics(
    split: str,
    start_time: float,
    num_samples: float | None = None,
    num_steps: int | None = None,
    num_tokens: Any = None,
) -> dict[str, float]:
    """The seconds since `start_time` (`time.time()`), and samples, steps and tokens a second."""
    seconds = time.time() - start_time
    found = {f"{split}_runtime": round(seconds, 4)}
    for name, count in (("samples", num_samples), ("steps", num_steps), ("tokens", num_tokens)):
        if count is not None and seconds > 0:
            found[f"{split}_{name}_per_second"] = round(count / seconds, 3)
    return found


def default_compute_objective(metrics: dict[str, float]) -> float:
    """The loss where there is no other metric, else the sum of the others."""
    left_out = ("eval_loss", "epoch", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    others = [value for name, value in metrics.items() if name not in left_out]
    return sum(others) if others else metrics["eval_loss"]


def denumpify_detensorize(metrics: Any) -> Any:
    """Numbers of Python instead of arrays and tensors of one number."""
    if isinstance(metrics, (list, tuple)):
        return type(metrics)(denumpify_detensorize(m) for m in metrics)
    if isinstance(metrics, dict):
        return {key: denumpify_detensorize(value) for key, value in metrics.items()}
    one = isinstance(metrics, np.generic) or (isinstance(metrics, Tensor) and metrics.numel() == 1)
    return metrics.item() if one else metrics


def metrics_format(metrics: dict[str, float]) -> dict[str, Any]:
    """The metrics as people read them: hours, bytes and operations with their units."""
    shown: dict[str, Any] = {}
    for name, value in metrics.items():
        if name.endswith("_runtime"):
            seconds = float(value)
            shown[name] = f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:05.2f}"
        elif name == "total_flos":
            shown[name] = f"{value / 2**30:.0f}GF"
        else:
            shown[name] = round(value, 4) if isinstance(value, float) else value
    return shown


def has_length(dataset: Any) -> bool:
    """Whether `len(dataset)` works."""
    try:
        return len(dataset) is not None
    except (TypeError, NotImplementedError, AttributeError):
        return False


def is_main_process(local_rank: int) -> bool:
    """Whether this is the process that writes files."""
    return local_rank in (-1, 0)


def total_processes_number(local_rank: int) -> int:
    """How many processes train together."""
    return torch.distributed.get_world_size() if local_rank != -1 and torch.distributed.is_initialized() else 1


def number_of_arguments(func: Callable[..., Any]) -> int:
    """How many arguments a function has."""
    return len(inspect.signature(func).parameters)
