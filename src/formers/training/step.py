"""What a Trainer is made of, and one step: from a batch to a loss, its gradients, and what changes the weights."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .. import heads, logging
from ..errors import ArgumentError, HeadError, InputError
from ..extra import accelerate
from ..modeling import PreTrainedModel
from ..ops.losses import IGNORED
from ..tokenization import PreTrainedTokenizerBase
from . import optimizers, seed
from .arguments import TrainingArguments
from .callbacks import (
    CallbackHandler,
    DefaultFlowCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerControl,
    TrainerState,
)
from .choices import IntervalStrategy
from .collators import DataCollatorWithPadding, default_data_collator
from .data import Data, inner_model
from .evaluating import Evaluating
from .reporting import reporters
from .results import number_of_arguments
from .saving import Saving
from .schedules import get_scheduler
from .searching import Searching
from .sharing import Sharing
from .smoothing import LabelSmoother


class Stepping(Data, Evaluating, Searching, Saving, Sharing):
    """The part of a Trainer that holds the model, and computes losses and gradients."""

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
        if not isinstance(args, TrainingArguments | None):
            raise ArgumentError(f"args is a {type(args).__name__}; give TrainingArguments(output_dir, …).")
        self.args = args = TrainingArguments("trainer_output") if args is None else args
        logging.set_verbosity(args.get_process_log_level())
        seed.enable_full_determinism(args.seed) if args.full_determinism else seed.set_seed(args.seed)
        self.model_init, self._trial = model_init, None
        if (model is None) == (model_init is None):
            raise ArgumentError("Trainer takes a model, or a model_init that makes one; one of them.")
        self.model = self.call_model_init() if model is None else model
        if not isinstance(self.model, nn.Module):
            what = self.model.__name__ if isinstance(self.model, type) else repr(self.model)
            raise ArgumentError(f"model={what} is no module; give one that is made: AutoModelFor….from_pretrained(…).")
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
        self._recorded, self._epoch_start, self._batches_read, self._epoch_read = None, None, 0, 0
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
        shared = library.state.AcceleratorState
        if shared._shared_state.get("_mixed_precision", self._precision) != self._precision:
            shared._reset_state()  # accelerate has one for the process; another training had numbers of another kind
        return library.Accelerator(
            cpu=args.use_cpu,
            mixed_precision=self._precision,
            dataloader_config=loaders,
            kwargs_handlers=handlers,
            **more,
        )

    @property
    def _precision(self) -> str:
        """Mixed precision by accelerate's names."""
        return "bf16" if self.args.bf16 else "fp16" if self.args.fp16 else "no"

    def _take_accelerator(self) -> None:
        """Have accelerate's state for this training, where another one has used it since."""
        if self.accelerator.state._shared_state.get("_mixed_precision") != self._precision:
            self.accelerator, self.model_wrapped = self._accelerator(), self.model
            self.gather_function = self.accelerator.gather_for_metrics

    def _look_at_model(self) -> None:
        """What the model takes, and what its labels are called."""
        model: Any = inner_model(self.model)
        if isinstance(model, PreTrainedModel) and not model.TARGETS:
            raise HeadError(
                f"{type(model).__name__} gives hidden states and takes no labels. Train a model with a head, as "
                "AutoModelForSequenceClassification or another AutoModelFor….from_pretrained gives it."
            )
        if any(parameter.is_meta for parameter in model.parameters()):
            raise InputError("The model is on the device 'meta', without weights: make or load it on another.")
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
        if smoothing and "labels" not in self.label_names:
            logging.warn_once("label_smoothing_factor has no effect: it is for a column 'labels', and there is none.")
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
