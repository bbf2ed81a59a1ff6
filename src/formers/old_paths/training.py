"""What Transformers' trainer_utils have that scripts use without a Trainer."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..ops import losses
from ..tokenization.types import Choice
from ..training.seed import set_seed

PREFIX_CHECKPOINT_DIR = "checkpoint"


class IntervalStrategy(Choice):
    """How often something is done while training."""

    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"


EvaluationStrategy = IntervalStrategy


class SaveStrategy(Choice):
    """When a checkpoint is written."""

    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"
    BEST = "best"


class HubStrategy(Choice):
    """What is uploaded while training."""

    END = "end"
    EVERY_SAVE = "every_save"
    CHECKPOINT = "checkpoint"
    ALL_CHECKPOINTS = "all_checkpoints"


class SchedulerType(Choice):
    """How the learning rate changes."""

    LINEAR = "linear"
    COSINE = "cosine"
    COSINE_WITH_RESTARTS = "cosine_with_restarts"
    POLYNOMIAL = "polynomial"
    CONSTANT = "constant"
    CONSTANT_WITH_WARMUP = "constant_with_warmup"
    INVERSE_SQRT = "inverse_sqrt"
    REDUCE_ON_PLATEAU = "reduce_lr_on_plateau"
    COSINE_WITH_MIN_LR = "cosine_with_min_lr"
    WARMUP_STABLE_DECAY = "warmup_stable_decay"


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


@dataclass
class LabelSmoother:
    """A loss in which all tokens share `epsilon` of each label's weight, from what a model returns without labels.

    ignore_index: the label that is left out. Source: Szegedy et al. 2016 (arXiv 1512.00567), section 7.
    """

    epsilon: float = 0.1
    ignore_index: int = losses.IGNORED

    def __call__(
        self,
        model_output: Any,
        labels: Tensor,
        shift_labels: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The mean over the labels (B, T) that count. Logits are (B, T, V), by name or the first of a tuple.

        shift_labels: label t is for the logits at t - 1, as of decoders alone. num_items_in_batch: what the sum is
        divided by, for batches whose gradients are added up.
        """
        logits = model_output["logits"] if isinstance(model_output, Mapping) else model_output[0]
        if logits.shape[:-1] != labels.shape:
            raise InputError(
                f"labels have shape {tuple(labels.shape)}, but the logits are for {tuple(logits.shape[:-1])} tokens. "
                "Logits come first in a tuple of a model that got no labels."
            )
        if shift_labels:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        labels = labels.masked_fill(labels == self.ignore_index, losses.IGNORED)
        return losses.tokens(logits.flatten(0, -2).float(), labels.flatten(), num_items_in_batch, self.epsilon)


def get_last_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """The folder `checkpoint-N` of the highest N in a folder, None where there is none."""
    found = [path for path in Path(folder).iterdir() if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)]
    return str(max(found, key=lambda path: int(path.name.partition("-")[2]))) if found else None


def enable_full_determinism(seed: int, warn_only: bool = False) -> None:
    """Seed all generators, and let torch use deterministic kernels only (slower)."""
    set_seed(seed)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def seed_worker(worker_id: int, num_workers: int = 0, rank: int = 0) -> None:
    """The `worker_init_fn` of a DataLoader: each worker draws its own numbers."""
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)


def speed_metrics(
    split: str, start_time: float, num_samples: int | None = None, num_steps: int | None = None, num_tokens: Any = None
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


def has_length(dataset: Any) -> bool:
    """Whether `len(dataset)` works."""
    try:
        return len(dataset) is not None
    except (TypeError, NotImplementedError):
        return False


def is_main_process(local_rank: int) -> bool:
    """Whether this is the process that writes files."""
    return local_rank in (-1, 0)


def total_processes_number(local_rank: int) -> int:
    """How many processes train together."""
    return torch.distributed.get_world_size() if local_rank != -1 and torch.distributed.is_initialized() else 1


def number_of_arguments(func: Callable[..., Any]) -> int:
    """How many arguments a function has."""
    import inspect

    return len(inspect.signature(func).parameters)
