"""Scripts of the form of Transformers' examples: what `tests/libraries/run_scripts.py` tries of all, here of a few."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from formers.testing_utils import CaptureLogger
from formers.utils import get_full_repo_name
from training import examples, tiny

import formers
from formers.errors import ArgumentError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, and loggers that are afterwards as before."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loggers = [logging.getLogger(name) for name in (None, "formers", "transformers", "datasets")]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


@pytest.mark.parametrize(("name", "old"), [("glue", True), ("qa", False)])
def test_figures_are_those_of_transformers(name: str, old: bool, tmp_path: Path) -> None:
    short = "--num_train_epochs 1"
    expected = examples.results(tiny.quiet(examples.run, name, "transformers", tmp_path, more=short))
    found = examples.results(tiny.quiet(examples.run, name, "formers", tmp_path, old=old, more=short))
    assert {"train_loss", "eval_samples" if name == "glue" else "eval_exact_match"} <= found.keys()
    assert found == {figure: pytest.approx(value, rel=1e-4, abs=1e-6) for figure, value in expected.items()}


def test_a_script_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    """In the form of 5.x, its options in a file; its folder is that of an earlier run."""
    options = "--pad_to_max_length False --num_train_epochs"
    short = tiny.quiet(examples.run, "glue", "formers", tmp_path, more=f"{options} 1", as_json=True)
    assert examples.results(short)["epoch"] == 1 and (short / "checkpoint-10").is_dir()
    longer = tiny.quiet(examples.run, "glue", "formers", tmp_path, more=f"{options} 2", as_json=True)
    assert examples.results(longer)["epoch"] == 2 and (longer / "checkpoint-20").is_dir()
    state = formers.TrainerState.load_from_json(longer / "trainer_state.json")
    logged = [log["step"] for log in state.log_history if "loss" in log]
    assert logged == list(range(2, 21, 2)), "the second run did not go on from the first"
    assert formers.pipeline("text-classification", str(longer))("a lovely film .")[0]["label"] in ("good", "bad")
    card = (longer / "README.md").read_text()
    assert 'pipeline_tag: "text-classification"' in card and "| eval\\_accuracy | " in card and "20 steps" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--evaluation_strategy epoch", "eval_strategy", "epoch"),
        ("--no_cuda", "use_cpu", True),
        ("--no_cuda False", "use_cpu", False),
        ("--per_gpu_train_batch_size 3", "per_device_train_batch_size", 3),
        ("--group_by_length", "train_sampling_strategy", "group_by_length"),
        ("--warmup_ratio 0.25", "warmup_steps", 0.25),
        ("--warmup_ratio 0.25 --warmup_steps 4", "warmup_steps", 4),
        ("--gradient-checkpointing", "activation_checkpointing", True),
        ("--adafactor --seed 7", "optim", "adafactor"),
    ],
)
def test_old_options_of_a_command_line(words: str, name: str, value: Any, tmp_path: Path) -> None:
    parser = formers.HfArgumentParser(formers.TrainingArguments)
    (found,) = parser.parse_args_into_dataclasses(["--output_dir", str(tmp_path), *words.split()])
    assert getattr(found, name) == value
    assert found.seed == (7 if "seed" in words else 42)


def test_a_trainer_uploads_nothing(tmp_path: Path) -> None:
    args = formers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    trainer = formers.Trainer(torch.nn.Linear(1, 1), args)
    with pytest.raises(ArgumentError, match="upload_folder"):
        trainer.push_to_hub(commit_message="done")
    trainer.create_model_card(tasks=["fill-mask"], dataset="two | bars", tags="own", license="mit", language="en")
    card = (tmp_path / "README.md").read_text()
    assert 'license: "mit"' in card and 'tags: ["formers", "own"]' in card and "two | bars" in card


def test_names_that_scripts_use() -> None:
    assert get_full_repo_name("model", organization="people") == "people/model"
    logger = logging.getLogger("formers.of_a_script")
    with CaptureLogger(logger) as captured:
        logger.warning("longer than the model reads")
    assert captured.out == "longer than the model reads\n" and not logger.handlers
