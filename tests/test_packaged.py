"""The model in the package is small, loads with the Auto classes, and is as accurate as its card says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from corpus import sst2

import formers
from formers import AutoModelForSequenceClassification, AutoTokenizer

FOLDER = Path(formers.__file__).parent / "packaged" / "sentiment"

POSITIVE = [
    "I love this movie.",
    "A wonderful, funny and moving film.",
    "the acting is superb and the story is gripping",
    "One of the best films of the year!",
    "This is a great product, I am very happy with it.",
    "a delightful comedy with a big heart",
    "We really enjoyed it.",
]
NEGATIVE = [
    "I hate this movie.",
    "A boring, tedious mess.",
    "the plot is stupid and the jokes fall flat",
    "One of the worst films I have ever seen.",
    "It was a terrible waste of time and money.",
    "not a good film",
    "The service was awful.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return AutoModelForSequenceClassification.from_pretrained(FOLDER).eval()


def probabilities(model, tokenizer, texts: list[str]) -> torch.Tensor:
    """(B, 2): the probability of each label."""
    with torch.inference_mode():
        return model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits.softmax(-1)


def test_files_are_small_and_complete() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 12_000_000
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md"):
        assert (FOLDER / name).is_file(), name


def test_config_says_what_the_model_is() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "bert"
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["label2id"] == {"NEGATIVE": 0, "POSITIVE": 1}
    assert config["max_position_embeddings"] >= 128


def test_weights_load_as_float32(model) -> None:
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_tokenizer_fits_the_model(model, tokenizer) -> None:
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    assert tokenizer.tokenize("A GOOD film") == ["a", "good", "film"]


@pytest.mark.parametrize(("label", "text"), [(1, text) for text in POSITIVE] + [(0, text) for text in NEGATIVE])
def test_plain_sentences(model, tokenizer, label: int, text: str) -> None:
    assert probabilities(model, tokenizer, [text]).argmax(-1).item() == label


@pytest.mark.parametrize(("label", "text"), [(1, " ".join(POSITIVE)), (0, " ".join(NEGATIVE))])
def test_texts_of_the_full_length(model, tokenizer, label: int, text: str) -> None:
    assert probabilities(model, tokenizer, [" ".join([text] * 10)]).argmax(-1).item() == label


def test_dev_accuracy_is_the_cards(model, tokenizer) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.search(r"\| SST-2 dev accuracy \| .*\((\d+) of 872\) \|", card)
    assert stated is not None
    rows, right = sst2("dev"), 0
    for start in range(0, len(rows), 64):
        labels, texts = zip(*rows[start : start + 64], strict=True)
        predicted = probabilities(model, tokenizer, list(texts)).argmax(-1)
        right += int((predicted == torch.tensor(labels)).sum())
    # One sentence's two logits may be equal to the last bit, and then the kernel's order of sums decides.
    assert abs(right - int(stated[1])) <= 1
