"""What evaluators share: results by names, the one that models are compared by, and tables."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...errors import ArgumentError, InputError, near
from ...logging import logger
from ..search import SIMILARITIES

Results = dict[str, float]


class BaseEvaluator:
    """Called with an encoder, it gives results by their names.

    Attributes:
        primary_metric: the name of the result that models are compared by.
        greater_is_better: whether more of it is better.
    """

    greater_is_better: bool = True
    primary_metric: str | None = None
    csv_file: str = ""
    csv_headers: Sequence[str] = ()
    write_csv: bool = True

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Any:
        """Measure.

        Args:
            model: an encoder.
            output_path: a folder, in which a row is added to the evaluator's table.
            epoch, steps: where a training stands, for that row.

        Returns {name: value}; evaluators of one's own may give a number alone.
        """
        raise NotImplementedError

    def prefix_name_to_metrics(self, metrics: Mapping[str, Any], name: str) -> Results:
        """Results under `name` and an underscore, which go before the primary metric's name too."""
        start = f"{name}_" if name else ""
        if self.primary_metric is not None and not self.primary_metric.startswith(start):
            self.primary_metric = start + self.primary_metric
        return {start + key: float(value) for key, value in metrics.items()}

    def store_metrics_in_model_card_data(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: no card is kept. Evaluators written for sentence-transformers call it."""

    def _write(self, folder: str | os.PathLike[str] | None, row: Sequence[Any]) -> None:
        """Add a row to the table, with a line of headers where it is new."""
        if folder is None or not self.write_csv:
            return
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, self.csv_file)
        new = not os.path.isfile(path)
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(self.csv_headers)
            writer.writerow(row)

    def _say(self, results: Results) -> Results:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in results.items())
        logger.info(f"{type(self).__name__}: {shown}")
        return results


SentenceEvaluator = BaseEvaluator


class SequentialEvaluator(BaseEvaluator):
    """Several evaluators, one after the other; their results together, and "sequential_score"."""

    def __init__(
        self,
        evaluators: Iterable[BaseEvaluator],
        main_score_function: Callable[[list[float]], float] = lambda scores: scores[-1],
    ) -> None:
        """main_score_function: what "sequential_score" is of the evaluators' primary results; the last if left out."""
        super().__init__()
        self.evaluators, self.main_score_function = list(evaluators), main_score_function
        if not self.evaluators:
            raise InputError("SequentialEvaluator has no evaluators.")
        self.primary_metric = "sequential_score"

    def __call__(
        self, model: Any, output_path: str | os.PathLike[str] | None = None, epoch: float = -1, steps: int = -1
    ) -> Results:
        """See BaseEvaluator."""
        whole: Results = {}
        scores = []
        for number, evaluator in enumerate(self.evaluators):
            found = evaluator(model, output_path, epoch, steps)
            scores.append(main_score(evaluator, found))
            whole.update(found if isinstance(found, Mapping) else {f"evaluator_{number}": found})
        whole["sequential_score"] = self.main_score_function(scores)
        return whole


def main_score(evaluator: Any, found: Any) -> float:
    """The value of an evaluator's results by which models are compared: that of its primary metric, or the first.

    Raises InputError where it is not among them, or is no number.
    """
    if isinstance(found, Mapping):
        name = getattr(evaluator, "primary_metric", None)
        name = next(iter(found), None) if name is None else name
        if name not in found:
            raise InputError(
                f"{type(evaluator).__name__} says that {name!r} is its primary metric, and gave "
                f"{', '.join(map(str, found)) or 'nothing'}."
            )
        found = found[name]
    try:
        return float(found)
    except (TypeError, ValueError) as error:
        raise InputError(f"{type(evaluator).__name__} gave {found!r:.60}; a number is needed.") from error


def same_length(**columns: Sequence[Any]) -> None:
    """Raises InputError where columns have not one length, or none has anything."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{' and '.join(f'{n} {name}' for name, n in lengths.items())}: these need one length.")
    if not next(iter(lengths.values())):
        raise InputError(f"There are no {next(iter(lengths))}.")


def similarity_names(main: Any, names: Sequence[str] | None) -> list[str]:
    """The names of similarities that are measured; none for that of the model."""
    value = getattr(main, "value", main)
    chosen = list(names or ([value] if value else []))
    for name in chosen:
        if name not in SIMILARITIES:
            raise ArgumentError(
                f"The similarity {name!r} is not one of {', '.join(SIMILARITIES)}.{near(name, SIMILARITIES)}"
            )
    return chosen
