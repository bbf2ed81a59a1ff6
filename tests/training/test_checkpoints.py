"""Trainings that stop and go on: bit for bit as if they had not stopped, whatever stopped them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from training import tiny

import formers
from formers.errors import CheckpointError, InputError, NotFoundError

DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {task: tiny.saved(task, tmp_path_factory.mktemp(task)) for task in ("classification", "masked", "causal")}


class Stop(formers.TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise SystemError("stopped")


def trainer(task: str, folder: Path, out: Path, **options: Any) -> Any:
    given = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 5}
    if task != "causal":
        given["config"] = DROPOUT
    return tiny.trainer(formers, task, folder, out, **given | options)


def same(one: Any, other: Any) -> bool:
    states = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def figures(made: Any) -> list[Any]:
    return [(x["step"], x.get("loss"), x.get("eval_loss")) for x in made.state.log_history if "train_loss" not in x]


@pytest.mark.parametrize(
    ("task", "stops", "options"),
    [
        ("classification", (6, 26), {}),
        ("classification", (13, 25), {"save_steps": 12}),  # at an epoch's end
        ("masked", (12, 23, 34), {"save_steps": 11}),  # the last batch of an epoch is left
        ("masked", (4, 7), {"save_steps": 3, "gradient_accumulation_steps": 2}),
        ("masked", (16,), {"train_sampling_strategy": "group_by_length"}),
        ("masked", (16,), {"dataloader_num_workers": 2}),
        ("masked", (14,), {"save_strategy": "epoch"}),
        ("classification", (16,), {"eval_strategy": "steps", "eval_steps": 5, "lr_scheduler_type": "cosine"}),
        ("classification", (16,), {"bf16": True, "logging_steps": 7}),
        ("causal", (3, 6), {"packing": True, "packing_length": 32, "save_steps": 2}),
    ],
)
def test_a_training_that_goes_on_is_the_one_that_did_not_stop(
    task: str, stops: tuple[int, ...], options: dict[str, Any], models: dict[str, Path], tmp_path: Path
) -> None:
    whole = trainer(task, models[task], tmp_path / "whole", **options)
    tiny.quiet(whole.train)
    for stop in stops:
        out = tmp_path / str(stop)
        with pytest.raises(SystemError):
            tiny.quiet(trainer(task, models[task], out, callbacks=[Stop(stop)], **options).train)
        again = trainer(task, models[task], out, **options)
        tiny.quiet(again.train, resume_from_checkpoint=True)
        assert same(whole, again) and figures(whole) == figures(again), stop


def test_adam_and_the_schedule_go_on(models: dict[str, Path], tmp_path: Path) -> None:
    # the weights of another start are replaced, and so is all that the next step depends on
    one = trainer("classification", models["classification"], tmp_path, max_steps=5, lr_scheduler_type="constant")
    tiny.quiet(one.train)
    other = trainer("classification", models["classification"], tmp_path, max_steps=8, lr_scheduler_type="constant")
    torch.nn.init.zeros_(other.model.classifier.weight)
    tiny.quiet(other.train, resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    through = trainer(
        "classification", models["classification"], tmp_path / "t", max_steps=8, lr_scheduler_type="constant"
    )
    tiny.quiet(through.train)
    assert same(through, other)


CHILD = """
import sys, time, pathlib
sys.path.insert(0, {tests!r})
import formers, torch
from training import tiny
torch.set_num_threads({threads})
class Slow(formers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        print("step", state.global_step, flush=True)
        time.sleep({sleep})
one = tiny.trainer(formers, "classification", pathlib.Path({folder!r}), pathlib.Path({out!r}), config={config!r},
    num_train_epochs=3, save_strategy="steps", save_steps={every}, callbacks=[Slow()])
one.train(resume_from_checkpoint={resume})
"""


def child(folder: Path, out: Path, sleep: float = 0.0, resume: bool = False, every: int = 5) -> subprocess.Popen[str]:
    code = CHILD.format(
        tests=str(Path(__file__).parents[1]), folder=str(folder), out=str(out), sleep=sleep, config=DROPOUT,
        resume=resume, every=every, threads=torch.get_num_threads(),
    )  # fmt: skip
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], **pipes)


def until(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step") and int(line.split()[1]) >= step:
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_interrupted_it_writes_a_checkpoint(models: dict[str, Path], tmp_path: Path) -> None:
    whole = trainer("classification", models["classification"], tmp_path / "whole")
    tiny.quiet(whole.train)
    process = child(models["classification"], tmp_path / "out", sleep=0.05, every=1000)
    until(process, 7)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (1, 130, -signal.SIGINT) and "KeyboardInterrupt" in said, said
    assert [path.name.partition("-")[0] for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["checkpoint"]
    again = trainer("classification", models["classification"], tmp_path / "out")
    tiny.quiet(again.train, resume_from_checkpoint=True)
    assert same(whole, again) and figures(whole) == figures(again)


def test_killed_at_any_moment_it_goes_on(models: dict[str, Path], tmp_path: Path) -> None:
    whole = trainer("classification", models["classification"], tmp_path / "whole")
    tiny.quiet(whole.train)
    process = child(models["classification"], tmp_path / "out", every=1)  # most of the time it writes
    until(process, 6)
    time.sleep(0.013)
    process.kill()
    process.communicate()
    again = trainer("classification", models["classification"], tmp_path / "out")
    tiny.quiet(again.train, resume_from_checkpoint=True)
    assert same(whole, again)
    assert not list((tmp_path / "out").glob(".checkpoint-*.unfinished"))


def test_a_full_disk_leaves_the_older_checkpoint(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = torch.save

    def full(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-10" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(value, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        tiny.quiet(trainer("classification", models["classification"], tmp_path, save_total_limit=1).train)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5"]
    options = {"continue_after_failed_save": True, "max_steps": 16}
    tiny.quiet(trainer("classification", models["classification"], tmp_path / "on", **options).train)
    assert "checkpoint of step 10 is left out" in caplog.text
    assert sorted(path.name for path in (tmp_path / "on").iterdir()) == [
        "checkpoint-15",
        "checkpoint-16",
        "checkpoint-5",
    ]


def test_a_checkpoint_of_another_model(models: dict[str, Path], tmp_path: Path) -> None:
    tiny.quiet(trainer("masked", models["masked"], tmp_path, max_steps=5).train)
    other = trainer("classification", models["classification"], tmp_path)
    before = {name: value.clone() for name, value in other.model.state_dict().items()}
    with pytest.raises(
        CheckpointError,
        match=r"(?s)checkpoint-5.*another model.*lacks.*classifier\.bias.*beside.*cls\.predictions.*Nothing was loaded",
    ):
        tiny.quiet(other.train, resume_from_checkpoint=True)
    assert all(torch.equal(value, other.model.state_dict()[name]) for name, value in before.items())


def test_what_is_no_checkpoint(models: dict[str, Path], tmp_path: Path) -> None:
    one = trainer("classification", models["classification"], tmp_path)
    with pytest.raises(NotFoundError, match="no checkpoint in"):
        one.train(resume_from_checkpoint=True)
    with pytest.raises(NotFoundError, match="no folder"):
        one.train(resume_from_checkpoint=str(tmp_path / "none"))
    with pytest.raises(NotFoundError, match=r"trainer_state\.json is not there"):
        one.train(resume_from_checkpoint=str(models["classification"]))


def test_broken_and_hostile_files(models: dict[str, Path], tmp_path: Path) -> None:
    import pickle

    tiny.quiet(trainer("classification", models["classification"], tmp_path, max_steps=5).train)
    path = tmp_path / "checkpoint-5" / "optimizer.pt"
    for content in (b"", path.read_bytes()[:100], pickle.dumps(os.getcwd)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"optimizer\.pt"):
            tiny.quiet(trainer("classification", models["classification"], tmp_path).train, resume_from_checkpoint=True)


def test_two_trainings_in_one_folder(models: dict[str, Path], tmp_path: Path) -> None:
    class Second(formers.TrainerCallback):
        said = ""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                process = child(models["classification"], tmp_path)
                Second.said = process.communicate()[1]

    tiny.quiet(trainer("classification", models["classification"], tmp_path, max_steps=3, callbacks=[Second()]).train)
    assert "InputError: Another training writes to" in Second.said
    tiny.quiet(trainer("classification", models["classification"], tmp_path, max_steps=3).train)  # one after the other


def test_old_checkpoints_go_and_the_best_stays(models: dict[str, Path], tmp_path: Path) -> None:
    values = iter([0.1, 0.9, 0.5, 0.6, 0.7, 0.2, 0.3])

    def accuracy(_: Any) -> dict[str, float]:
        return {"accuracy": next(values)}

    one = trainer(
        "classification", models["classification"], tmp_path, max_steps=25, save_total_limit=2, eval_strategy="steps",
        eval_steps=5, load_best_model_at_end=True, metric_for_best_model="accuracy", compute_metrics=accuracy,
    )  # fmt: skip
    tiny.quiet(one.train)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-25"]
    assert one.state.best_metric == 0.9 and one.state.best_model_checkpoint == str(tmp_path / "checkpoint-10")
    best = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-10")
    assert all(
        torch.equal(a, b) for a, b in zip(best.state_dict().values(), one.model.state_dict().values(), strict=True)
    )


def test_checkpoints_of_transformers_are_gone_on_from(models: dict[str, Path], tmp_path: Path) -> None:
    import transformers

    options: Any = {"save_strategy": "steps", "save_steps": 5, "num_train_epochs": 1}
    theirs = tiny.trainer(transformers, "classification", models["classification"], tmp_path, **options)
    tiny.quiet(theirs.train)
    again = tiny.trainer(formers, "classification", models["classification"], tmp_path, **options)
    tiny.quiet(again.train, resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    for name, value in theirs.model.state_dict().items():
        assert torch.allclose(again.model.state_dict()[name], value, atol=1e-5), name


def test_an_early_stop_that_waits_for_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    stop = formers.EarlyStoppingCallback(2)
    with pytest.raises(InputError, match=r"(?s)'acuracy'.*eval_accuracy.*Did you mean 'eval_accuracy'"):
        tiny.quiet(
            trainer(
                "classification", models["classification"], tmp_path, callbacks=[stop], eval_strategy="steps",
                eval_steps=5, load_best_model_at_end=True, metric_for_best_model="acuracy",
                compute_metrics=lambda _: {"accuracy": 1.0},
            ).train
        )  # fmt: skip
    with pytest.raises(ValueError, match="metric_for_best_model"):
        tiny.quiet(trainer("classification", models["classification"], tmp_path, callbacks=[stop]).train)
    options: Any = {"eval_strategy": "steps", "eval_steps": 5, "metric_for_best_model": "accuracy"}
    one = trainer(
        "classification", models["classification"], tmp_path / "s", callbacks=[stop],
        compute_metrics=lambda _: {"accuracy": 1.0}, load_best_model_at_end=True, **options,
    )  # fmt: skip
    assert tiny.quiet(one.train).global_step == 15  # the first, and two that are no better
