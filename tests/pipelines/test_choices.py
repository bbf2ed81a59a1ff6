"""multiple-choice and next-sentence, beside the reference's models, for which it has no pipelines."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from pipelines.conftest import Make, texts

from formers import pipeline
from formers.errors import ArgumentError, HeadError, InputError

TEXTS = texts(200, (1, 12))


def asked(count: int) -> list[dict[str, Any]]:
    """Prompts with one to five choices each."""
    draw = random.Random(count)
    return [{"prompt": text, "choices": draw.sample(TEXTS, draw.randint(1, 5))} for text in TEXTS[:count]]


def reference(architecture: str, folder: Path) -> tuple[Any, Any]:
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def folder(make: Make) -> Path:
    return make("BertForMultipleChoice", max_position_embeddings=200)


@pytest.fixture(scope="module")
def chooser(folder: Path) -> Any:
    return pipeline("multiple-choice", model=folder)


@pytest.mark.parametrize("size", [None, 1, 8])
def test_choices(chooser: Any, folder: Path, size: int | None) -> None:
    model, tokenizer = reference("BertForMultipleChoice", folder)
    inputs = asked(200)
    for one, found in zip(inputs, chooser(inputs, batch_size=size), strict=True):
        choices = one["choices"]
        encoded = tokenizer([one["prompt"]] * len(choices), choices, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**{key: value[None] for key, value in encoded.items()}).logits[0]
        scores = logits.softmax(0).tolist()
        assert [row["choice"] for row in found] == [choices[row["index"]] for row in found]
        assert [row["score"] for row in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
        assert [row["score"] for row in found] == pytest.approx([scores[row["index"]] for row in found], abs=1e-5)


def test_forms_of_choices(chooser: Any) -> None:
    one = asked(3)[2]
    found = chooser(one)
    assert sum(row["score"] for row in found) == pytest.approx(1)
    for name in ("context", "question"):
        assert chooser({name: one["prompt"], "choices": tuple(one["choices"])}) == found
    assert next(chooser(iter([one]))) == chooser([one])[0] == found
    assert chooser(one, top_k=1) == found[:1]
    assert pipeline("multiple-choice", model=chooser.model, tokenizer=chooser.tokenizer, top_k=1)([one]) == [found[:1]]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a", r"inputs\[1\] is 'a' \(str\); give \{\"prompt\""),
        ({"prompt": "a"}, r"inputs\[1\] is \{'prompt'"),
        ({"context": "a", "question": "b", "choices": ["c"]}, r"inputs\[1\] is \{'context'"),
        ({"prompt": "a", "choices": []}, r"inputs\[1\]: its choices are an empty list"),
        ({"prompt": None, "choices": ["a"]}, r"inputs\[1\]: its prompt is None"),
        ({"prompt": "a", "choices": ["a", b"b"]}, r"inputs\[1\]: choices\[1\] is b'b'"),
        ({"prompt": "a", "choices": ["a", "good " * 300]}, r"inputs\[1\]: choices\[1\], which .* has 304 tokens"),
    ],
)
def test_unusable_choices(chooser: Any, item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chooser([asked(1)[0], item])


def test_models_and_arguments_that_do_not_fit(chooser: Any, classifier_folder: Path) -> None:
    for options in ({"top_k": -1}, {"topk": 1}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            chooser(asked(1), **options)
    model = pipeline("text-classification", model=classifier_folder).model
    for task, auto in (("multiple-choice", "MultipleChoice"), ("next-sentence", "NextSentencePrediction")):
        with pytest.raises(HeadError, match=f"AutoModelFor{auto} loads one"):
            pipeline(task, model=model)
    assert len(chooser({"prompt": "a", "choices": ["a", "good " * 300]}, truncation=True)) == 2


@pytest.mark.parametrize("size", [None, 8])
def test_next_sentence(make: Make, size: int | None) -> None:
    folder = make("BertForNextSentencePrediction", max_position_embeddings=200)
    model, tokenizer = reference("BertForNextSentencePrediction", folder)
    follows = pipeline("next-sentence", model=folder)
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    for pair, found in zip(pairs, follows(pairs, batch_size=size), strict=True):
        with torch.no_grad():
            scores = model(**tokenizer(*pair, return_tensors="pt")).logits[0].softmax(0).tolist()
        assert found["label"] == ("IS_NEXT", "NOT_NEXT")[scores[0] < scores[1]]
        assert found["score"] == pytest.approx(max(scores), abs=1e-5)
    first = follows(pairs[0])
    assert first == follows(list(pairs[0])) == follows({"text": pairs[0][0], "text_pair": pairs[0][1]})
    assert [row["label"] for row in follows(pairs[0], return_all_scores=True)] == ["IS_NEXT", "NOT_NEXT"]
    for given, message in (("a film", "The input is one text"), ([pairs[0], "a"], r"inputs\[1\] is one text")):
        with pytest.raises(InputError, match=message):
            follows(given)
