"""What goes wrong in a step, in words that name the rows of the data; and Ctrl-C, which waits for the step's end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..errors import FormersError, InputError, RangeError
from ..ops.losses import IGNORED

_MOST = 32  # rows that are named


class NotFiniteError(FormersError, ArithmeticError):
    """A loss that is no finite number."""

    @classmethod
    def of(cls, trainer: Any, loss: Tensor, batch: int) -> NotFiniteError:
        """The loss of one batch of a step."""
        last = trainer.state.best_model_checkpoint or trainer.args.output_dir
        return cls(
            f"The loss is {loss.float().mean().item()} in step {trainer.state.global_step + 1} (learning rate "
            f"{trainer._get_learning_rate():.3g}), on {rows_of(trainer, batch)}. The weights of before this step are "
            f"in the model, and the checkpoints in {last!r} are as they were. Look at these rows (labels of -100 alone "
            "have no mean), or lower the learning rate, warm it up, or lower max_grad_norm."
        )


def rows_of(trainer: Any, batch: int) -> str:
    """'rows 3, 17 and 5 of the training data', as far as they are known."""
    known = None
    if trainer._recorded is not None:
        known = trainer._recorded.rows.get(batch * trainer.args.world_size + trainer.args.process_index)
    if known is None:
        return f"batch {batch + 1} of the epoch"
    shown = ", ".join(map(str, known[:_MOST])) + (", …" if len(known) > _MOST else "")
    return f"row{'s' * (len(known) > 1)} {shown} of the training data"


def explained(error: Exception, trainer: Any, inputs: Any, batch: int) -> Exception:
    """The error with the rows that it is about, and for a label out of range the row and the column."""
    where = rows_of(trainer, batch)
    count = getattr(getattr(trainer.model, "config", None), "num_labels", None)
    for name in trainer.label_names if isinstance(error, RangeError) else ():
        labels = inputs.get(name)
        if not isinstance(labels, Tensor) or labels.is_floating_point() or "labels" not in str(error):
            continue
        bad = ((labels < 0) & (labels != IGNORED)) | (labels >= (count or 0))
        if bool(bad.any()):
            place = bad.nonzero()[0].tolist()
            known = trainer._recorded.rows.get(batch) if trainer._recorded is not None else None
            row = f"row {known[place[0]]} of the training data" if known else f"text {place[0]} of the batch"
            return RangeError(
                f"Column {name!r}, {row}{f', token {place[1]}' if len(place) > 1 else ''}: the label is "
                f"{int(labels[tuple(place)])}, but the model has {count} labels, 0 to {(count or 1) - 1}, and "
                f"{IGNORED} for what is left out. Load the model with num_labels= as many as there are."
            )
    kind = type(error) if isinstance(error, FormersError) else InputError
    try:
        return kind(f"{error} (in {where})")
    except TypeError:
        return error


class Interrupt:
    """Inside, a first Ctrl-C waits for the end of what must not be cut; a second one does not."""

    def __init__(self) -> None:
        self._waiting = self._asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        self._ours = threading.current_thread() is threading.main_thread()
        if self._ours:
            self._before = signal.getsignal(signal.SIGINT)
            self._ours = self._before is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._asked_for)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)

    def _asked_for(self, number: int, frame: Any) -> None:
        if not self._waiting or self._asked:
            raise KeyboardInterrupt
        self._asked = True

    @contextlib.contextmanager
    def waits(self) -> Iterator[None]:
        """Not to be cut: a KeyboardInterrupt comes at the end."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt
