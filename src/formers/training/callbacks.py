"""What looks on while a model is trained, and may steer: states, controls, and callbacks for each moment.

train_begin ─▶ epoch_begin ─▶ step_begin ─▶ (substep_end …) ─▶ pre_optimizer_step ─▶ optimizer_step ─▶ step_end
                    ▲                                                                                     │
               epoch_end ◀───────────────────── log, evaluate, save ◀────────────────────────────────────┘
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from .. import logging
from ..errors import ArgumentError, InputError, near
from .choices import IntervalStrategy, SaveStrategy
from .results import has_length

TRAINER_STATE_NAME = "trainer_state.json"


class ExportableState:
    """What keeps its own state beside checkpoints: `state()` gives {"args": …, "attributes": …}."""

    def state(self) -> dict[str, Any]:
        """The arguments that make it again, and the attributes to set then."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Any:
        """Make it again."""
        made = cls(**state["args"])
        for name, value in state["attributes"].items():
            setattr(made, name, value)
        return made


@dataclass
class TrainerState:
    """How far a training is, what it has logged, and what was best; written beside each checkpoint."""

    epoch: float = 0
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, Any] | None = None
    stateful_callbacks: Any = None

    def save_to_json(self, json_path: str | Path) -> None:
        """Write it."""
        text = json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"
        Path(json_path).write_text(text, encoding="utf-8")

    @classmethod
    def load_from_json(cls, json_path: str | Path) -> TrainerState:
        """Read it, as this package and Transformers write it."""
        try:
            values = json.loads(Path(json_path).read_text(encoding="utf-8"))
            known = {f.name for f in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in values.items() if name in known})
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{str(json_path)!r} cannot be read as the state of a training: {error}") from error

    def compute_steps(self, args: Any, max_steps: int) -> None:
        """The numbers of steps between logs, evaluations and checkpoints, parts of the training counted out."""
        for name in ("logging_steps", "eval_steps", "save_steps"):
            if (steps := getattr(args, f"{name}")) is not None:
                setattr(self, name, math.ceil(max_steps * steps) if steps < 1 else int(steps))


@dataclass
class TrainerControl(ExportableState):
    """What is to be done next. A callback sets what it wants; each is done once."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {"args": dataclasses.asdict(self), "attributes": {}}


class TrainerCallback:
    """Base of callbacks: every method may return a TrainerControl, or nothing.

    Keywords of each: model, processing_class (tokenizer by its old name), optimizer, lr_scheduler, train_dataloader,
    eval_dataloader; metrics of `on_evaluate` and `on_predict`, logs of `on_log`.
    """

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A Trainer has been made."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Training begins."""

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Training has ended."""

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A pass over the data begins."""

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A pass over the data has ended."""

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A step begins: one or several batches, then a change of the weights."""

    def on_substep_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A batch of a step has been computed, and others follow."""

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The gradients are there, and clipped."""

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The weights have been changed, and the gradients are still there."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A step has ended."""

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An evaluation has ended."""

    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A prediction has ended."""

    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A batch has been evaluated."""

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A checkpoint has been written."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Figures have been logged."""


class CallbackHandler(TrainerCallback):
    """Calls all callbacks in their order; methods that are asked for by their name on each of them."""

    def __init__(
        self, callbacks: Iterable[Any], model: Any, processing_class: Any, optimizer: Any, lr_scheduler: Any
    ) -> None:
        self.callbacks: list[TrainerCallback] = []
        self.model, self.processing_class = model, processing_class
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.train_dataloader = self.eval_dataloader = None
        for callback in callbacks:
            self.add_callback(callback)

    def add_callback(self, callback: Any) -> None:
        """Add a callback, or one that a class makes."""
        made = callback() if isinstance(callback, type) else callback
        if any(type(known) is type(made) for known in self.callbacks):
            logging.logger.warning("A %s is added that is there already; both are called.", type(made).__name__)
        self.callbacks.append(made)

    def pop_callback(self, callback: Any) -> Any:
        """Take out a callback, or the first of a class; gives it back, None where there is none."""
        found = next(
            (c for c in self.callbacks if (type(c) is callback if isinstance(callback, type) else c is callback)), None
        )
        if found is not None:
            self.callbacks.remove(found)
        return found

    def remove_callback(self, callback: Any) -> None:
        """The same."""
        self.pop_callback(callback)

    @property
    def callback_list(self) -> str:
        """Their names, a line each."""
        return "\n".join(type(callback).__name__ for callback in self.callbacks)

    # what has been asked for is forgotten where it is about to be asked for anew
    _FORGETS: ClassVar[dict[str, tuple[str, ...]]] = {
        "on_train_begin": ("should_training_stop",),
        "on_epoch_begin": ("should_epoch_stop",),
        "on_step_begin": ("should_log", "should_evaluate", "should_save"),
        "on_evaluate": ("should_evaluate",),
        "on_save": ("should_save",),
        "on_log": ("should_log",),
    }

    def call_event(
        self, event: str, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Call `event` of each callback; gives the control that the last one returned."""
        for name in self._FORGETS.get(event, ()):
            setattr(control, name, False)
        beside = {
            "model": self.model,
            "processing_class": self.processing_class,
            "tokenizer": self.processing_class,
            "optimizer": self.optimizer,
            "lr_scheduler": self.lr_scheduler,
            "train_dataloader": self.train_dataloader,
            "eval_dataloader": self.eval_dataloader,
            **kwargs,
        }
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None and (result := method(args, state, control, **beside)) is not None:
                control = result
        return control


def _calls(event: str) -> Any:
    def call(self: CallbackHandler, args: Any, state: Any, control: Any, *more: Any, **kwargs: Any) -> Any:
        for name, value in zip(_BY_POSITION.get(event, ()), more, strict=False):
            kwargs[name] = value
        return self.call_event(event, args, state, control, **kwargs)

    call.__name__ = event
    return call


_BY_POSITION = {"on_evaluate": ("metrics",), "on_predict": ("metrics",), "on_log": ("logs",)}
EVENTS = [name for name in vars(TrainerCallback) if name.startswith("on_")]
for _event in EVENTS:
    setattr(CallbackHandler, _event, _calls(_event))


class DefaultFlowCallback(TrainerCallback):
    """Asks for logs, evaluations and checkpoints as the arguments say."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """By steps, and at the end of the training."""
        step, delayed = state.global_step, args.eval_delay > state.global_step
        evaluates, saves = args.eval_strategy == IntervalStrategy.STEPS, args.save_strategy == SaveStrategy.STEPS
        logs = args.logging_strategy == IntervalStrategy.STEPS
        ends = step >= state.max_steps
        if (logs and step % state.logging_steps == 0) or (step == 1 and args.logging_first_step):
            control.should_log = True
        if evaluates and not delayed and (step % state.eval_steps == 0 or ends):
            control.should_evaluate = True
        if saves and ((state.save_steps > 0 and step % state.save_steps == 0) or ends):
            control.should_save = True
        if ends:
            control.should_training_stop = True
        return control

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """By passes over the data."""
        if args.logging_strategy == IntervalStrategy.EPOCH:
            control.should_log = True
        if args.eval_strategy == IntervalStrategy.EPOCH and args.eval_delay <= state.epoch:
            control.should_evaluate = True
        if args.save_strategy == SaveStrategy.EPOCH:
            control.should_save = True
        return control


class ProgressCallback(TrainerCallback):
    """A bar of the steps, and one of an evaluation's batches; logs are written above them.

    max_str_len: strings in logs are cut to so many characters.
    """

    def __init__(self, max_str_len: int = 100) -> None:
        self.training_bar: Any = None
        self.prediction_bar: Any = None
        self.max_str_len = max_str_len
        self._shown = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Show the bar of the steps."""
        if state.is_world_process_zero:
            self.training_bar = logging.tqdm(total=state.max_steps, initial=state.global_step, dynamic_ncols=True)
        self._shown = state.global_step

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move it."""
        if self.training_bar is not None:
            self.training_bar.update(state.global_step - self._shown)
        self._shown = state.global_step

    def on_prediction_step(
        self, args: Any, state: TrainerState, control: TrainerControl, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Show and move the bar of the batches."""
        if not state.is_world_process_zero or not has_length(eval_dataloader):
            return
        if self.prediction_bar is None:
            keep = self.training_bar is None
            self.prediction_bar = logging.tqdm(total=len(eval_dataloader), leave=keep, dynamic_ncols=True)
        self.prediction_bar.update(1)

    def _close_batches(self) -> None:
        if self.prediction_bar is not None:
            self.prediction_bar.close()
        self.prediction_bar = None

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the bar of the batches away."""
        self._close_batches()

    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The same."""
        self._close_batches()

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Write the figures above the bar."""
        if self.training_bar is not None:
            self.training_bar.write(str(_shown(logs, self.max_str_len)))

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the bar of the steps away."""
        self._close_batches()
        if self.training_bar is not None:
            self.training_bar.close()
        self.training_bar = None


class PrinterCallback(TrainerCallback):
    """Prints the logs, where no bar is shown."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Print them."""
        if state.is_local_process_zero:
            print(_shown(logs, 100))


def _shown(logs: dict[str, Any] | None, most: int) -> dict[str, Any]:
    shown = {}
    for name, value in (logs or {}).items():
        if isinstance(value, float):
            shown[name] = f"{value:.4g}"
        else:
            shown[name] = f"{value[:most]}…" if isinstance(value, str) and len(value) > most else value
    shown.pop("total_flos", None)
    return shown


class EarlyStoppingCallback(TrainerCallback, ExportableState):
    """Ends the training when `metric_for_best_model` has not become better for `early_stopping_patience` evaluations.

    early_stopping_threshold: how much better it must be to count.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float | None = 0.0) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        self.early_stopping_patience_counter = 0

    def state(self) -> dict[str, Any]:
        """What was waited for, and how long already."""
        names = ("early_stopping_patience", "early_stopping_threshold")
        counter = {"early_stopping_patience_counter": self.early_stopping_patience_counter}
        return {"args": {name: getattr(self, name) for name in names}, "attributes": counter}

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Errors: ArgumentError where nothing could ever stop."""
        if args.metric_for_best_model is None:
            raise ArgumentError("EarlyStoppingCallback waits for a metric: set metric_for_best_model.")
        if args.eval_strategy == IntervalStrategy.NO:
            raise ArgumentError("EarlyStoppingCallback waits for evaluations: set eval_strategy to 'steps' or 'epoch'.")
        if not args.load_best_model_at_end:
            logging.warn_once("EarlyStoppingCallback without load_best_model_at_end leaves the last model.")

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Count, and stop. Errors: InputError, a KeyError, where the metric was not computed."""
        value = watched(args, metrics)
        best = state.best_metric
        gained = 0.0 if best is None else (value - best if args.greater_is_better else best - value)
        if best is None or gained > (self.early_stopping_threshold or 0.0):
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True


class MissingMetricError(InputError, KeyError):
    """A metric that the training waits for, and that no evaluation computes."""


def watched(args: Any, metrics: dict[str, float]) -> float:
    """The value of `metric_for_best_model`. Errors: MissingMetricError."""
    name = args.metric_for_best_model
    name = name if name.startswith("eval_") else f"eval_{name}"
    if name not in metrics:
        raise MissingMetricError(
            f"metric_for_best_model is {args.metric_for_best_model!r}, but evaluations compute "
            f"{', '.join(sorted(metrics))}: let compute_metrics return it, or set another.{near(name, metrics)}"
        )
    return metrics[name]


def exported(callbacks: Iterable[Any], control: TrainerControl) -> dict[str, Any]:
    """The states of those that have one, by the names of their classes."""
    return {type(x).__name__: x.state() for x in [*callbacks, control] if isinstance(x, ExportableState)}
