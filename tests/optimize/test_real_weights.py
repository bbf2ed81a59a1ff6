"""How far the short types are from float32 on real weights and sentences: the bars that the modes have to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from corpus import sst2

import formers
from formers.optimize import Agreement

PACKAGED = Path(formers.__file__).parent / "packaged" / "sentiment"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [text for _, text in sst2("dev")[:300]]


@pytest.fixture(scope="module", params=["minilm", "sentiment"])
def model(request: pytest.FixtureRequest) -> Any:
    if request.param == "sentiment":
        return formers.AutoModelForSequenceClassification.from_pretrained(PACKAGED)
    return formers.AutoModel.from_pretrained(request.getfixturevalue("minilm"))


def agreement(model: Any, mode: str, texts: list[str]) -> Agreement:
    found = model.optimize(mode, check=texts).optimized
    if found.mode != mode:
        pytest.skip(found.note)
    assert found.agreement.texts == 300
    return found.agreement


def least(model: Any) -> float:
    """The least cosine of int8's outputs with float32's: the two logits of a neutral text turn more than vectors."""
    return 0.99 if hasattr(model, "classifier") else 0.995


def test_int8(model: Any, texts: list[str]) -> None:
    found = agreement(model, "int8", texts)
    assert found.cosine >= 0.999 and found.worst_cosine >= least(model)
    assert (found.labels_changed or 0) <= 0.0034  # one of 300: 0.3 %


def test_int8_of_many_texts_at_once(model: Any, texts: list[str]) -> None:
    """As pipelines compute them, thousands of tokens at a time: each of them has less of a say in the scale."""
    tokenizer = formers.AutoTokenizer.from_pretrained(model.name_or_path)
    together = dict(tokenizer(sorted(texts, key=len), padding=True, truncation=True, return_tensors="pt"))
    found = model.optimize("int8", check=[together]).optimized
    if found.mode != "int8":
        pytest.skip(found.note)
    assert found.agreement.texts == 300 and int(together["attention_mask"].sum()) > 6000
    assert found.agreement.cosine >= 0.999 and found.agreement.worst_cosine >= least(model)


def test_bf16(model: Any, texts: list[str]) -> None:
    found = agreement(model, "bf16", texts)
    assert found.cosine >= 0.9999 and found.worst_cosine >= 0.999
    assert (found.labels_changed or 0) <= 0.0034


def test_float32(model: Any, texts: list[str]) -> None:
    found = agreement(model, "float32", texts)
    assert found.worst_cosine >= 0.99999 and not found.labels_changed and (found.score_change or 0) < 1e-5


def test_float32_elementwise(model: Any, texts: list[str]) -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(model.name_or_path)
    batch = tokenizer(texts[:64], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model.optimize(None).base_model(**batch, output_hidden_states=True).hidden_states
        got = model.optimize("float32").base_model(**batch, output_hidden_states=True).hidden_states
    for a, b in zip(got, expected, strict=True):
        assert float((a - b).abs().max() / b.abs().max()) < 1e-5


def test_the_best_mode_holds_its_bars(model: Any, texts: list[str]) -> None:
    found = model.optimize(check=texts).optimized
    bars = {
        "int8": (0.999, least(model)),
        "bf16": (0.9999, 0.999),
        "fp16": (0.99999, 0.9999),
        "float32": (0.99999, 0.0),
    }
    mean, worst = bars[found.mode]
    assert found.agreement.cosine >= mean and found.agreement.worst_cosine >= worst
