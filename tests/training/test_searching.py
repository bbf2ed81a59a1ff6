"""hyperparameter_search: trials by optuna, each from a model made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training import tiny

import formers
from formers.errors import ArgumentError, InputError

optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.saved("classification", tmp_path_factory.mktemp("classification"))


def searcher(folder: Path, out: Path, starts: list[Any], **options: Any) -> Any:
    def made(trial: Any) -> Any:
        model = formers.BertForSequenceClassification(formers.BertConfig(**tiny.BERT, num_labels=3))
        starts.append((None if trial is None else trial.number, model.classifier.weight.sum().item()))
        return model

    given: dict[str, Any] = {
        "use_cpu": True, "report_to": [], "disable_tqdm": True, "max_steps": 4, "eval_strategy": "steps",
        "eval_steps": 2, "save_strategy": "steps", "save_steps": 4, "per_device_train_batch_size": 4,
    }  # fmt: skip
    own = {name: options.pop(name) for name in ("compute_metrics",) if name in options}
    args = formers.TrainingArguments(str(out), **given | options)
    rows = tiny.data("classification", 16)
    tokenizer = formers.BertTokenizer(str(folder / "vocab.txt"))
    return formers.Trainer(
        args=args, model_init=made, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer, **own
    )


def rates(trial: Any) -> dict[str, Any]:
    return {"learning_rate": trial.suggest_categorical("learning_rate", [1e-5, 1e-2])}


def test_each_trial_is_a_training_of_its_own(folder: Path, tmp_path: Path) -> None:
    starts: list[Any] = []
    one = searcher(folder, tmp_path, starts)
    sampler = optuna.samplers.GridSampler({"learning_rate": [1e-5, 1e-2]}, seed=0)
    best = tiny.quiet(one.hyperparameter_search, rates, n_trials=2, sampler=sampler)
    assert [number for number, _ in starts] == [None, 0, 1]
    assert len({weights for _, weights in starts}) == 1  # the seed is set anew before each
    folders = {path.name: path for path in tmp_path.iterdir()}
    assert set(folders) == {"run-0", "run-1"} and all((x / "checkpoint-4").is_dir() for x in folders.values())
    assert best.run_id in ("0", "1") and best.hyperparameters["learning_rate"] in (1e-5, 1e-2)
    again = searcher(folder, tmp_path / "again", [], learning_rate=best.hyperparameters["learning_rate"])
    tiny.quiet(again.train)
    assert again.state.log_history[-2]["eval_loss"] == pytest.approx(best.objective, rel=1e-6)


def test_directions_names_and_objectives(folder: Path, tmp_path: Path) -> None:
    values = iter([0.2, 0.3, 0.9, 0.8, 0.4, 0.5])
    one = searcher(folder, tmp_path, [], compute_metrics=lambda _: {"f1": next(values)})
    best = tiny.quiet(
        one.hyperparameter_search, rates, compute_objective=lambda metrics: metrics["eval_f1"], n_trials=3,
        direction="maximize", hp_name=lambda trial: f"mine-{trial.number}",
    )  # fmt: skip
    assert (best.run_id, best.objective) == ("1", 0.8)  # of the last evaluation
    assert {path.name for path in tmp_path.iterdir()} == {"mine-0", "mine-1", "mine-2"}
    assert one.state.trial_name == "mine-2" and one.state.trial_params["learning_rate"] in (1e-5, 1e-2)
    several = tiny.quiet(
        searcher(folder, tmp_path / "b", []).hyperparameter_search, rates, n_trials=2,
        compute_objective=lambda metrics: [metrics["eval_loss"], 1.0], direction=["minimize", "maximize"],
    )  # fmt: skip
    assert several and all(len(run.objective) == 2 and run.objective[1] == 1 for run in several)


def test_pruned_trials_end(folder: Path, tmp_path: Path) -> None:
    class All(optuna.pruners.BasePruner):  # type: ignore[misc]
        def prune(self, study: Any, trial: Any) -> bool:
            return trial.number > 0

    steps: list[int] = []
    one = searcher(folder, tmp_path, [])
    real = one._report_to_hp_search

    def report(trial: Any, step: int, metrics: Any) -> None:
        steps.append(step)
        real(trial, step, metrics)

    one._report_to_hp_search = report
    best = tiny.quiet(one.hyperparameter_search, rates, n_trials=3, pruner=All())
    assert best.run_id == "0" and steps == [2, 4, 2, 2]


def test_what_cannot_be_searched(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="model_init"):
        tiny.trainer(formers, "classification", folder, tmp_path).hyperparameter_search(rates)
    one = searcher(folder, tmp_path, [])
    with pytest.raises(InputError, match="draws 'learning_rat', which is no"):
        tiny.quiet(one.hyperparameter_search, lambda trial: {"learning_rat": 1.0}, n_trials=1)
    with pytest.raises(ValueError, match="ray"):
        one.hyperparameter_search(rates, backend="ray")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ArgumentError, match="leave one out"):
        formers.Trainer(
            args=one.args, model_init=one.model_init, optimizers=(optimizer, None), train_dataset=one.train_dataset
        )
