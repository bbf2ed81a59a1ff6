"""What may be chosen while training, by the strings that stand in scripts and command lines."""

from __future__ import annotations

from ..errors import ArgumentError, near
from ..tokenization.types import Choice

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
    COSINE_WARMUP_WITH_MIN_LR = "cosine_warmup_with_min_lr"
    WARMUP_STABLE_DECAY = "warmup_stable_decay"


class OptimizerNames(Choice):
    """Which optimizer changes the weights."""

    ADAMW_TORCH = "adamw_torch"
    ADAMW_TORCH_FUSED = "adamw_torch_fused"
    ADAMW_HF = "adamw_hf"
    ADAFACTOR = "adafactor"
    SGD = "sgd"
    ADAGRAD = "adagrad"
    RMSPROP = "rmsprop"

    @classmethod
    def _missing_(cls, value: object) -> Choice:
        known = [str(member.value) for member in cls]
        raise ArgumentError(
            f"optim={value!r} is not one of those built in: {', '.join(map(repr, known))}.{near(value, known)} "
            "For any other, hand Trainer your own: optimizers=(optimizer, scheduler), or "
            "optimizer_cls_and_kwargs=(class, {…})."
        )


class HPSearchBackend(Choice):
    """What proposes the values of a search."""

    OPTUNA = "optuna"


class ParallelMode(Choice):
    """How many devices train together, and how."""

    NOT_PARALLEL = "not_parallel"
    DISTRIBUTED = "distributed"
