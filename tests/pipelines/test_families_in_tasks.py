"""Every family that reads texts in every task: a list gives what its texts give one by one, whatever else the tokenizer
returns."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from families import having, redraw
from pipelines.conftest import VOCABULARY, texts

import formers
from formers import registry

TEXTS = texts(12, (1, 25))
PAIRS = list(zip(TEXTS, reversed(TEXTS), strict=True))
# task: head, its configuration, inputs, arguments
TASKS: dict[str, tuple[str, dict[str, Any], list[Any], dict[str, Any]]] = {
    "text-classification": (
        "sequence-classification",
        {"num_labels": 3},
        [{"text": text, "text_pair": other} for text, other in PAIRS],
        {"top_k": None, "truncation": True},
    ),
    "token-classification": ("token-classification", {"num_labels": 3}, TEXTS, {}),
    "question-answering": (
        "question-answering",
        {},
        [{"question": text[:12], "context": f"{other} film"} for text, other in pairwise(TEXTS)],
        {"doc_stride": 4, "max_seq_len": 40, "max_question_len": 12},
    ),
    "fill-mask": ("masked-lm", {}, [f"{text[:60]} [MASK]" for text in TEXTS], {"truncation": True}),
    "feature-extraction": ("base", {}, TEXTS, {"pooling": "mean", "truncation": True}),
    "zero-shot-classification": (
        "sequence-classification",
        {"num_labels": 3},
        TEXTS,
        {"candidate_labels": ["film", "story"], "truncation": True},
    ),
    "text-ranking": ("sequence-classification", {"num_labels": 1}, PAIRS, {"truncation": True}),
    "multiple-choice": (
        "multiple-choice",
        {},
        [{"prompt": text, "choices": [other, "film"]} for text, other in PAIRS],
        {"truncation": True},
    ),
}


def flat(value: Any) -> list[Any]:
    """The numbers and words of a result, in order."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in flat(value[key])]
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, list | tuple) else [value]


@pytest.mark.brief(lambda family, task: family in ("bert", "roberta") or task == "text-classification")
@pytest.mark.parametrize(
    ("task", "family"), [(task, f) for task, (head, *_) in TASKS.items() for f in having(head) if f != "tapas"]
)
def test_a_list_and_its_texts(family: str, task: str, tmp_path: Path) -> None:
    head, options, inputs, arguments = TASKS[task]
    module = registry.load(family)
    config = module.HEADS[head].config_class(**{**module.TINY, "vocab_size": len(VOCABULARY), **options})
    model = module.HEADS[head](config)
    redraw(model)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    pipe = formers.pipeline(task, model=model, tokenizer=formers.BertTokenizer.from_pretrained(tmp_path))
    assert "token_type_ids" in pipe.tokenizer("a")
    together, alone = pipe(inputs, **arguments), [pipe(item, **arguments) for item in inputs]
    for several, one in zip(together, alone, strict=True):
        for got, expected in zip(flat(several), flat(one), strict=True):
            assert got == (pytest.approx(expected, abs=1e-4) if isinstance(expected, float) else expected)
