"""Search for the values of arguments that train best, by optuna."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, InputError
from .choices import HPSearchBackend
from .results import BestRun, default_compute_objective


def default_hp_space_optuna(trial: Any) -> dict[str, Any]:
    """Rates from 1e-6 to 1e-4, one to five epochs, seeds, and batches of 4 to 64."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 5),
        "seed": trial.suggest_int("seed", 1, 40),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [4, 8, 16, 32, 64]),
    }


class Searching:
    """The part of a Trainer that trains many times, with other values each time."""

    args: Any
    state: Any
    model_init: Any
    hp_search_backend: HPSearchBackend | None = None
    hp_space: Any = None
    hp_name: Any = None
    compute_objective: Any = None
    _trial: Any = None

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], Any] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "minimize",
        backend: str | HPSearchBackend | None = None,
        hp_name: Callable[[Any], str] | None = None,
        **kwargs: Any,
    ) -> BestRun | list[BestRun]:
        """Train `n_trials` times, each time with the arguments that `hp_space` draws; the best run, or for several
        directions the best ones.

        compute_objective: from an evaluation's metrics to what is to be small or large; the loss if left out, or the
        sum of the other metrics. kwargs: of optuna's `create_study`, and timeout, n_jobs and gc_after_trial of
        `optimize`. Errors: ArgumentError without a model_init.
        """
        HPSearchBackend(backend or "optuna")
        if self.model_init is None:
            raise ArgumentError("A search makes the model anew for each trial: give Trainer a model_init.")
        try:
            import optuna
        except ImportError as error:
            raise ArgumentError("hyperparameter_search needs optuna: pip install optuna.") from error
        self.hp_space = hp_space or default_hp_space_optuna
        self.compute_objective = compute_objective or default_compute_objective
        self.hp_name, self.hp_search_backend = hp_name, HPSearchBackend.OPTUNA
        run = {name: kwargs.pop(name) for name in ("timeout", "n_jobs", "gc_after_trial") if name in kwargs}
        several = isinstance(direction, list)
        kwargs["directions" if several else "direction"] = direction
        try:
            study = optuna.create_study(**kwargs)
            study.optimize(self._objective, n_trials=n_trials, **run)
        finally:
            self.hp_search_backend = None
        if several:
            return [BestRun(str(best.number), best.values, best.params) for best in study.best_trials]
        best: Any = study.best_trial
        return BestRun(str(best.number), best.value, best.params)

    def _objective(self, trial: Any) -> Any:
        self._objective_reached: Any = None
        self.train(trial=trial)  # type: ignore[attr-defined]
        if self._objective_reached is None:
            metrics = self.evaluate()  # type: ignore[attr-defined]
            self._objective_reached = self.compute_objective(metrics)
        return self._objective_reached

    def _hp_search_setup(self, trial: Any) -> None:
        """Set the arguments as the trial draws them."""
        self._trial = trial
        if trial is None:
            return
        drawn = self.hp_space(trial) if self.hp_search_backend else trial
        for name, value in drawn.items():
            if not hasattr(self.args, name):
                raise InputError(f"hp_space draws {name!r}, which is no training argument.")
            old = getattr(self.args, name)
            setattr(self.args, name, value if old is None else type(old)(value))
        self._train_batch_size = self.args.train_batch_size

    def _name_trial(self, trial: Any) -> None:
        if trial is not None and self.hp_search_backend:
            self.state.trial_name = self.hp_name(trial) if self.hp_name else None
            self.state.trial_params = dict(trial.params)

    def _get_output_dir(self, trial: Any = None) -> str:
        """Where the checkpoints are: of a trial in a folder of its own."""
        folder: str = self.args.output_dir
        if trial is None or not self.hp_search_backend:
            return folder
        name = self.hp_name(trial) if self.hp_name else f"run-{trial.number}"
        return f"{folder}/{name}"

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        """Tell optuna how far the trial is; it may end it."""
        if trial is None or not self.hp_search_backend:
            return
        self._objective_reached = reached = self.compute_objective(dict(metrics))
        if isinstance(reached, (int, float)) and math.isfinite(reached):
            trial.report(reached, step)
            if trial.should_prune():
                import optuna

                raise optuna.TrialPruned
