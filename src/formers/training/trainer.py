"""The loop of a training: epochs, steps, what comes after each, and where a checkpoint goes on.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from .. import heads
from ..errors import ArgumentError, FormersError, InputError
from ..extra import accelerate
from ..logging import logger, warn_once
from . import seed
from .callbacks import TRAINER_STATE_NAME, TrainerState, exported, watched
from .choices import SaveStrategy
from .data import inner_model, read
from .faults import Interrupt, NotFiniteError, explained, read_rows
from .results import TrainOutput, has_length, speed_metrics
from .saving import one_training
from .step import Stepping


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


class Trainer(Stepping):
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

    def train(
        self, resume_from_checkpoint: Any = None, trial: Any = None, ignore_keys_for_eval: Any = None, **kwargs: Any
    ) -> TrainOutput:
        """Train. resume_from_checkpoint: a checkpoint's folder to go on from, or True for the last one.

        A first Ctrl-C ends the step, writes a checkpoint and raises KeyboardInterrupt; a second one stops at once,
        without a checkpoint.
        Errors: InputError for a batch that the model cannot take, NotFiniteError for a loss that is no number; the
        rows are named, and no checkpoint is written over.
        """
        resume_from_checkpoint = kwargs.pop("model_path", resume_from_checkpoint)
        if kwargs:
            raise ArgumentError(f"train takes no argument {sorted(kwargs)[0]!r}.")
        self._hp_search_setup(trial)
        self._take_accelerator()
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
        if run.states is not None and "logged_at" in run.states:  # the mean of a log is over all steps since the last
            self._logged_at = run.states["logged_at"]
            self._tr_loss += run.states["loss"].to(self._tr_loss.device)
            self._total_loss -= float(run.states["loss"])
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
            if not self._interrupt.cut:  # or the weights are of no step
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
        if not (batches := len(loader)):
            raise InputError("No batch is full, and dataloader_drop_last=True leaves it out: lower the batch size.")
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
            done *= self.args.gradient_accumulation_steps
            run.states = self._saved_states(resumed)
            if run.epochs == sys.maxsize and run.states is not None and "read" in run.states:
                run.epoch, done = run.states["read"]  # as far as data without length was read
            run.skipped = 0 if self.args.ignore_data_skip else done
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

    def _batches_of(self, loader: Any, epoch: int, run: Run) -> tuple[Iterator[Any], Callable[[], bool]]:
        """The batches of an epoch; and, to be asked once the first have been read: are the generators yet to be set?"""
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
            return read(loader), lambda: False
        if self.args.dataloader_num_workers:  # workers draw by themselves: they read again what was read
            batches = iter(loader)
            for _ in range(run.skipped):
                next(batches)
            return batches, lambda: True
        recorded = self._recorded
        if recorded is None or run.states is None or "ahead" not in run.states:
            return read(accelerate().skip_first_batches(loader, run.skipped), may_end=True), lambda: True
        world = self.args.world_size
        recorded.restore = {run.skipped * world: run.states["ahead"], (run.skipped + 1) * world: run.states}
        return iter(accelerate().skip_first_batches(loader, run.skipped)), lambda: bool(recorded.restore)

    def _run_epoch(self, model: Any, epoch: int, loader: Any, run: Run) -> None:
        together = self.args.gradient_accumulation_steps
        done = run.skipped if run.resumed is not None and epoch == run.epoch else 0
        batches, unsettled = self._batches_of(loader, epoch, run)
        norm, rate, first = None, None, True
        while done < run.batches and not self.control.should_training_stop:
            wanted = min(together, run.batches - done)
            samples, items = self.get_batch_samples(batches, wanted, self.args.device)
            if first and run.states is not None and unsettled():
                seed.set_states(run.states)
                if self._recorded is not None:
                    self._recorded.restore.clear()
            first = False
            if not samples:
                break
            with self._interrupt.waits():
                norm, rate = self._step(model, samples, items, done)
                done += len(samples)
                self._batches_read, self._epoch_read = done, epoch
                self.state.global_step += 1
                self.state.epoch = epoch + done / run.batches
                self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
                self._maybe_log(run, norm, rate)
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
                    batch = done + number
                    raise explained(error, self, inputs, read_rows(self, [batch]), "training", batch) from error
            if not bool(torch.isfinite(loss).all()):
                model.zero_grad()
                raise NotFiniteError.of(self, f"The loss is {loss.float().mean().item()}", [done + number])
            self._tr_loss += loss.to(self._tr_loss.device)
            self.current_flos += self.floating_point_ops(inputs)
            self._track_num_input_tokens(inputs)
            if not last:
                self.control = self.callback_handler.on_substep_end(args, self.state, self.control)
        norm = accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm or math.inf)
        if accelerator.scaler is None and not bool(torch.isfinite(norm).all()):
            model.zero_grad()
            raise NotFiniteError.of(self, f"The norm of the gradients is {norm}", range(done, done + len(samples)))
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

    def _maybe_log(self, run: Run, norm: Any, rate: float | None) -> None:
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

    def _maybe_log_save_evaluate(self, run: Run, norm: Any, rate: float | None) -> None:
        self._maybe_log(run, norm, rate)
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
