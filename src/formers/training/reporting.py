"""Where figures are sent while a model is trained: what `report_to` names."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ..errors import ArgumentError, near
from ..extra import library
from ..logging import logger
from .callbacks import TrainerCallback, TrainerState


def renamed(logs: dict[str, Any]) -> dict[str, Any]:
    """The figures in groups, as dashboards have them: eval/loss, test/loss, train/loss."""
    found = {}
    for name, value in logs.items():
        group = next((g for g in ("eval", "test") if name.startswith(f"{g}_")), None)
        found[f"{group}/{name.removeprefix(f'{group}_')}" if group else f"train/{name}"] = value
    return found


class TensorBoardCallback(TrainerCallback):
    """Writes the figures to `logging_dir`, for TensorBoard. tb_writer: a SummaryWriter of one's own."""

    def __init__(self, tb_writer: Any = None) -> None:
        library("tensorboard", "report_to='tensorboard'", '"formers[train]"')
        self.tb_writer = tb_writer

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Open the files, and write the arguments and the configuration."""
        if not state.is_world_process_zero:
            return
        if self.tb_writer is None:
            from torch.utils.tensorboard import SummaryWriter

            folder = args.logging_dir
            if state.is_hyper_param_search and state.trial_name is not None:
                folder = os.path.join(folder, state.trial_name)
            self.tb_writer = SummaryWriter(log_dir=folder)
        self.tb_writer.add_text("args", args.to_json_string())
        if getattr(model, "config", None) is not None:
            self.tb_writer.add_text("model_config", model.config.to_json_string())

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write the figures."""
        if self.tb_writer is None or not state.is_world_process_zero:
            return
        for name, value in renamed(logs).items():
            if isinstance(value, (int, float)):
                self.tb_writer.add_scalar(name, value, state.global_step)
            elif isinstance(value, str):
                self.tb_writer.add_text(name, value, state.global_step)
        self.tb_writer.flush()

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Close the files."""
        if self.tb_writer is not None:
            self.tb_writer.close()
            self.tb_writer = None


class WandbCallback(TrainerCallback):
    """Sends the figures to Weights and Biases, as the library wandb is set up."""

    def __init__(self) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ArgumentError("report_to='wandb' needs wandb: pip install wandb.") from error
        self._wandb: Any = wandb

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Begin a run."""
        if state.is_world_process_zero and self._wandb.run is None:
            config = getattr(model, "config", None)
            both = {**(config.to_dict() if config is not None else {}), **args.to_sanitized_dict()}
            self._wandb.init(project=os.getenv("WANDB_PROJECT", "huggingface"), name=args.run_name, config=both)

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Send the figures."""
        if state.is_world_process_zero:
            self._wandb.log({**renamed(logs), "train/global_step": state.global_step})


REPORTERS: dict[str, type[TrainerCallback]] = {"tensorboard": TensorBoardCallback, "wandb": WandbCallback}


def reporters(names: list[str]) -> list[type[TrainerCallback]]:
    """The callbacks that `report_to` names; "all" for those whose library is installed."""
    if "all" in names:
        names = [name for name in REPORTERS if importlib.util.find_spec(name)]
        logger.info("report_to='all': %s.", ", ".join(names) or "none of them is installed")
    for name in names:
        if name not in REPORTERS:
            known = [*REPORTERS, "all", "none"]
            raise ArgumentError(
                f"report_to={name!r} is not known: {', '.join(known)}. For any other, add a TrainerCallback whose "
                f"on_log sends the figures.{near(name, known)}"
            )
    return [REPORTERS[name] for name in names]
