"""Write tests/goldens/tables.json: what Transformers' tokenizer and pipeline make of tables.

Run it where transformers, torch and pandas are installed (checked with 5.23.0, 2.13.0 and 3.1.1):
python tools/make_goldens_tables.py
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from goldens import tables


def main() -> None:
    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, aggregates in (("aggregating", True), ("selecting", False)):
            folder = tables.checkpoint(Path(place), transformers, aggregates)
            pipe = transformers.pipeline("table-question-answering", model=str(folder))
            found[name] = [pipe(inputs, **options) for inputs, options in copy.deepcopy(tables.calls())]
        tokenizer = transformers.TapasTokenizer.from_pretrained(place)
        found["tokens"] = [
            tables.compact(tokenizer(pd.DataFrame(table), list(questions), **options))
            for table, questions, options in tables.cases()
        ]
    lines = (f"{json.dumps(name)}: [\n" + ",\n".join(map(_line, rows)) + "\n]" for name, rows in found.items())
    tables.GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _line(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
