"""TrainingArguments: everything that says how a training goes, by the names that Transformers 4.20 to 5.x give it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import torch

from .. import logging
from ..errors import ArgumentError, InputError, near
from .choices import IntervalStrategy, OptimizerNames, ParallelMode, SaveStrategy, SchedulerType
from .extra import accelerate
from .old_arguments import READ, REFUSED, WITHOUT_EFFECT, readable, translated

SAMPLING = ("random", "sequential", "group_by_length")
_LEVELS = {**logging.log_levels, "passive": -1}


class _TakingOldNames(type):
    """Arguments by old names are taken as what they mean, by subclasses too."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        defaults = {f.name: f.default for f in fields(cls) if f.init}  # type: ignore[arg-type]
        taken, known = translated(kwargs, defaults), list(defaults)
        if unknown := taken.keys() - set(known):
            name = sorted(unknown)[0]
            raise ArgumentError(f"{cls.__name__} takes no argument {name!r}.{near(name, [*known, *READ])}")
        return super().__call__(*args, **taken)


def _read_absent(name: str) -> property:
    absent = WITHOUT_EFFECT[name] if name in WITHOUT_EFFECT else REFUSED[name][0]
    return property(lambda self: absent)


@dataclass
class TrainingArguments(metaclass=_TakingOldNames):
    """How a training goes. Every name of Transformers 4.20 and 5.x is taken: older ones mean what the newer ones do,
    those that mean nothing here say so once, and those that cannot be honoured are an error.

    Steps are changes of the weights. Where a number of steps is below 1 it is that part of the whole training.
    packing: fill each batch with texts up to `per_device_train_batch_size` rows of `packing_length` tokens; longer
        texts are cut. No text sees another.
    packing_length: tokens of a row; None for the longest text that the model reads.
    continue_after_failed_save: go on where a checkpoint could not be written, instead of an error; the older ones stay.
    """

    OLD_ARGUMENTS: ClassVar[tuple[str, ...]] = (*READ, *WITHOUT_EFFECT, *REFUSED)

    output_dir: str | None = None
    overwrite_output_dir: bool = False
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    # batches and their number
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    num_train_epochs: float = 3.0
    max_steps: int = -1
    gradient_accumulation_steps: int = 1
    average_tokens_across_devices: bool = True
    auto_find_batch_size: bool = False
    packing: bool = False
    packing_length: int | None = None
    # the optimizer and its rate
    learning_rate: float = 5e-5
    lr_scheduler_type: SchedulerType | str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | str | None = None
    warmup_steps: float = 0
    optim: OptimizerNames | str = "adamw_torch_fused"
    optim_args: str | None = None
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    label_smoothing_factor: float = 0.0
    neftune_noise_alpha: float | None = None
    # numbers, memory, devices
    bf16: bool = False
    fp16: bool = False
    bf16_full_eval: bool = False
    fp16_full_eval: bool = False
    tf32: bool | None = None
    activation_checkpointing: bool = False
    activation_checkpointing_kwargs: dict[str, Any] | str | None = None
    use_cache: bool = False
    torch_compile: bool = False
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    torch_empty_cache_steps: int | None = None
    use_cpu: bool = False
    seed: int = 42
    data_seed: int | None = None
    full_determinism: bool = False
    # what is logged
    logging_strategy: IntervalStrategy | str = "steps"
    logging_steps: float = 500
    logging_first_step: bool = False
    logging_dir: str | None = None
    logging_nan_inf_filter: bool = True
    log_on_each_node: bool = True
    log_level: str = "passive"
    log_level_replica: str = "warning"
    include_num_input_tokens_seen: str | bool = "no"
    disable_tqdm: bool | None = None
    report_to: str | list[str] | None = "none"
    run_name: str | None = None
    # what is evaluated
    eval_strategy: IntervalStrategy | str = "no"
    eval_steps: float | None = None
    eval_delay: float = 0
    eval_on_start: bool = False
    eval_accumulation_steps: int | None = None
    eval_do_concat_batches: bool = True
    prediction_loss_only: bool = False
    include_for_metrics: list[str] = field(default_factory=list)
    batch_eval_metrics: bool = False
    # what is saved
    save_strategy: SaveStrategy | str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = None
    save_only_model: bool = False
    save_safetensors: bool = True
    save_on_each_node: bool = False
    continue_after_failed_save: bool = False
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    resume_from_checkpoint: str | None = None
    ignore_data_skip: bool = False
    restore_callback_states_from_checkpoint: bool = False
    # how examples are read
    dataloader_drop_last: bool = False
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    dataloader_persistent_workers: bool = False
    dataloader_prefetch_factor: int | None = None
    dataloader_multiprocessing_context: str | None = None
    dataloader_in_order: bool = True
    remove_unused_columns: bool = True
    label_names: list[str] | None = None
    train_sampling_strategy: str = "random"
    length_column_name: str = "length"
    accelerator_config: dict[str, Any] | str | None = None
    # several processes
    local_rank: int = -1
    ddp_find_unused_parameters: bool | None = None
    ddp_bucket_cap_mb: int | None = None
    ddp_broadcast_buffers: bool | None = None
    ddp_backend: str | None = None
    ddp_timeout: int = 1800

    def __post_init__(self) -> None:
        self.output_dir = os.path.expanduser("trainer_output" if self.output_dir is None else self.output_dir)
        self.eval_strategy = IntervalStrategy(self.eval_strategy)
        self.logging_strategy = IntervalStrategy(self.logging_strategy)
        self.save_strategy = SaveStrategy(self.save_strategy)
        self.lr_scheduler_type = SchedulerType(self.lr_scheduler_type)
        self.optim = OptimizerNames(self.optim)
        for name in ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "accelerator_config"):
            setattr(self, name, _mapping(name, getattr(self, name)))
        if isinstance(self.include_num_input_tokens_seen, bool):
            self.include_num_input_tokens_seen = "all" if self.include_num_input_tokens_seen else "no"
        if self.disable_tqdm is None:
            self.disable_tqdm = not logging.is_progress_bar_enabled() or logging.get_verbosity() > logging.WARNING
        given = [self.report_to] if isinstance(self.report_to, str) else list(self.report_to or ())
        self.report_to = [] if given == ["none"] else given
        if self.eval_strategy != IntervalStrategy.NO:
            self.do_eval = True
        if self.eval_strategy == IntervalStrategy.STEPS and not self.eval_steps:
            self.eval_steps = self.logging_steps
        plateau = self.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU
        if (self.load_best_model_at_end or plateau) and self.metric_for_best_model is None:
            self.metric_for_best_model = "loss"
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")
        if self.torch_compile_mode is not None or self.torch_compile_backend is not None:
            self.torch_compile = True
        if self.torch_compile and self.torch_compile_backend is None:
            self.torch_compile_backend = "inductor"
        if self.logging_dir is None:
            name = f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}"
            self.logging_dir = os.path.join(self.output_dir, "runs", name)
        self._check()
        if self.tf32 is not None and torch.cuda.is_available():
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32

    def _check(self) -> None:
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None and not value >= least:
                raise InputError(f"{name}={value!r} must be at least {least}.")
        if self.logging_strategy == IntervalStrategy.STEPS and not self.logging_steps:
            raise InputError("logging_strategy='steps' needs logging_steps above 0.")
        for name in ("logging_steps", "eval_steps", "save_steps"):
            value = getattr(self, name)
            if value is not None and value > 1:
                if value != int(value):
                    raise InputError(f"{name}={value} is neither a whole number nor, below 1, a part of the training.")
                setattr(self, name, int(value))
        if self.warmup_steps > 1 and self.warmup_steps != int(self.warmup_steps):
            raise InputError(f"warmup_steps={self.warmup_steps} is neither a whole number nor, below 1, a part.")
        if self.fp16 and self.bf16:
            raise ArgumentError("fp16 and bf16 exclude each other.")
        if self.fp16_full_eval and self.bf16_full_eval:
            raise ArgumentError("fp16_full_eval and bf16_full_eval exclude each other.")
        if self.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU and self.eval_strategy == IntervalStrategy.NO:
            raise ArgumentError("lr_scheduler_type='reduce_lr_on_plateau' waits for a metric: set eval_strategy.")
        if self.train_sampling_strategy not in SAMPLING:
            raise ArgumentError(
                f"train_sampling_strategy={self.train_sampling_strategy!r} is none of {', '.join(SAMPLING)}."
            )
        self._check_best()

    def _check_best(self) -> None:
        """That each checkpoint has been evaluated, where the best one is looked for."""
        if not self.load_best_model_at_end or self.save_strategy == SaveStrategy.BEST:
            return
        times = {name: str(getattr(self, name).value) for name in ("eval_strategy", "save_strategy")}
        if len(set(times.values())) > 1:
            raise ArgumentError(
                "load_best_model_at_end compares checkpoints by what an evaluation finds, so both come at one time: "
                f"{' and '.join(f'{name}={word!r}' for name, word in times.items())}. Set both to one value, or "
                "save_strategy='best'."
            )
        if self.eval_strategy == IntervalStrategy.STEPS:
            ratio = self.save_steps / (self.eval_steps or 1)
            same = (self.save_steps < 1) == ((self.eval_steps or 1) < 1)
            if not same or abs(ratio - round(ratio)) > 1e-6:
                raise ArgumentError(
                    f"load_best_model_at_end needs save_steps ({self.save_steps}) to be a multiple of eval_steps "
                    f"({self.eval_steps})."
                )

    # ---- the machine

    @cached_property
    def _state(self) -> Any:
        """accelerate's record of the processes that train together."""
        options: dict[str, Any] = {"timeout": timedelta(seconds=self.ddp_timeout)}
        if self.ddp_backend is not None:
            options["backend"] = self.ddp_backend
        elif self.use_cpu and "WORLD_SIZE" in os.environ:
            options["backend"] = "gloo"
        return accelerate().PartialState(cpu=self.use_cpu, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_state"}

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        return self._state.device

    @property
    def n_gpu(self) -> int:
        """How many GPUs this process uses, at most one."""
        return int(self.device.type == "cuda")

    @property
    def parallel_mode(self) -> ParallelMode:
        """Whether several processes train together."""
        return ParallelMode.DISTRIBUTED if self.world_size > 1 else ParallelMode.NOT_PARALLEL

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self._state.num_processes

    @property
    def process_index(self) -> int:
        """The number of this one."""
        return self._state.process_index

    @property
    def local_process_index(self) -> int:
        """The number of this one on its machine."""
        return self._state.local_process_index

    @property
    def should_log(self) -> bool:
        """Whether this process logs."""
        return (self.local_process_index if self.log_on_each_node else self.process_index) == 0

    @property
    def should_save(self) -> bool:
        """Whether this process writes files."""
        return (self.local_process_index if self.save_on_each_node else self.process_index) == 0

    @property
    def train_batch_size(self) -> int:
        """Rows of a batch of this process."""
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        """The same when evaluating."""
        return self.per_device_eval_batch_size

    def get_process_log_level(self) -> int:
        """The level of `logging` for this process: that of the program where none is asked for."""
        level = _LEVELS[self.log_level if self.should_log else self.log_level_replica]
        return logging.get_verbosity() if level == -1 else level

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """How many steps the rate grows."""
        part = self.warmup_steps < 1
        return math.ceil(num_training_steps * self.warmup_steps) if part else int(self.warmup_steps)

    @contextlib.contextmanager
    def main_process_first(self, local: bool = True, desc: str = "work") -> Iterator[None]:
        """What is inside is done by one process, then by the others, which find what it has left."""
        with self._state.local_main_process_first() if local else self._state.main_process_first():
            yield

    # ---- as text

    def to_dict(self) -> dict[str, Any]:
        """All values as plain ones; tokens are not shown."""
        found = {name: _plain(value) for name, value in asdict(self).items()}
        return {name: f"<{name.upper()}>" if name.endswith("_token") else value for name, value in found.items()}

    def to_json_string(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_sanitized_dict(self) -> dict[str, Any]:
        """The same, with numbers, strings and bools alone, as TensorBoard takes them."""
        more = {"train_batch_size": self.train_batch_size, "eval_batch_size": self.eval_batch_size}
        return {
            name: value if isinstance(value, (bool, int, float, str, torch.Tensor)) else str(value)
            for name, value in {**self.to_dict(), **more}.items()
        }


for _name in READ:
    setattr(TrainingArguments, _name, readable(_name))
for _name in (*WITHOUT_EFFECT, *REFUSED):
    setattr(TrainingArguments, _name, _read_absent(_name))

_LEAST = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "max_grad_norm": 0,
    "num_train_epochs": 0,
    "logging_steps": 0,
    "eval_steps": 0,
    "dataloader_num_workers": 0,
    "torch_empty_cache_steps": 1,
    "packing_length": 2,
}


@dataclass
class Seq2SeqTrainingArguments(TrainingArguments):
    """Those of a model that writes. predict_with_generate: evaluate what it writes, and not its next tokens.

    generation_max_length, generation_num_beams: of what is written then; None as the model's own configuration says.
    generation_config: a GenerationConfig, or the name or folder of one.
    """

    sortish_sampler: bool = False
    predict_with_generate: bool = False
    generation_max_length: int | None = None
    generation_num_beams: int | None = None
    generation_config: Any = None

    def to_dict(self) -> dict[str, Any]:
        """All values as plain ones."""
        found = super().to_dict()
        config = self.generation_config
        return {**found, "generation_config": config.to_dict() if hasattr(config, "to_dict") else config}


def _mapping(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if value.lstrip().startswith("{"):
            return json.loads(value)
        with open(value, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{name}={value!r} is neither JSON nor a file of it: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [_plain(x) for x in value]
    return value
