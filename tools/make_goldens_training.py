"""Write tests/goldens/training.json: losses, gradients and measures of sentence-transformers.

Run it where sentence-transformers is installed (checked with 6.2.0): python tools/make_goldens_training.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from sentence_transformers.cross_encoder import evaluation as of_pairs
from sentence_transformers.sentence_transformer import evaluation, losses

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from goldens import training  # noqa: E402


def rounded(value: Any) -> Any:
    return [rounded(one) for one in value] if isinstance(value, list) else float(f"{value:.6g}")


def loss(name: str, options: dict[str, Any], columns: int, labels: str | None) -> dict[str, Any]:
    """The value of a loss, and its gradient for each column."""
    made = getattr(losses, name)(training.NoEncoder(), **training.resolved(options, losses))
    vectors, wanted = training.vectors(columns), training.LABELS[labels]
    if name == "MSELoss":
        wanted = [wanted] * columns if wanted.ndim == 2 else list(wanted.unbind(1))
    if name.startswith("Cached"):
        value = made.calculate_loss([[column] for column in vectors])
    else:
        value = made.compute_loss_from_embeddings(vectors, wanted)
    value.backward()
    return {"value": rounded(value.item()), "gradients": rounded([column.grad.tolist() for column in vectors])}


def measured(name: str, given: list[Any], options: dict[str, Any], labels: int | None) -> dict[str, Any]:
    """What an evaluator gives, and the table that it writes."""
    home = evaluation if labels is None else of_pairs
    model = training.FixedEncoder() if labels is None else training.FixedRanker(labels)
    evaluator = getattr(home, name)(*given, **options)
    with tempfile.TemporaryDirectory() as folder:
        found = evaluator(model, folder, 1.0, 5)
        (table,) = Path(folder).glob("*.csv")
        header, row = table.read_text().splitlines()
        return {
            "found": {key: rounded(value) for key, value in found.items()},
            "primary": evaluator.primary_metric,
            "table": [table.name, header, rounded([float(value) for value in row.split(",")])],
        }


def main() -> None:
    made = {
        "losses": [loss(*case) for case in training.LOSSES],
        "evaluators": [measured(*case) for case in training.EVALUATORS],
    }
    lines = [f"{json.dumps(kind)}: [\n" + ",\n".join(map(json.dumps, rows)) + "\n]" for kind, rows in made.items()]
    path = TESTS / "goldens" / "training.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
