"""What goes wrong in a step, in words that name the rows of the data; and Ctrl-C, which waits for the step's end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from ..errors import FormersError, InputError, RangeError
from ..ops.losses import IGNORED

_MOST = 32  # rows that are named


class NotFiniteError(FormersError, ArithmeticError):
    """A loss, or gradients, of which some are no finite numbers."""

    @classmethod
    def of(cls, trainer: Any, what: str, batches: Sequence[int]) -> NotFiniteError:
        """What is not finite, as "The loss is nan", after these batches of the epoch."""
        last = trainer.state.best_model_checkpoint or trainer.args.output_dir
        return cls(
            f"{what} in step {trainer.state.global_step + 1} (learning rate {trainer._get_learning_rate():.3g}), on "
            f"{named(read_rows(trainer, batches), 'training', batches)}. The weights of before this step are "
            f"in the model, and the checkpoints in {last!r} are as they were. Look at these rows (labels of -100 alone "
            "have no mean), or lower the learning rate, warm it up, or lower max_grad_norm."
        )


def read_rows(trainer: Any, batches: Sequence[int]) -> list[int] | None:
    """The rows of the training data in these batches of this process, None where they are not known."""
    if trainer._recorded is None:
        return None
    known, world = trainer._recorded.rows, trainer.args.world_size
    found = [known.get(batch * world + trainer.args.process_index) for batch in batches]
    return None if None in found else [row for rows in found for row in rows]


def named(rows: Sequence[int] | None, data: str, batches: Sequence[int]) -> str:
    """'rows 3, 17 and 5 of the training data', as far as they are known."""
    if rows is None:
        return f"batch {batches[0] + 1} of the {data} data"
    shown = ", ".join(map(str, rows[:_MOST])) + (", …" if len(rows) > _MOST else "")
    return f"row{'s' * (len(rows) > 1)} {shown} of the {data} data"


def explained(
    error: Exception, trainer: Any, inputs: Any, rows: Sequence[int] | None, data: str, batch: int
) -> Exception:
    """The error with the rows that it is about, and for a label out of range the row and the column.

    rows: of the batch, None where they are not known. data: which data they are of. batch: its number."""
    if isinstance(error, RangeError) and (found := _bad_label(error, trainer, inputs)) is not None:
        name, place, label, count = found
        row = f"row {rows[place[0]]} of the {data} data" if rows else f"text {place[0]} of batch {batch + 1}"
        config = getattr(trainer.model, "config", None)
        way_out = "Load the model with num_labels= as many as there are."
        if count == getattr(config, "vocab_size", None) != getattr(config, "num_labels", None):
            way_out = "Were they tokenized with another model's tokenizer?"
        return RangeError(
            f"Column {name!r}, {row}{f', token {place[1]}' if len(place) > 1 else ''}: the label is {label}, but the "
            f"model has {count} labels, 0 to {count - 1}, and {IGNORED} for what is left out. {way_out}"
        )
    kind = type(error) if isinstance(error, FormersError) else InputError
    try:
        return kind(f"{error} (in {named(rows, data, [batch])})")
    except TypeError:
        return error


def _bad_label(error: RangeError, trainer: Any, inputs: Any) -> tuple[str, list[int], int, int] | None:
    """The column, place and value of the first label out of range, and how many labels there are."""
    config = getattr(trainer.model, "config", None)
    count = error.labels[1] if error.labels else 0
    if not error.labels and getattr(config, "is_encoder_decoder", False):
        count = getattr(config, "vocab_size", 0)  # labels are what the decoder reads, too
    for name in trainer.label_names if count else ():
        labels = inputs.get(name)
        if not isinstance(labels, Tensor) or labels.is_floating_point():
            continue
        bad = ((labels < 0) & (labels != IGNORED)) | (labels >= count)
        if bool(bad.any()):
            place = bad.nonzero()[0].tolist()
            return name, place, int(labels[tuple(place)]), count
    return None


class Interrupt:
    """Inside, a first Ctrl-C waits for the end of what must not be cut; a second one does not, which `cut` says."""

    def __init__(self) -> None:
        self._waiting = self._asked = self.cut = False
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
            self.cut = self._waiting
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
