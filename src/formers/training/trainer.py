"""Trainer: a model, data and arguments become a trained model.

epoch ─▶ batches of a step ─▶ loss, backward (each batch) ─▶ clip ─▶ optimizer, schedule ─▶ log, evaluate, save
                                                                               └──────── next step ◀────────┘
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from .. import heads
from ..errors import ArgumentError, FormersError, HeadError, InputError
from ..logging import logger, warn_once
from ..modeling import PreTrainedModel
from ..ops.losses import IGNORED
from ..tokenization import PreTrainedTokenizerBase
from . import optimizers, seed
from .arguments import TrainingArguments
from .callbacks import (
    TRAINER_STATE_NAME,
    CallbackHandler,
    DefaultFlowCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerControl,
    TrainerState,
    exported,
    watched,
)
from .choices import IntervalStrategy, SaveStrategy
from .collators import DataCollatorWithPadding, default_data_collator
from .data import Data, inner_model
from .evaluating import Evaluating
from .extra import accelerate
from .faults import Interrupt, NotFiniteError, explained
from .reporting import reporters
from .results import TrainOutput, has_length, number_of_arguments, speed_metrics
from .saving import Saving, one_training
from .schedules import get_scheduler
from .searching import Searching
from .smoothing import LabelSmoother


@dataclass
class Run:
    """One call of `train`: how long it is, and where it begins.

    batches, updates: of an epoch. resumed: the checkpoint that it goes on from; epoch, skipped: the first epoch, and
    the batches of it that were trained on; states: the generators as they were there.
    """

    max_steps: int
    epochs: int
    batches: int
    updates: int
    examples: float
    start: float
    trial: Any = None
    ignore_keys: list[str] | None = None
    resumed: str | None = None
    epoch: int = 0
    skipped: int = 0
    states: dict[str, Any] | None = None


class Trainer(Data, Evaluating, Searching, Saving):
    """Trains a model on the batches of a data set, and evaluates it.

    model: any nn.Module that returns a loss, mostly one with a head; or model_init, a function that makes it.
    args: TrainingArguments. data_collator: from examples to a batch; by default texts are filled up as the tokenizer
        does. train_dataset, eval_dataset: examples, mappings of columns; eval_dataset may be {name: examples}.
    processing_class: the tokenizer (`tokenizer` by its old name), saved beside the model.
    compute_loss_func: from (outputs, labels, num_items_in_batch) to a loss. compute_metrics: from an EvalPrediction to
        {name: number}. preprocess_logits_for_metrics: from (logits, labels) to what is kept of them.
    callbacks: of type TrainerCallback. optimizers: (optimizer, schedule) of one's own. optimizer_cls_and_kwargs: the
        class of an optimizer and its options.
    """

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Callable[..., Any] | None = None,
        compute_loss_func: Callable[..., Any] | None = None,
        compute_metrics: Callable[..., Any] | None = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[Any, dict[str, Any]] | None = None,
        preprocess_logits_for_metrics: Callable[..., Any] | None = None,
        tokenizer: Any = None,
    ) -> None:
        self.args = args = TrainingArguments("trainer_output") if args is None else args
        seed.enable_full_determinism(args.seed) if args.full_determinism else seed.set_seed(args.seed)
        self.model_init, self._trial = model_init, None
        if (model is None) == (model_init is None):
            raise ArgumentError("Trainer takes a model, or a model_init that makes one; one of them.")
        self.model = self.call_model_init() if model is None else model
        self.accelerator = self._accelerator()
        self.gather_function = self.accelerator.gather_for_metrics
        self.processing_class = tokenizer if processing_class is None else processing_class
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer, self.lr_scheduler = optimizers
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        if model_init is not None and any(x is not None for x in optimizers):
            raise ArgumentError("model_init makes new parameters, which optimizers=… cannot know: leave one out.")
        self._look_at_model()
        pads = isinstance(self.processing_class, PreTrainedTokenizerBase)
        default = DataCollatorWithPadding(self.processing_class) if pads else default_data_collator
        self.data_collator = default if data_collator is None else data_collator
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        if self.eval_dataset is None and args.eval_strategy != IntervalStrategy.NO:
            raise ArgumentError("eval_strategy is set, but there is no eval_dataset= to evaluate on.")
        self._train_batch_size = args.train_batch_size
        self.current_gradient_accumulation_steps = args.gradient_accumulation_steps
        self._eval_dataloaders: dict[str, Any] = {}
        self._recorded, self._epoch_start, self._batches_read = None, None, 0
        self.is_in_train = False
        self.current_flos, self._weights_counted = 0.0, 0
        self._set_callbacks(callbacks)
        if args.should_save:
            os.makedirs(str(args.output_dir), exist_ok=True)

    # ---- what it is made of

    def _accelerator(self) -> Any:
        library, args = accelerate(), self.args
        from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, TorchDynamoPlugin

        config = dict(args.accelerator_config or {})
        for name in ("gradient_accumulation_kwargs", "use_configured_state"):
            config.pop(name, None)
        config.pop("use_seedable_sampler", None)  # the order follows from a seed anyway
        loaders = DataLoaderConfiguration(**config)
        parallel: dict[str, Any] = {
            "find_unused_parameters": args.ddp_find_unused_parameters,
            "bucket_cap_mb": args.ddp_bucket_cap_mb,
            "broadcast_buffers": args.ddp_broadcast_buffers,
        }
        if args.ddp_find_unused_parameters is None:
            parallel["find_unused_parameters"] = not args.activation_checkpointing
        handlers = [DistributedDataParallelKwargs(**{k: v for k, v in parallel.items() if v is not None})]
        more: dict[str, Any] = {}
        if args.torch_compile:
            mode = {} if args.torch_compile_mode is None else {"mode": args.torch_compile_mode}
            more["dynamo_plugin"] = TorchDynamoPlugin(backend=args.torch_compile_backend, **mode)
        precision = "bf16" if args.bf16 else "fp16" if args.fp16 else "no"
        known: Any = library.state.AcceleratorState  # one a process, which an earlier Trainer may have made
        if known._shared_state and known().mixed_precision != precision:
            known._reset_state()
        return library.Accelerator(
            cpu=args.use_cpu,
            mixed_precision=precision,
            dataloader_config=loaders,
            kwargs_handlers=handlers,
            **more,
        )

    def _look_at_model(self) -> None:
        """What the model takes, and what its labels are called."""
        model: Any = inner_model(self.model)
        if isinstance(model, PreTrainedModel) and not model.TARGETS:
            raise HeadError(
                f"{type(model).__name__} gives hidden states and takes no labels. Train a model with a head, as "
                "AutoModelForSequenceClassification or another AutoModelFor….from_pretrained gives it."
            )
        parameters = inspect.signature(model.forward).parameters
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        accepts = getattr(model, "accepts_loss_kwargs", None)
        self.model_accepts_loss_kwargs = accepts if accepts is not None else any_name or heads.ITEMS in parameters
        self._loss_shifts_labels = shifts_labels(model)
        spans = ("start_positions", "end_positions")
        found = [name for name in parameters if ("label" in name and name != "label_smoothing") or name in spans]
        self.label_names = found if self.args.label_names is None else self.args.label_names
        smoothing = self.args.label_smoothing_factor
        self.label_smoother = LabelSmoother(smoothing) if smoothing else None
        if smoothing and getattr(getattr(model, "config", None), "problem_type", None) == "multi_label_classification":
            raise ArgumentError("label_smoothing_factor is for labels that exclude each other; set it to 0.")
        self.model.to(self.args.device)
        self.model_wrapped = self.model

    def _set_callbacks(self, callbacks: list[Any] | None) -> None:
        args = self.args
        known = [DefaultFlowCallback, *reporters(args.report_to), *(callbacks or [])]
        known.append(PrinterCallback if args.disable_tqdm else ProgressCallback)
        self.callback_handler = CallbackHandler(
            known, self.model, self.processing_class, self.optimizer, self.lr_scheduler
        )
        self.control = TrainerControl()
        self.state = self._new_state()
        self.control = self.callback_handler.on_init_end(args, self.state, self.control)

    @property
    def tokenizer(self) -> Any:
        """`processing_class` by its old name."""
        return self.processing_class

    @tokenizer.setter
    def tokenizer(self, value: Any) -> None:
        self.processing_class = value

    def _new_state(self) -> TrainerState:
        return TrainerState(
            is_local_process_zero=self.is_local_process_zero(), is_world_process_zero=self.is_world_process_zero()
        )

    def add_callback(self, callback: Any) -> None:
        """Add a callback, or one that a class makes."""
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: Any) -> Any:
        """Take out a callback, or the first of a class, and give it back."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        """Take out a callback, or the first of a class."""
        self.callback_handler.remove_callback(callback)

    def is_local_process_zero(self) -> bool:
        """Whether this process is the first of its machine."""
        return self.args.local_process_index == 0

    def is_world_process_zero(self) -> bool:
        """Whether this process is the first of all."""
        return self.args.process_index == 0

    def call_model_init(self, trial: Any = None) -> Any:
        """The model that `model_init` makes, for a trial of a search."""
        assert self.model_init is not None  # callers have one
        model = self.model_init(*[trial][: number_of_arguments(self.model_init)])
        if model is None:
            raise InputError("model_init returned None; return a model.")
        return model

    # ---- what changes the weights

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """Make both, where they were not given."""
        self.create_optimizer()
        self.create_scheduler(num_training_steps, self.optimizer)

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """The parameters that weight decay is for: no biases, no normalisations."""
        return optimizers.decayed_names(model)

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, dict[str, Any]]:
        """The class of the optimizer that the arguments name, and its options."""
        return optimizers.chosen(args)

    def create_optimizer(self, model: Any = None) -> Any:
        """Make the optimizer, where none was given."""
        if self.optimizer is None:
            model = self.model if model is None else model
            grouped = optimizers.groups(model, self.get_decay_parameter_names(model), self.args.weight_decay)
            kind, options = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, model)
            self.optimizer = kind(grouped, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the schedule, where none was given."""
        if self.lr_scheduler is None:
            self.lr_scheduler = get_scheduler(
                self.args.lr_scheduler_type,
                self.optimizer if optimizer is None else optimizer,
                num_warmup_steps=self.args.get_warmup_steps(num_training_steps),
                num_training_steps=num_training_steps,
                scheduler_specific_kwargs=self.args.lr_scheduler_kwargs,
            )
        return self.lr_scheduler

    def get_num_trainable_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def get_learning_rates(self) -> list[float]:
        """The rates of the optimizer's groups."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _get_learning_rate(self) -> float:
        return float(self.get_learning_rates()[0])

    # ---- a step

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch, and with `return_outputs` what the model returned.

        num_items_in_batch: the labels of all batches of the step, by which sums are divided; None for means of each.
        """
        apart = "labels" in inputs and (self.label_smoother is not None or self.compute_loss_func is not None)
        labels = inputs["labels"] if apart else None
        if apart:
            inputs = self._without_labels(inputs)
        if self.model_accepts_loss_kwargs and num_items_in_batch is not None:
            inputs = {**inputs, heads.ITEMS: num_items_in_batch}
        outputs = self._computed(model, inputs)
        if self.compute_loss_func is not None:
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)
        elif labels is not None:
            assert self.label_smoother is not None  # or the labels would not be apart
            loss = self.label_smoother(outputs, labels, self._loss_shifts_labels, num_items_in_batch)
        else:
            loss = loss_of(outputs, inputs)
        if self.args.average_tokens_across_devices and self._scaled(num_items_in_batch):
            loss = loss * self.accelerator.num_processes  # whose mean is taken
        return (loss, outputs) if return_outputs else loss

    def _without_labels(self, inputs: Any) -> dict[str, Any]:
        """The inputs for a loss that is computed outside: a decoder still gets what its labels say."""
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        model: Any = inner_model(self.accelerator.unwrap_model(self.model))
        shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
        if shift is not None and "decoder_input_ids" not in rest and "decoder_inputs_embeds" not in rest:
            rest["decoder_input_ids"] = shift(labels=inputs["labels"])
        return rest

    def _computed(self, model: Any, inputs: Any) -> Any:
        """What the model returns, which keeps no keys and values for tokens that nobody will write."""
        config: Any = getattr(inner_model(self.model), "config", None)
        keeps = getattr(config, "use_cache", None)
        if not keeps or self.args.use_cache:
            return model(**inputs)
        config.use_cache = False
        try:
            return model(**inputs)
        finally:
            config.use_cache = keeps

    def _scaled(self, items: Any) -> bool:
        """Whether the loss is a sum divided by `items`, those of all batches."""
        return items is not None and (self.model_accepts_loss_kwargs or self.compute_loss_func is not None)

    def compute_loss_context_manager(self) -> Any:
        """What a loss is computed in; mixed precision is accelerate's."""
        return self.autocast_smart_context_manager()

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        """Nothing: accelerate casts."""
        return contextlib.nullcontext()

    def _items(self, items: Any) -> dict[str, Any]:
        """The number of labels, for a `compute_loss` that takes it; subclasses of old do not."""
        taken = inspect.signature(self.compute_loss).parameters
        known = heads.ITEMS in taken or any(p.kind is p.VAR_KEYWORD for p in taken.values())
        return {heads.ITEMS: items} if known and items is not None else {}

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The loss of a batch, whose gradients are added to those that are there."""
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()
        inputs = self._prepare_inputs(inputs)
        items = self._items(num_items_in_batch)
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs, **items)
        del inputs
        every = self.args.torch_empty_cache_steps
        if every and self.state.global_step % every == 0 and torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not (items and self._scaled(num_items_in_batch)) and self.compute_loss_func is None:
            loss = loss / self.current_gradient_accumulation_steps
        self.accelerator.backward(loss)
        return loss.detach()

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any = None) -> tuple[list[Any], Any]:
        """The batches of a step, and how many labels they have together; fewer at the end of the data."""
        batches = []
        for _ in range(num_batches):
            try:
                batches.append(next(epoch_iterator))
            except StopIteration:
                break
        return batches, self._get_num_items_in_batch(batches, self.args.device)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        taken = self.model_accepts_loss_kwargs or self.compute_loss_func is not None
        if not taken or not batch_samples or "labels" not in batch_samples[0]:
            return None
        counted = []
        for batch in batch_samples:
            labels = batch["labels"]
            if not isinstance(labels, Tensor):
                return None
            counted.append(labels[..., 1:] if self._loss_shifts_labels else labels)
        items = sum((labels != IGNORED).sum() for labels in counted)
        assert isinstance(items, Tensor)  # there is a batch
        items = items.to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            items = self.accelerator.gather(items).sum()
        return items

    def floating_point_ops(self, inputs: Any) -> float:
        """About how many operations a batch costs: six for each token and number of the model but its embeddings."""
        main = inputs.get(self._main_input()) if isinstance(inputs, Mapping) or hasattr(inputs, "get") else None
        return 6.0 * main.numel() * self._weights_counted if isinstance(main, Tensor) else 0.0

    # ---- the whole

    def train(
        self, resume_from_checkpoint: Any = None, trial: Any = None, ignore_keys_for_eval: Any = None, **kwargs: Any
    ) -> TrainOutput:
        """Train. resume_from_checkpoint: a checkpoint's folder to go on from, or True for the last one.

        A first Ctrl-C ends the step, writes a checkpoint and raises KeyboardInterrupt; a second one stops at once.
        Errors: InputError for a batch that the model cannot take, NotFiniteError for a loss that is no number; the
        rows are named, and no checkpoint is written over.
        """
        resume_from_checkpoint = kwargs.pop("model_path", resume_from_checkpoint)
        if kwargs:
            raise ArgumentError(f"train takes no argument {sorted(kwargs)[0]!r}.")
        self._hp_search_setup(trial)
        args = self.args
        if self.model_init is not None:
            seed.enable_full_determinism(args.seed) if args.full_determinism else seed.set_seed(args.seed)
            self.model = self.call_model_init(trial)
            self.optimizer = self.lr_scheduler = None
            self._look_at_model()
            self.callback_handler.model = self.model
        resumed = self._checkpoint_to_resume(resume_from_checkpoint)
        loop: Any = partial(
            self._inner_training_loop, args=args, resume_from_checkpoint=resumed, trial=trial,
            ignore_keys_for_eval=ignore_keys_for_eval,
        )  # fmt: skip
        if args.auto_find_batch_size:
            from accelerate.utils import find_executable_batch_size

            loop = find_executable_batch_size(loop, starting_batch_size=self._train_batch_size)
        folder = self._get_output_dir(trial)
        alone = one_training(folder) if args.should_save else contextlib.nullcontext()
        self.is_in_train = True
        try:
            with alone, self._embeddings_noised(), Interrupt() as self._interrupt:
                return loop()
        finally:
            self.is_in_train = False

    @contextlib.contextmanager
    def _embeddings_noised(self) -> Iterator[None]:
        """Inside, what the table of embeddings gives in training has noise added.

        Source: Jain et al. 2023 (arXiv 2310.05914)."""
        alpha = self.args.neftune_noise_alpha
        if alpha is None:
            yield
            return

        def noised(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            if not module.training:
                return output
            bound = alpha / math.sqrt(output.shape[-2] * output.shape[-1])
            return output + torch.zeros_like(output).uniform_(-bound, bound)

        table: Any = inner_model(self.model).get_input_embeddings()
        hook = table.register_forward_hook(noised)
        try:
            yield
        finally:
            hook.remove()

    def _inner_training_loop(
        self,
        batch_size: int | None = None,
        args: Any = None,
        resume_from_checkpoint: str | None = None,
        trial: Any = None,
        ignore_keys_for_eval: Any = None,
    ) -> TrainOutput:
        self.accelerator.free_memory()
        if batch_size is not None:
            self._train_batch_size, self.model_wrapped = batch_size, self.model
        for left in Path(self._get_output_dir(trial)).glob(".checkpoint-*.unfinished"):
            shutil.rmtree(left, ignore_errors=True)
        loader: Any = self.get_train_dataloader()
        run = self._planned(loader, trial, ignore_keys_for_eval)
        self._begin_state(run, resume_from_checkpoint)
        model = self._prepare_for_training(run)
        self.callback_handler.train_dataloader = loader
        self._log_size(run)
        self._tr_loss = torch.tensor(0.0, device=self.args.device)
        self._total_loss, self._logged_at, self._begun_at = 0.0, self.state.global_step, self.state.global_step
        model.zero_grad()
        self.control = self.callback_handler.on_train_begin(self.args, self.state, self.control)
        if self.args.eval_on_start:
            self._evaluate(run, plateau=False)
        try:
            for epoch in range(run.epoch, run.epochs):
                if self.state.global_step >= run.max_steps:
                    break
                self.control = self.callback_handler.on_epoch_begin(self.args, self.state, self.control)
                self._run_epoch(model, epoch, loader, run)
                if self.control.should_training_stop:
                    break
        except KeyboardInterrupt:
            self._save_interrupted(run)
            raise
        return self._finalize_training(run)

    def _save_interrupted(self, run: Run) -> None:
        """A checkpoint of the last whole step, unless there is one."""
        folder = Path(self._get_output_dir(run.trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.save_strategy != SaveStrategy.NO and self.state.global_step and not folder.exists():
            self._save_checkpoint(self.model_wrapped, run.trial)
            logger.warning("Interrupted: go on with train(resume_from_checkpoint=True), from %s.", folder)

    def _planned(self, loader: Any, trial: Any, ignore_keys: Any) -> Run:
        """How many steps there are, from the arguments and the length of the data."""
        args, together = self.args, self.args.gradient_accumulation_steps
        start = time.time()
        if not has_length(loader):
            if args.max_steps <= 0:
                raise InputError("The data has no length, so the training has none: set max_steps.")
            examples = args.max_steps * self._train_batch_size * together * args.world_size
            batches = args.max_steps * together
            return Run(args.max_steps, sys.maxsize, batches, args.max_steps, examples, start, trial, ignore_keys)
        batches = len(loader)
        updates = max(1, math.ceil(batches / together))
        if args.max_steps > 0:
            steps, epochs = args.max_steps, math.ceil(args.max_steps / updates)
            examples = float(args.max_steps * self._train_batch_size * together * args.world_size)
        else:
            steps, epochs = math.ceil(args.num_train_epochs * updates), math.ceil(args.num_train_epochs)
            examples = self.num_examples(loader) * args.num_train_epochs
        return Run(steps, epochs, batches, updates, examples, start, trial, ignore_keys)

    def _begin_state(self, run: Run, resumed: str | None) -> None:
        """The state of a new training, or that of a checkpoint."""
        self.state, run.resumed = self._new_state(), resumed
        if resumed is not None:
            self._load_from_checkpoint(resumed)
            self.state = TrainerState.load_from_json(Path(resumed) / TRAINER_STATE_NAME)
            self._load_callback_state()
            self.state.is_local_process_zero = self.is_local_process_zero()
            self.state.is_world_process_zero = self.is_world_process_zero()
            best = self.state.best_model_checkpoint
            if best is not None and not os.path.isdir(best):
                logger.warning("The best checkpoint so far, %s, is not there any more.", best)
                self.state.best_model_checkpoint = None
            run.epoch, done = divmod(self.state.global_step, run.updates)
            run.skipped = 0 if self.args.ignore_data_skip else done * self.args.gradient_accumulation_steps
            run.states = self._saved_states(resumed)
            if self.state.train_batch_size not in (None, self._train_batch_size):
                logger.warning(
                    "The checkpoint was trained with batches of %s, this training has %s: the data will not go on "
                    "where it stopped.", self.state.train_batch_size, self._train_batch_size,
                )  # fmt: skip
        self.state.compute_steps(self.args, run.max_steps)
        self.state.max_steps, self.state.num_train_epochs = run.max_steps, min(run.epochs, sys.maxsize)
        self.state.train_batch_size = self._train_batch_size
        self.state.is_hyper_param_search = run.trial is not None
        self._name_trial(run.trial)
        self.state.stateful_callbacks = exported(self.callback_handler.callbacks, self.control)
        counts = hasattr(self.model, "num_parameters")
        self._weights_counted = self.model.num_parameters(exclude_embeddings=True) if counts else 0

    def _prepare_for_training(self, run: Run) -> Any:
        """The model as it is trained: on its device, compiled, one of several processes."""
        args = self.args
        if args.activation_checkpointing:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=args.activation_checkpointing_kwargs)
        if self.lr_scheduler is not None and getattr(self, "_made_scheduler", False):
            self.lr_scheduler = None
        self._made_scheduler = self.lr_scheduler is None
        self.create_optimizer()
        if self.model_wrapped is self.model:
            self.model.train()
            model, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        else:
            model, self.optimizer = self.model_wrapped, self.accelerator.prepare(self.optimizer)
        self.create_scheduler(run.max_steps)
        self.model_wrapped = model
        if run.resumed is not None:
            self._load_optimizer_and_scheduler(run.resumed)
        for name in ("model", "optimizer", "lr_scheduler"):
            setattr(self.callback_handler, name, getattr(self, name))
        return model

    def _log_size(self, run: Run) -> None:
        logger.info(
            "Training: %s examples, %s epochs, batches of %s, %s batches a step, %s steps, %s parameters.",
            run.examples, run.epochs, self._train_batch_size, self.args.gradient_accumulation_steps, run.max_steps,
            self.get_num_trainable_parameters(),
        )  # fmt: skip

    def _batches_of(self, loader: Any, epoch: int, run: Run) -> tuple[Iterator[Any], bool]:
        """The batches of an epoch, and whether the generators are to be set once the first have been read."""
        first = run.resumed is not None and epoch == run.epoch
        samplers: Any = (loader, self._recorded)
        for sampler in samplers:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        if first and run.states is not None and "epoch" in run.states and run.skipped:
            seed.set_states(run.states["epoch"])
        elif first and run.states is not None and not run.skipped:
            seed.set_states(run.states)
        self._epoch_start = seed.states()
        if not (first and run.skipped):
            return iter(loader), False
        if self.args.dataloader_num_workers:  # workers draw by themselves: they read again what was read
            batches = iter(loader)
            for _ in range(run.skipped):
                next(batches)
            return batches, True
        if self._recorded is not None and run.states is not None and "ahead" in run.states:
            world = self.args.world_size
            self._recorded.restore = {
                run.skipped * world: run.states["ahead"],
                (run.skipped + 1) * world: run.states,
            }
        return iter(accelerate().skip_first_batches(loader, run.skipped)), True

    def _run_epoch(self, model: Any, epoch: int, loader: Any, run: Run) -> None:
        together = self.args.gradient_accumulation_steps
        done = run.skipped if run.resumed is not None and epoch == run.epoch else 0
        batches, late = self._batches_of(loader, epoch, run)
        norm, rate = None, None
        while done < run.batches and not self.control.should_training_stop:
            wanted = min(together, run.batches - done)
            samples, items = self.get_batch_samples(batches, wanted, self.args.device)
            if not samples:
                break
            if late and run.states is not None and (self._recorded is None or self._recorded.restore):
                seed.set_states(run.states)
                if self._recorded is not None:
                    self._recorded.restore.clear()
            late = False
            with self._interrupt.waits():
                norm, rate = self._step(model, samples, items, done)
                done += len(samples)
                self._batches_read = done
                self.state.global_step += 1
                self.state.epoch = epoch + done / run.batches
                self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
            self._maybe_log_save_evaluate(run, norm, rate)
            if self.control.should_epoch_stop:
                break
        if done == 0:
            logger.warning("The data gave no batch in epoch %s: the training ends.", epoch)
            self.control.should_training_stop = True
        self.control = self.callback_handler.on_epoch_end(self.args, self.state, self.control)
        self._maybe_log_save_evaluate(run, norm, rate)

    def _step(self, model: Any, samples: list[Any], items: Any, done: int) -> tuple[Any, float]:
        """A change of the weights by the gradients of `samples`: the norm of these, and the rate."""
        args, accelerator = self.args, self.accelerator
        self.current_gradient_accumulation_steps = len(samples)
        self.control = self.callback_handler.on_step_begin(args, self.state, self.control)
        given = {heads.ITEMS: items} if "num_items_in_batch" in inspect.signature(self.training_step).parameters else {}
        for number, inputs in enumerate(samples):
            last = number == len(samples) - 1
            accelerator.gradient_state._set_sync_gradients(last)
            with contextlib.nullcontext() if last else accelerator.no_sync(model=model):
                try:
                    loss = self.training_step(model, inputs, **given)
                except (FormersError, IndexError, KeyError) as error:
                    raise explained(error, self, inputs, done + number) from error
            if not bool(torch.isfinite(loss).all()):
                raise NotFiniteError.of(self, loss, done + number)
            self._tr_loss += loss.to(self._tr_loss.device)
            self.current_flos += self.floating_point_ops(inputs)
            self._track_num_input_tokens(inputs)
            if not last:
                self.control = self.callback_handler.on_substep_end(args, self.state, self.control)
        norm = accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm or math.inf)
        self.control = self.callback_handler.on_pre_optimizer_step(args, self.state, self.control)
        self.optimizer.step()
        self.control = self.callback_handler.on_optimizer_step(args, self.state, self.control)
        rate = self._get_learning_rate()
        if not accelerator.optimizer_step_was_skipped and not isinstance(self.lr_scheduler, ReduceLROnPlateau):
            self.lr_scheduler.step()
        model.zero_grad()
        return norm, rate

    def _track_num_input_tokens(self, inputs: Any) -> None:
        kind = self.args.include_num_input_tokens_seen
        if kind == "no" or (main := inputs.get(self._main_input())) is None:
            return
        mask = inputs.get("attention_mask") if kind == "non_padding" else None
        count = torch.as_tensor(main.numel() if mask is None else mask.sum(), device=self.args.device)
        self.state.num_input_tokens_seen += int(self.accelerator.gather(count).sum())

    def _maybe_log_save_evaluate(self, run: Run, norm: Any, rate: float | None) -> None:
        steps = self.state.global_step - self._logged_at
        if self.control.should_log and steps > 0:
            total = self.accelerator.gather(self._tr_loss).mean().item()
            self._tr_loss -= self._tr_loss
            logs = {"loss": total / steps}
            if norm is not None:
                logs["grad_norm"] = norm.item() if isinstance(norm, Tensor) else norm
            logs["learning_rate"] = self._get_learning_rate() if rate is None else rate
            self._total_loss += total
            self._logged_at = self.state.global_step
            self.store_flos()
            self.log(logs, run.start)
        if self.control.should_evaluate:
            better = self._determine_best_metric(self._evaluate(run))
            if self.args.save_strategy == SaveStrategy.BEST:
                self.control.should_save = better
        if self.control.should_save:
            self._save_checkpoint(self.model_wrapped, run.trial)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _evaluate(self, run: Run, plateau: bool = True) -> dict[str, float]:
        metrics = self.evaluate(ignore_keys=run.ignore_keys)
        self._report_to_hp_search(run.trial, self.state.global_step, metrics)
        if plateau and isinstance(self.lr_scheduler, ReduceLROnPlateau):
            self.lr_scheduler.step(watched(self.args, metrics))
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float]) -> bool:
        """Whether this is the best evaluation so far."""
        if self.args.metric_for_best_model is None:
            return False
        value, best = watched(self.args, metrics), self.state.best_metric
        if best is not None and not (value > best if self.args.greater_is_better else value < best):
            return False
        self.state.best_metric = value
        if self.args.save_strategy != SaveStrategy.NO:
            self.state.best_global_step = self.state.global_step
        return True

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Add figures to the history, and show them."""
        logs["epoch"] = self.state.epoch
        if self.args.include_num_input_tokens_seen != "no":
            logs["num_input_tokens_seen"] = self.state.num_input_tokens_seen
            if start_time is not None:
                logs |= speed_metrics("train", start_time, num_tokens=self.state.num_input_tokens_seen)
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def store_flos(self) -> None:
        """Add the operations of this process, and of the others, to the state."""
        mine = torch.tensor(self.current_flos, dtype=torch.float64, device=self.args.device)
        self.state.total_flos += float(self.accelerator.gather(mine).sum())
        self.current_flos = 0.0

    def _finalize_training(self, run: Run) -> TrainOutput:
        total = self._total_loss + self.accelerator.gather(self._tr_loss).mean().item()
        steps = self.state.global_step - self._begun_at
        loss = total / max(steps, 1)
        samples = run.examples * steps / max(run.max_steps, 1)
        metrics = speed_metrics("train", run.start, num_samples=samples, num_steps=steps)
        self.store_flos()
        metrics |= {"total_flos": self.state.total_flos, "train_loss": loss}
        self.log(metrics)
        best = self.state.best_model_checkpoint
        if self.args.load_best_model_at_end and best is not None:
            self._load_best_model()
        elif self.args.load_best_model_at_end:
            warn_once("load_best_model_at_end: no checkpoint was evaluated, so the last model stays.")
        self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
        return TrainOutput(self.state.global_step, loss, metrics)


def shifts_labels(model: Any) -> bool:
    """Whether label t is for the logits at t - 1: of decoders alone."""
    decoder = isinstance(model, heads.CausalLM) or type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))
    return decoder and not getattr(getattr(model, "config", None), "is_encoder_decoder", False)


def loss_of(outputs: Any, inputs: Any) -> Tensor:
    """The loss in what a model returned. Errors: InputError where there is none."""
    if not isinstance(outputs, Mapping):
        return outputs[0]
    if outputs.get("loss") is None:
        raise InputError(
            f"The model returned no loss, only {', '.join(map(str, outputs))}: the batch has no labels. It has "
            f"{', '.join(map(str, inputs))}. Name the column of labels 'labels', or set label_names."
        )
    return outputs["loss"]
