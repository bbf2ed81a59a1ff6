"""The fit of encoders: SentenceEncoder's of columns of texts, and the loop that CrossEncoder's shares.

Source: Reimers and Gurevych 2019 (arXiv 1908.10084), section 3.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from ..errors import ArgumentError, InputError, near
from ..training.choices import SchedulerType
from ..training.schedules import get_scheduler
from .evaluation.base import main_score
from .examples import Batch, batch_of, loader_of, raw
from .losses.base import Loss

Callback = Callable[[float, float, int], None]
# parameters that no weight decay pulls to zero, by parts of their names
_NO_DECAY = ("bias", "LayerNorm.weight")


_SCHEDULES = {
    "constantlr": SchedulerType.CONSTANT,
    "warmupconstant": SchedulerType.CONSTANT_WITH_WARMUP,
    "warmuplinear": SchedulerType.LINEAR,
    "warmupcosine": SchedulerType.COSINE,
    "warmupcosinewithhardrestarts": SchedulerType.COSINE_WITH_RESTARTS,
}


def scheduled(name: str, optimizer: Optimizer, warmup: int, total: int) -> Any:
    """The learning rate over `total` steps, of which `warmup` lead up to it."""
    if name.lower() not in _SCHEDULES:
        raise ArgumentError(
            f"scheduler={name!r} is not known.{near(name.lower(), _SCHEDULES)} Use {', '.join(_SCHEDULES)}."
        )
    return get_scheduler(_SCHEDULES[name.lower()], optimizer, warmup, total)


@dataclass
class Run:
    """What a fit is told, and where it stands.

    model: the encoder, which has save_pretrained.
    objectives: (loader, loss of a batch) one after the other in each step of an epoch.
    best: the best value of the evaluator's so far.
    """

    model: Any
    objectives: Sequence[tuple[Any, Callable[[Batch], Tensor]]]
    evaluator: Any
    epochs: int
    steps_per_epoch: int
    optimizer: Optimizer
    schedule: Any
    evaluation_steps: int
    output_path: str | os.PathLike[str] | None
    save_best_model: bool
    max_grad_norm: float
    use_amp: bool
    callback: Callback | None
    show_progress_bar: bool
    checkpoint_path: str | os.PathLike[str] | None = None
    checkpoint_save_steps: int = 500
    checkpoint_save_total_limit: int = 0
    best: float | None = None
    parameters: list[nn.Parameter] = field(default_factory=list)

    def go(self) -> None:
        """Train; the model is left in evaluation."""
        loaders = [loader for loader, _ in self.objectives]
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with raw(loaders):
            try:
                self._epochs([_endless(loader, f"train_objectives[{i}]") for i, loader in enumerate(loaders)])
            finally:
                self.optimizer.zero_grad()
                self.model.eval()
        if self.evaluator is None and self.output_path is not None:
            self.model.save_pretrained(self.output_path)

    def _epochs(self, batches: list[Iterator[Batch]]) -> None:
        total = self.epochs * self.steps_per_epoch
        with tqdm(total=total, disable=not self.show_progress_bar, desc="Training") as bar:
            for number in range(1, total + 1):
                self.model.train()
                for (_, loss), given in zip(self.objectives, batches, strict=True):
                    self._learn(number, loss, next(given))
                bar.update(1)
                if _due(number, self.steps_per_epoch) or _due(number, self.evaluation_steps):
                    self._evaluate(number)
                if self.checkpoint_path is not None and (number == total or _due(number, self.checkpoint_save_steps)):
                    self._checkpoint(number)

    def _learn(self, number: int, loss: Callable[[Batch], Tensor], batch: Batch) -> None:
        """One step of the optimizer, unless it would put into the weights what is no number."""
        device = self.model.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.use_amp):
            value = loss(batch)
        if bool(torch.isfinite(value)):
            value.backward()
            norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
            found = "" if bool(torch.isfinite(norm)) else f"the gradients' norm is {norm.item()}"
        else:
            found = f"the loss is {value.item()}"
        if found:
            raise InputError(
                f"Step {number}: {found}, at a learning rate of {self.schedule.get_last_lr()[0]:.3g}. The weights "
                f"are those of the step before, and nothing was saved. Lower lr, or look at the batch: {batch.shown()}."
            )
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def _evaluate(self, number: int) -> None:
        if self.evaluator is None:
            return
        place, epoch = None, number / self.steps_per_epoch
        if self.output_path is not None:
            place = os.path.join(self.output_path, "eval")
            os.makedirs(place, exist_ok=True)
        self.model.eval()
        score = main_score(self.evaluator, self.evaluator(self.model, output_path=place, epoch=epoch, steps=number))
        if self.callback is not None:
            self.callback(score, epoch, number)
        better = not math.isnan(score) and (
            self.best is None
            or (score > self.best if getattr(self.evaluator, "greater_is_better", True) else score < self.best)
        )
        if better:
            self.best = score
            if self.save_best_model and self.output_path is not None:
                self.model.save_pretrained(self.output_path)

    def _checkpoint(self, number: int) -> None:
        """Save, and remove the oldest where there are more than are wanted."""
        assert self.checkpoint_path is not None
        home = Path(self.checkpoint_path)
        self.model.save_pretrained(home / f"checkpoint-{number}")
        if self.checkpoint_save_total_limit and self.checkpoint_save_total_limit > 0:
            found = [path for path in home.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
            found.sort(key=lambda path: int(path.name.rpartition("-")[2]))
            for path in found[: -self.checkpoint_save_total_limit]:
                shutil.rmtree(path)


def _due(number: int, every: int | None) -> bool:
    return bool(every) and number % every == 0  # type: ignore[operator]


def make_optimizer(modules: Iterable[nn.Module], kind: Any, options: Mapping[str, Any], decay: float) -> Optimizer:
    """The optimizer of all parameters that are trained, with weight decay on those that are multiplied."""
    named = {id(p): (name, p) for one in modules for name, p in one.named_parameters() if p.requires_grad}
    if not named:
        raise InputError("No parameter of the model is trained: all have requires_grad=False.")
    free = [p for name, p in named.values() if any(part in name for part in _NO_DECAY)]
    bound = [p for name, p in named.values() if not any(part in name for part in _NO_DECAY)]
    own = dict(options)
    if kind is torch.optim.AdamW and not own.keys() & {"fused", "foreach", "capturable", "differentiable"}:
        own["fused"] = True  # the same numbers, in one pass over each parameter
    groups = [{"params": bound, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]
    made: Optimizer = kind([group for group in groups if group["params"]], **own)
    return made


def _endless(loader: Any, name: str) -> Iterator[Batch]:
    while True:
        empty = True
        for rows in loader:
            empty = False
            yield batch_of(rows)
        if empty:
            raise InputError(f"{name} gives no batch.")


def check_numbers(**numbers: int | None) -> None:
    """Raises ArgumentError for what is no count."""
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or int(value) != value or value < 0):
            raise ArgumentError(f"{name}={value!r} is not possible: it should be a whole number, 0 or more.")


class Encoder(nn.Module):
    """What both encoders have as modules."""

    model: Any
    modalities: Any
    save_pretrained: Callable[..., None]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def save(self, path: str | os.PathLike[str], **kwargs: Any) -> None:
        """As save_pretrained."""
        self.save_pretrained(path, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Heed properties for modules too, which would else become parts of this one."""
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


class FitsSentences(Encoder, nn.Sequential):
    """The part of a SentenceEncoder that is trained."""

    def fit(
        self,
        train_objectives: Iterable[tuple[Any, nn.Module]],
        evaluator: Any = None,
        epochs: int = 1,
        steps_per_epoch: int | None = None,
        scheduler: str = "WarmupLinear",
        warmup_steps: int = 10_000,
        optimizer_class: type[Optimizer] = torch.optim.AdamW,
        optimizer_params: Mapping[str, Any] | None = None,
        weight_decay: float = 0.01,
        evaluation_steps: int = 0,
        output_path: str | os.PathLike[str] | None = None,
        save_best_model: bool = True,
        max_grad_norm: float = 1.0,
        use_amp: bool = False,
        callback: Callback | None = None,
        show_progress_bar: bool = True,
        checkpoint_path: str | os.PathLike[str] | None = None,
        checkpoint_save_steps: int = 500,
        checkpoint_save_total_limit: int = 0,
        resume_from_checkpoint: bool = False,
        *,
        batch_size: int = 16,
    ) -> None:
        """Train, in place.

        Args:
            train_objectives: (data, loss) of each task; the data is a DataLoader of InputExamples, of dictionaries or
                of tuples of texts (see `batch_of`), or a list of these. In a step each loss sees one batch of its data.
            evaluator: called after each epoch, and in it after each `evaluation_steps` steps; see `evaluation`.
            epochs, steps_per_epoch: how long; an epoch is as long as the data that is shortest, if left out.
            scheduler, warmup_steps: how the learning rate goes: "WarmupLinear", "WarmupCosine", "WarmupConstant",
                "WarmupCosineWithHardRestarts" or "ConstantLR".
            optimizer_class, optimizer_params, weight_decay: the optimizer; {"lr": 2e-5} if left out.
            output_path: a folder for the model, and for the evaluator's tables in its eval/. With an evaluator the
                model is saved whenever it is the best so far, unless `save_best_model` is False; else at the end.
            max_grad_norm: what the norm of all gradients is cut to.
            use_amp: whether products are computed in bfloat16.
            callback: called with (value, epoch, step) after each evaluation.
            show_progress_bar: whether a bar shows how many steps are done.
            checkpoint_path, checkpoint_save_steps, checkpoint_save_total_limit: a folder for copies of the model after
                each so many steps, checkpoint-500, …, and how many of them are kept; 0 for all.
            resume_from_checkpoint: accepted as False alone: a copy has the model, and not where the training stood.
            batch_size: examples of a batch, of data that is a list.

        Errors: InputError naming the example that does not fit, or the step in which a loss is not finite.
        """
        if resume_from_checkpoint:
            raise ArgumentError(
                "resume_from_checkpoint is not known here: open the last copy, and fit the epochs left."
            )
        if "image" in self.modalities:
            raise ArgumentError(
                f"fit trains models of texts, and {type(self.model).__name__} reads pictures. Train the model itself: "
                "one of two towers has a loss with return_loss=True."
            )
        given = [_objective(one, number) for number, one in enumerate(train_objectives)]
        if not given:
            raise ArgumentError("train_objectives has nothing in it; (data, loss) of a task are needed.")
        check_numbers(
            epochs=epochs, steps_per_epoch=steps_per_epoch, warmup_steps=warmup_steps,
            evaluation_steps=evaluation_steps, checkpoint_save_steps=checkpoint_save_steps,
            checkpoint_save_total_limit=checkpoint_save_total_limit,
        )  # fmt: skip
        data = [loader_of(one, batch_size, f"train_objectives[{i}]") for i, (one, _) in enumerate(given)]
        losses = [loss.to(self.device) for _, loss in given]
        steps = steps_per_epoch or min(len(one) for one in data)
        optimizer = make_optimizer([self, *losses], optimizer_class, optimizer_params or {"lr": 2e-5}, weight_decay)
        total = epochs * steps * len(given)
        Run(
            model=self,
            objectives=[(one, _Read(self, loss)) for one, loss in zip(data, losses, strict=True)],
            evaluator=evaluator,
            epochs=epochs,
            steps_per_epoch=steps,
            optimizer=optimizer,
            schedule=scheduled(scheduler, optimizer, warmup_steps, total),
            evaluation_steps=evaluation_steps,
            output_path=output_path,
            save_best_model=save_best_model,
            max_grad_norm=max_grad_norm,
            use_amp=use_amp,
            callback=callback,
            show_progress_bar=show_progress_bar,
            checkpoint_path=checkpoint_path,
            checkpoint_save_steps=checkpoint_save_steps,
            checkpoint_save_total_limit=checkpoint_save_total_limit,
        ).go()


@dataclass(frozen=True)
class _Read:
    """A loss of texts, by a loss of the features of each column."""

    encoder: Any
    loss: nn.Module

    def __call__(self, batch: Batch) -> Tensor:
        labels = None if batch.labels is None else batch.labels.to(self.encoder.device)
        if isinstance(self.loss, Loss):
            self.loss.check(len(batch.columns), labels, batch.row)
        size = len(batch.columns[0])
        texts = self.encoder.tokenize([text for column in batch.columns for text in column])
        inputs = {name: value.to(self.encoder.device) for name, value in texts.items()}
        features = [
            {name: value[start : start + size] for name, value in inputs.items()}
            for start in range(0, size * len(batch.columns), size)
        ]
        value: Tensor = self.loss(features, labels)
        return value


def _objective(given: Any, number: int) -> tuple[Any, nn.Module]:
    if not isinstance(given, list | tuple) or len(given) != 2 or not isinstance(given[1], nn.Module):
        raise ArgumentError(f"train_objectives[{number}] is {given!r:.80}; (data, loss) is needed.")
    return given[0], given[1]
