"""Callbacks: called when and with what those of Transformers are; what they steer, and where figures are sent."""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path
from typing import Any

import pytest
import transformers
from training import tiny

import formers
from formers.errors import ArgumentError
from formers.training.callbacks import EVENTS

BESIDE = ("model", "processing_class", "optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader")
WANTS = ("should_log", "should_evaluate", "should_save", "should_training_stop", "should_epoch_stop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.saved("classification", tmp_path_factory.mktemp("classification"))


def recorder(library: Any, seen: list[Any], **methods: Any) -> Any:
    """A callback that notes each event, with its keywords and what is wanted then."""

    def noting(event: str) -> Any:
        def note(self: Any, args: Any, state: Any, control: Any, **given: Any) -> Any:
            figures = given.get("logs") or given.get("metrics") or {}
            there = [name for name in BESIDE if given[name] is not None]
            wanted = [name for name in WANTS if getattr(control, name)]
            names = sorted(given.keys() - {"tokenizer"})
            seen.append((event, state.global_step, round(state.epoch, 4), names, there, wanted, sorted(figures)))
            return methods[event](args, state, control) if event in methods else None

        return note

    return type("Recorder", (library.TrainerCallback,), {event: noting(event) for event in EVENTS})()


def stop_epoch(args: Any, state: Any, control: Any) -> Any:
    control.should_epoch_stop = state.global_step == 3
    return control


def stop_all(args: Any, state: Any, control: Any) -> None:
    control.should_training_stop = state.global_step == 3


def ask(args: Any, state: Any, control: Any) -> None:
    control.should_save = control.should_evaluate = control.should_log = state.global_step == 2


@pytest.mark.parametrize(
    ("options", "methods"),
    [
        (
            {"gradient_accumulation_steps": 3, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps",
             "save_steps": 3, "logging_steps": 2},
            {},
        ),
        (
            {"max_steps": 5, "eval_strategy": "epoch", "save_strategy": "epoch", "logging_strategy": "epoch",
             "logging_first_step": True, "eval_on_start": True},
            {},
        ),
        (
            {"num_train_epochs": 1.5, "save_strategy": "best", "eval_strategy": "epoch", "logging_steps": 5,
             "metric_for_best_model": "loss", "load_best_model_at_end": True, "eval_delay": 1},
            {},
        ),
        ({"logging_steps": 9}, {"on_step_end": stop_epoch}),
        ({"logging_steps": 9, "save_strategy": "epoch"}, {"on_step_end": stop_all}),
        ({"logging_steps": 9, "max_steps": 4}, {"on_step_end": ask}),
        ({"logging_steps": 9, "max_steps": 14, "save_strategy": "epoch"}, {"on_epoch_end": stop_all}),
    ],
)  # fmt: skip
def test_events(options: dict[str, Any], methods: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    found = []
    for library in (transformers, formers):
        seen: list[Any] = []
        callback = recorder(library, seen, **methods)
        one = tiny.trainer(
            library, "classification", folder, tmp_path / library.__name__, callbacks=[callback], **options
        )
        tiny.quiet(one.train)
        tiny.quiet(one.evaluate)
        tiny.quiet(one.predict, tiny.data("classification", 5))
        found.append((seen, sorted(path.name for path in (tmp_path / library.__name__).iterdir())))
    assert found[1] == found[0]
    assert {event[0] for event in found[1][0]} >= {"on_init_end", "on_train_begin", "on_train_end", "on_predict"}


class Counting(formers.TrainerCallback, formers.training.callbacks.ExportableState):  # type: ignore[name-defined]
    def __init__(self, step: int = 1) -> None:
        self.step, self.count = step, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.count += self.step

    def state(self) -> dict[str, Any]:
        return {"args": {"step": self.step}, "attributes": {"count": self.count}}


def test_states_are_restored(folder: Path, tmp_path: Path) -> None:
    def made(**options: Any) -> Any:
        given = {"callbacks": [Counting(2)], "save_strategy": "steps", "save_steps": 4, **options}
        return tiny.trainer(formers, "classification", folder, tmp_path, **given)

    tiny.quiet(made(max_steps=4).train)
    for restored, count in ((True, 14), (False, 6)):
        one = made(max_steps=7, callbacks=[Counting(2)], restore_callback_states_from_checkpoint=restored)
        tiny.quiet(one.train, resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
        assert one.pop_callback(Counting).count == count


def test_added_taken_out_and_twice(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = tiny.trainer(formers, "classification", folder, tmp_path, callbacks=[Counting], max_steps=2)
    mine = Counting(5)
    one.add_callback(mine)
    assert "Counting is added that is there already" in caplog.text
    assert one.pop_callback(mine) is mine and one.pop_callback(mine) is None
    first = one.pop_callback(Counting)
    assert isinstance(first, Counting) and one.pop_callback(Counting) is None
    one.add_callback(mine)
    one.remove_callback(formers.PrinterCallback)
    tiny.quiet(one.train)
    assert mine.count == 10 and first.count == 0
    assert "Counting" in one.callback_handler.callback_list and "Printer" not in one.callback_handler.callback_list


@pytest.mark.parametrize(
    ("values", "threshold", "patience", "greater", "stops"),
    [
        ([0.5, 0.6, 0.55, 0.58], 0.0, 2, True, 4),
        ([0.5, 0.51, 0.7, 0.71, 0.72], 0.1, 1, True, 2),
        ([0.5, 0.4, 0.41, 0.3, 0.31, 0.32], 0.0, 2, False, 6),
        ([0.5, 0.5, 0.5], 0.0, 1, True, 2),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 0.0, 1, True, 6),
    ],
)
def test_early_stops(
    values: list[float], threshold: float, patience: int, greater: bool, stops: int, folder: Path, tmp_path: Path
) -> None:
    found = []
    for library in (transformers, formers):
        left = iter(values)
        one = tiny.trainer(
            library, "classification", folder, tmp_path / library.__name__, max_steps=len(values), logging_steps=99,
            eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1, load_best_model_at_end=True,
            metric_for_best_model="f1", greater_is_better=greater, save_total_limit=1,
            callbacks=[library.EarlyStoppingCallback(patience, threshold)],
            compute_metrics=lambda _, left=left: {"f1": next(left)},
        )  # fmt: skip
        tiny.quiet(one.train)
        found.append((one.state.global_step, one.state.best_metric, one.state.best_global_step))
    assert found[0] == found[1] and found[1][0] == stops


def test_bars(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Bar:
        def __init__(self, total: int, initial: int = 0, leave: bool = True, **kwargs: Any) -> None:
            self.total, self.count, self.leave, self.closed = total, initial, leave, False
            self.lines: list[str] = []
            shown.append(self)

        def update(self, count: int) -> None:
            self.count += count

        def write(self, text: str) -> None:
            self.lines.append(text)

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(formers.logging, "tqdm", Bar)
    one = tiny.trainer(
        formers, "classification", folder, tmp_path, disable_tqdm=False, max_steps=5, eval_strategy="steps",
        eval_steps=3, per_device_eval_batch_size=4,
    )  # fmt: skip
    one.train()
    one.evaluate()
    steps, *evaluations = shown
    assert (steps.count, steps.total, steps.closed) == (5, 5, True)
    assert [(bar.count, bar.total, bar.closed, bar.leave) for bar in evaluations] == [
        (3, 3, True, False), (3, 3, True, False), (3, 3, True, True),
    ]  # fmt: skip
    assert len(steps.lines) == 8 and "'loss': '" in steps.lines[0] and "total_flos" not in steps.lines[-1]


def test_tensorboard_files_hold_the_figures(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    one = tiny.trainer(
        formers, "classification", folder, tmp_path, report_to="tensorboard", logging_dir=str(tmp_path / "logs"),
        max_steps=3, eval_strategy="steps", eval_steps=3, compute_metrics=lambda _: {"f1": 0.25},
    )  # fmt: skip
    tiny.quiet(one.train)
    read = EventAccumulator(str(tmp_path / "logs"))
    read.Reload()
    assert {"train/loss", "train/learning_rate", "train/grad_norm", "eval/loss", "eval/f1"} <= set(
        read.Tags()["scalars"]
    )
    logged = [(x["step"], x["loss"]) for x in one.state.log_history if "loss" in x]
    assert [(x.step, pytest.approx(x.value, rel=1e-6)) for x in read.Scalars("train/loss")] == logged
    assert [(x.step, x.value) for x in read.Scalars("eval/f1")] == [(3, 0.25)]
    assert "args/text_summary" in read.Tags()["tensors"] and "model_config/text_summary" in read.Tags()["tensors"]


class Wandb(types.ModuleType):
    """What the callback calls of the library."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = importlib.util.spec_from_loader("wandb", None)
        self.run: Any = None
        self.logged: list[dict[str, Any]] = []

    def init(self, **options: Any) -> None:
        self.run = options

    def log(self, figures: dict[str, Any]) -> None:
        self.logged.append(figures)


def test_wandb(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    one = tiny.trainer(
        formers, "classification", folder, tmp_path, report_to=["wandb"], run_name="first", max_steps=2,
        eval_strategy="steps", eval_steps=2,
    )  # fmt: skip
    tiny.quiet(one.train)
    assert wandb.run["project"] == "mine" and wandb.run["name"] == "first"
    assert wandb.run["config"]["learning_rate"] == 1e-3 and wandb.run["config"]["hidden_size"] == 32
    assert [x["train/global_step"] for x in wandb.logged] == [1, 2, 2, 2]
    assert "train/loss" in wandb.logged[0] and "eval/loss" in wandb.logged[2]


def test_names_of_reports(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def names(report_to: Any) -> str:
        one = tiny.trainer(formers, "classification", folder, tmp_path, report_to=report_to)
        return one.callback_handler.callback_list

    assert "Board" not in names("none") and "Board" not in names(None) and "Board" not in names([])
    assert "TensorBoardCallback" in names("all") and "TensorBoardCallback" in names(["tensorboard"])
    with pytest.raises(ArgumentError, match=r"report_to='tensorbord' is not known.*Did you mean 'tensorboard'"):
        names("tensorbord")
    with pytest.raises(ArgumentError, match=r"report_to='mlflow'.*TrainerCallback"):
        names(["mlflow"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ArgumentError, match="pip install wandb"):
        names("wandb")
