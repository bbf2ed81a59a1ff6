"""Write tests/goldens/*-4.20.json: what Transformers 4.20 computes where later releases differ.

Run it where that release is installed: python tools/make_goldens_420.py (checked with 4.20.1). Weights and inputs come
from names alone (`draw_weights`), so that only results are stored.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from goldens import CASES, answers, draw_weights, run  # noqa: E402


def rounded(value: torch.Tensor) -> Any:
    return json.loads(json.dumps(value.double().tolist()), parse_float=lambda x: float(f"{float(x):.7g}"))


def main() -> None:
    results = {}
    for name, case in CASES.items():
        model_class = getattr(transformers, case["model"])
        model = model_class(model_class.config_class(**case["config"]))
        draw_weights(model)
        results[name] = {key: rounded(value) for key, value in run(model.eval(), case).items()}
    write("transformers-4.20.json", results)
    write("answers-4.20.json", {option: answered(option) for option in answers.OPTIONS})


def answered(option: str) -> list[Any]:
    """What the question answering pipeline says to each example."""
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder, "vocab.txt")
        vocabulary.write_text("\n".join(answers.VOCABULARY) + "\n")
        tokenizer = transformers.BertTokenizerFast(str(vocabulary), model_max_length=answers.LIMIT)
    pipe = transformers.pipeline("question-answering", model=answers.model_of(transformers), tokenizer=tokenizer)
    found = [pipe(example, **answers.OPTIONS[option]) for example in answers.examples(option)]
    rows = [answer if isinstance(answer, list) else [answer] for answer in found]
    return [[[float(f"{x['score']:.6g}"), x["start"], x["end"], x["answer"]] for x in row] for row in rows]


def write(name: str, results: dict[str, Any]) -> None:
    path = TESTS / "goldens" / name
    path.write_text(
        "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in results.items()) + "\n}\n"
    )
    print(f"{path}: {path.stat().st_size:,} bytes, from transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
