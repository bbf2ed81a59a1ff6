"""TrainingArguments: everything that says how a training goes, by the names that Transformers 4.20 to 5.x give it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import torch

from .. import logging
from ..errors import ArgumentError, near
from ..extra import accelerate
from .checking import LEVELS, check, read_numbers
from .choices import IntervalStrategy, OptimizerNames, ParallelMode, SaveStrategy, SchedulerType
from .old_arguments import READ, REFUSED, WITHOUT_EFFECT, absent, readable, translated


class _TakingOldNames(type):
    """Arguments by old names are taken as what they mean, by subclasses too."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        known = {f.name: _default(f) for f in fields(cls) if f.init}  # type: ignore[arg-type]
        taken = translated(kwargs, known)
        if unknown := taken.keys() - known.keys():
            name = sorted(unknown)[0]
            raise ArgumentError(f"{cls.__name__} takes no argument {name!r}.{near(name, [*known, *READ])}")
        return super().__call__(*args, **taken)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


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
    include_num_input_tokens_seen: str | bool = field(default="no", metadata={"nargs": "?", "const": "all"})
    disable_tqdm: bool | None = None
    report_to: str | list[str] | None = field(default="none", metadata={"nargs": "+"})
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
        read_numbers(self)
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
        check(self)
        if self.tf32 is not None and torch.cuda.is_available():
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32

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
        level = LEVELS[self.log_level if self.should_log else self.log_level_replica]
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
    setattr(TrainingArguments, _name, absent(_name))


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
