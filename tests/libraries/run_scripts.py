"""Scripts of the form of Transformers' examples: with only the import changed, the same figures."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import checks

sys.path.insert(0, str(Path(__file__).parents[1]))
_folder = tempfile.TemporaryDirectory()
os.environ["HF_HOME"] = os.environ["HF_DATASETS_CACHE"] = str(Path(_folder.name) / "cache")

from training import examples  # noqa: E402


def equal(name: str, older: bool) -> None:
    folder = Path(_folder.name) / f"{name}{older}".replace(" ", "_")
    expected = examples.results(examples.run(name, "transformers", folder))
    found = examples.results(examples.run(name, "formers", folder, old=older))
    assert found.keys() == expected.keys(), f"figures: {sorted(found.keys() ^ expected.keys())}"
    assert {"eval_loss", "eval_exact_match"} & found.keys()
    for figure, value in expected.items():
        assert abs(found[figure] - value) <= 1e-4 * max(1, abs(value)), f"{figure}: {found[figure]} for {value}"


for _name in examples.EXAMPLES:
    for _older in (False, True):
        _form = "of 4.20" if _older else "of 5.x"
        checks.check(f"{_name}, in the form {_form}")(lambda name=_name, older=_older: equal(name, older))


if __name__ == "__main__":
    checks.run()
