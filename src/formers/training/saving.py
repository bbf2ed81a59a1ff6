"""Checkpoints of a training: written at once, so that a reader or a kill finds a whole one or none; and read again.

output_dir/checkpoint-500/
  config.json, model.safetensors, tokenizer files     what from_pretrained opens
  optimizer.pt, scheduler.pt, scaler.pt               what the next step goes on from
  rng_state.pth                                       the generators: at the end of the step, at the beginning of
                                                      the epoch, and before the batch that was read ahead
  trainer_state.json                                  steps, logs, the best so far; written last
  training_args.json                                  the arguments, for people
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .. import hub
from ..adapters import WEIGHTS as ADAPTER_FILES
from ..adapters import Adapted
from ..atomic import replacing
from ..checkpoints import find_weights, open_checkpoint
from ..checkpoints.names import torch_names
from ..checkpoints.write import save_checkpoint
from ..errors import CheckpointError, InputError, NotFoundError
from ..loading import tied_names
from ..logging import logger
from ..report import listed
from . import seed
from .callbacks import TRAINER_STATE_NAME, ExportableState, exported
from .choices import PREFIX_CHECKPOINT_DIR, SaveStrategy
from .results import get_last_checkpoint, sorted_checkpoints

if os.name != "nt":
    import fcntl

OPTIMIZER_NAME, SCHEDULER_NAME, SCALER_NAME = "optimizer.pt", "scheduler.pt", "scaler.pt"
TRAINING_ARGS_NAME = "training_args.json"
_LOCK = ".training.lock"


@contextlib.contextmanager
def one_training(folder: str | Path) -> Iterator[None]:
    """Inside, no other process trains into the folder. Errors: InputError where one does."""
    if os.name == "nt":
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / _LOCK
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another training writes to {str(folder)!r}, and two would overwrite each other's checkpoints: give "
                "this one another output_dir, or end the other."
            ) from error
        except OSError:
            pass  # a file system without locks
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def read(path: Path) -> Any:
    """A file of tensors and plain values; code that it may hold is not run. Errors: CheckpointError."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{str(path)!r} cannot be read: {said} Resume from another checkpoint, or delete the file to go on without "
            "what it holds."
        ) from error


class Saving:
    """The part of a Trainer that writes and reads checkpoints."""

    args: Any
    model: Any
    model_wrapped: Any
    accelerator: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any
    control: Any
    callback_handler: Any
    processing_class: Any
    data_collator: Any
    _recorded: Any
    _epoch_start: dict[str, Any] | None
    _batches_read: int
    _epoch_read: int
    _tr_loss: torch.Tensor
    _logged_at: int

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model, and its tokenizer, so that from_pretrained opens the folder."""
        if self.args.should_save:
            self._save(output_dir or self.args.output_dir)

    def _save(self, output_dir: str, state_dict: Any = None) -> None:
        model: Any = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if hasattr(model, "save_pretrained"):
            options = {} if state_dict is None else {"state_dict": state_dict}
            model.save_pretrained(output_dir, safe_serialization=self.args.save_safetensors, **options)
        else:
            tensors = model.state_dict() if state_dict is None else state_dict
            with replacing(output_dir, stale=["model*.safetensors", "pytorch_model*.bin"]) as stage:
                save_checkpoint(tensors, stage, "50GB", pickled=not self.args.save_safetensors)
        tokenizer: Any = self.processing_class or getattr(self.data_collator, "tokenizer", None)
        if hasattr(tokenizer, "save_pretrained"):
            tokenizer.save_pretrained(output_dir)
        with replacing(output_dir) as stage:
            (stage / TRAINING_ARGS_NAME).write_text(self.args.to_json_string() + "\n", encoding="utf-8")

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        """Write checkpoint-N of this step; the older ones stay until it is whole."""
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        strategy = self.args.save_strategy
        if strategy in (SaveStrategy.STEPS, SaveStrategy.EPOCH, SaveStrategy.BEST) and self.state.best_global_step:
            best = folder.parent / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
            if best.is_dir() or best == folder:
                self.state.best_model_checkpoint = str(best)
        everyones = None if self.args.save_only_model else self._gathered_states()
        if self.args.should_save:
            try:
                self._write(folder, everyones)
            except (OSError, CheckpointError) as error:
                shutil.rmtree(_unfinished(folder), ignore_errors=True)
                if not self.args.continue_after_failed_save:
                    raise
                logger.error("The checkpoint of step %s is left out: %s", self.state.global_step, error)
            else:
                self._rotate_checkpoints(output_dir=str(folder.parent))
        self.accelerator.wait_for_everyone()

    def _write(self, folder: Path, everyones: list[Any] | None) -> None:
        unfinished = _unfinished(folder)
        shutil.rmtree(unfinished, ignore_errors=True)
        with replacing(unfinished):
            pass
        self.save_model(str(unfinished), _internal_call=True)
        if everyones is not None:
            torch.save(self.optimizer.state_dict(), unfinished / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), unfinished / SCHEDULER_NAME)
            if self.accelerator.scaler is not None:
                torch.save(self.accelerator.scaler.state_dict(), unfinished / SCALER_NAME)
            for rank, states in enumerate(everyones):
                name = "rng_state.pth" if len(everyones) == 1 else f"rng_state_{rank}.pth"
                torch.save(states, unfinished / name)
        self.state.stateful_callbacks = exported(self.callback_handler.callbacks, self.control)
        self.state.save_to_json(unfinished / TRAINER_STATE_NAME)
        with replacing(unfinished):
            pass  # which brings all of it to the disk
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)

    def _gathered_states(self) -> list[Any]:
        """Of each process the states of the generators, as `seed.states` gives them and of two more moments, and the
        sum of the losses that are not logged yet."""
        mine = seed.states()
        mine |= {"loss": self._tr_loss.cpu(), "logged_at": self._logged_at}
        mine["read"] = self._epoch_read, self._batches_read
        if self._epoch_start is not None:
            mine["epoch"] = self._epoch_start
        recorded, number = self._recorded, self._batches_read * self.args.world_size
        if recorded is not None and number in recorded.before:
            mine["ahead"] = recorded.before[number]
        if self.args.world_size == 1:
            return [mine]
        from accelerate.utils import gather_object

        return gather_object([mine])

    def _rotate_checkpoints(self, use_mtime: bool = False, output_dir: str | None = None) -> None:
        """Delete the oldest checkpoints over `save_total_limit`, but not the best nor the newest."""
        limit = self.args.save_total_limit
        if not limit or limit < 0:
            return
        found = sorted_checkpoints(output_dir or self.args.output_dir)
        best = self.state.best_model_checkpoint
        kept = {Path(best).resolve()} if best else set()
        if found:
            newest = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            kept.add(next((path for path in found if path.name == newest), found[-1]).resolve())
        old = [path for path in found if path.resolve() not in kept]
        for path in old[: max(0, len(found) - max(limit, len(kept)))]:
            shutil.rmtree(path, ignore_errors=True)

    # ---- and back

    def _checkpoint_to_resume(self, given: Any) -> str | None:
        """The folder to go on from: the given one, or for True the last of the output folder."""
        if given is None or given is False:
            return None
        if given is True:
            folder = self.args.output_dir
            found = get_last_checkpoint(folder) if os.path.isdir(folder) else None
            if found is None:
                raise NotFoundError(f"There is no checkpoint in {folder!r} to resume from.")
            return found
        if not os.path.isdir(given):
            raise NotFoundError(f"resume_from_checkpoint={str(given)!r} is no folder.")
        if not os.path.isfile(os.path.join(given, TRAINER_STATE_NAME)):
            raise NotFoundError(
                f"{str(given)!r} is no checkpoint of a training: {TRAINER_STATE_NAME} is not there. "
                "To begin with its weights, load the model from it."
            )
        return str(given)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Put the weights of a checkpoint into the model. Errors: CheckpointError for those of another."""
        target = self.accelerator.unwrap_model(self.model if model is None else model, keep_torch_compile=False)
        folder = Path(resume_from_checkpoint)
        if any((folder / name).exists() for name in ADAPTER_FILES):
            load_adapter(target, folder)
            return
        stored = torch_names(open_checkpoint(find_weights(hub.locate(str(folder))), mmap=False))
        names = target.state_dict()
        missing = sorted(name for group in tied_names(target) if stored.keys().isdisjoint(group) for name in group)
        unexpected = sorted(stored.keys() - names.keys())
        wrong = sorted(
            name for name in stored.keys() & names.keys() if tuple(stored[name].shape) != tuple(names[name].shape)
        )
        if missing or unexpected or wrong:
            parts = {"it lacks": missing, "it has beside": unexpected, "other shapes have": wrong}
            said = "; ".join(f"{what} {listed(some, most=3)}" for what, some in parts.items() if some)
            raise CheckpointError(
                f"The checkpoint {str(folder)!r} is of another model than this {type(target).__name__}: {said}. "
                "Nothing was loaded. Give the model that was trained there, or another output_dir."
            )
        with torch.no_grad():
            for name, lazy in stored.items():
                names[name].copy_(lazy.load())

    def _load_optimizer_and_scheduler(self, checkpoint: str) -> None:
        folder = Path(checkpoint)
        for name, holder in ((OPTIMIZER_NAME, self.optimizer), (SCHEDULER_NAME, self.lr_scheduler)):
            if not (folder / name).exists():
                logger.warning("%s has no %s: it begins anew.", checkpoint, name)
                continue
            try:
                holder.load_state_dict(read(folder / name))
            except ValueError as error:
                raise CheckpointError(
                    f"{str(folder / name)!r} does not fit this training: {error}. Were other parameters trained?"
                ) from error
        if self.accelerator.scaler is not None and (folder / SCALER_NAME).exists():
            self.accelerator.scaler.load_state_dict(read(folder / SCALER_NAME))

    def _saved_states(self, checkpoint: str) -> dict[str, Any] | None:
        """The generators' states of this process, None where there are none."""
        alone = self.args.world_size == 1
        path = Path(checkpoint) / ("rng_state.pth" if alone else f"rng_state_{self.args.process_index}.pth")
        if not path.exists():
            logger.warning("%s has no %s: random numbers will be others than without the stop.", checkpoint, path.name)
            return None
        try:
            return read(path)
        except CheckpointError:
            if not alone:
                raise
            import numpy as np

            with torch.serialization.safe_globals(_of_numpy(np)):  # as Transformers writes it
                return read(path)

    def _load_best_model(self) -> None:
        logger.info("The best model is that of %s.", self.state.best_model_checkpoint)
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _load_callback_state(self) -> None:
        """Set callbacks as they were, where the arguments ask for it."""
        if not self.args.restore_callback_states_from_checkpoint:
            return
        saved = self.state.stateful_callbacks or {}
        callbacks = self.callback_handler.callbacks
        for place, callback in enumerate(callbacks):
            found = saved.get(type(callback).__name__)
            if found and isinstance(callback, ExportableState):
                callbacks[place] = type(callback).from_state(found[0] if isinstance(found, list) else found)

    def _get_output_dir(self, trial: Any = None) -> str:
        raise NotImplementedError  # a search has folders for its trials


def load_adapter(model: Any, folder: Path) -> None:
    """Put an adapter's weights, as it was saved, into the active adapter of a model of PEFT's or of this package."""
    path = next(folder / name for name in ADAPTER_FILES if (folder / name).exists())
    stored = open_checkpoint(path, mmap=False)
    if isinstance(model, Adapted):
        model.fill_adapter(model.active_adapter(), stored, str(path))
        return
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(model, {name: lazy.load() for name, lazy in stored.items()}, model.active_adapter)


def _unfinished(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.unfinished")


def _of_numpy(np: Any) -> list[Any]:
    from numpy.core.multiarray import _reconstruct

    return [_reconstruct, np.ndarray, np.dtype, type(np.dtype(np.uint32)), np.uint32]
