"""optimize(check=…): agreement on the user's texts, and limits to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import pair
from tokenizers import Tokenizer, models, pre_tokenizers

import formers
from formers.errors import ArgumentError, InputError
from formers.optimize import Agreement, Limits, stack_of
from formers.optimize.sample import SAMPLE

PACKAGED = Path(formers.__file__).parent / "packaged" / "sentiment"
TEXTS = ["a gripping film", "dull", "it is what it is , and that is not much", "I love it!", "one of the worst"]
Build = Callable[..., Any]


@pytest.fixture(scope="module")
def sentiment() -> Any:
    return formers.AutoModelForSequenceClassification.from_pretrained(PACKAGED)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return formers.AutoTokenizer.from_pretrained(PACKAGED)


@pytest.mark.parametrize("mode", ["int8", "bf16", "float32"])
def test_texts(sentiment: Any, mode: str) -> None:
    """With the tokenizer that was saved with the model."""
    texts = list(TEXTS)
    found = sentiment.optimize(mode, check=texts).optimized.agreement
    assert texts == TEXTS and found.texts == 5
    assert 0.99 < found.worst_cosine <= found.cosine < 1.00001
    assert found.labels_changed in (0, 0.2) and 0 <= found.score_change < 0.1
    assert "5 texts" in str(found) and "labels changed" in str(found)


def test_the_agreement_is_what_it_says(sentiment: Any, tokenizer: Any) -> None:
    """By hand, text by text."""
    found = sentiment.optimize("bf16", check=TEXTS).optimized.agreement

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        means, scores = [], []
        with torch.inference_mode():
            for text in TEXTS:
                encoding = tokenizer(text, return_tensors="pt")
                means.append(sentiment.bert(**encoding).last_hidden_state[0].mean(0))
                scores.append(sentiment(**encoding).logits[0].softmax(0))
        return torch.stack(means), torch.stack(scores)

    means, scores = run()
    sentiment.optimize(None)
    wanted_means, wanted = run()
    cosines = torch.cosine_similarity(means, wanted_means)
    label = wanted.argmax(1, keepdim=True)
    assert abs(found.cosine - float(cosines.mean())) < 1e-5 and abs(found.worst_cosine - float(cosines.min())) < 1e-5
    assert found.labels_changed == float((scores.argmax(1) != label[:, 0]).float().mean())
    assert abs(found.score_change - float((scores - wanted).gather(1, label).abs().max())) < 2e-3


@pytest.mark.parametrize("given", ["batches", "encodings", "generator", "one text", "tokenizer"])
def test_kinds_of_texts(sentiment: Any, tokenizer: Any, given: str) -> None:
    encode = lambda texts: tokenizer(texts, padding=True, return_tensors="pt")  # noqa: E731
    check: Any = {
        "batches": [dict(encode(TEXTS[:3])), dict(encode(TEXTS[3:]))],
        "encodings": [encode(TEXTS)],
        "generator": (text for text in TEXTS),
        "one text": TEXTS[0],
        "tokenizer": TEXTS,
    }[given]
    options = {"tokenizer": tokenizer} if given == "tokenizer" else {}
    found = sentiment.optimize("bf16", check=check, **options).optimized.agreement
    assert found.texts == (1 if given == "one text" else 5) and found.cosine > 0.999


def test_more_texts_than_a_batch_and_longer_than_the_model(sentiment: Any) -> None:
    texts = [" ".join(["good", "bad"] * (n * 10)) for n in range(1, 40)]
    assert sentiment.optimize("bf16", check=texts).optimized.agreement.texts == 39


def test_tokens_that_are_labelled_are_counted_one_by_one(build: Build, inputs: Callable[..., Any]) -> None:
    model = build("bert", "token-classification")
    found = model.optimize("float32", check=[inputs(model)]).optimized.agreement
    assert found.texts == 3 and found.labels_changed == 0 and found.score_change < 1e-4


def test_models_without_labels(build: Build, inputs: Callable[..., Any]) -> None:
    model = build("bert", "base")
    found = model.optimize("float32", check=[inputs(model)]).optimized.agreement
    assert found.labels_changed is None and found.score_change is None and "labels" not in str(found)


@pytest.mark.parametrize("mode", ["bf16", True])
def test_no_tokenizer_to_be_found(build: Build, mode: str | bool) -> None:
    model = build()
    with pytest.raises(ArgumentError, match=r"tokenizer.*cannot be found.*tokenizer=…"):
        model.optimize(mode, check=TEXTS)
    assert model.optimized is None


@pytest.mark.parametrize("empty", [[], (), iter(())])
def test_no_texts(build: Build, empty: Any) -> None:
    with pytest.raises(InputError, match="no texts"):
        build().optimize("bf16", check=empty)


@pytest.mark.parametrize(
    "limit", [{"min_cosine": 0.99999999}, {"max_score_change": 1e-9}, {"max_labels_changed": -1e-9}]
)
def test_a_broken_limit_refuses(build: Build, inputs: Callable[..., Any], limit: dict[str, float]) -> None:
    model = build(wide=True)
    batch = inputs(model)
    with torch.inference_mode():
        plain = model(**batch).logits
        if "max_labels_changed" in limit:
            limit = {"min_cosine": 1.0, "max_labels_changed": 0.0}
        with pytest.raises(InputError, match=r"int8 does not agree well enough.*has to be at (least|most)"):
            model.optimize("int8", check=[batch], **limit)
        assert model.optimized is None and stack_of(model.bert.encoder.layer) is None
        assert not any("forward" in vars(module) for module in model.modules())
        assert torch.equal(model(**batch).logits, plain)


def test_limits_that_hold(build: Build, inputs: Callable[..., Any]) -> None:
    model = build()
    model.optimize("bf16", check=[inputs(model)], min_cosine=0.99, max_labels_changed=1.0, max_score_change=0.5)
    assert model.optimized.mode == "bf16" and model.optimized.agreement.texts == 3


def test_the_best_within_limits(build: Build, inputs: Callable[..., Any]) -> None:
    """None of the short types is exact to six places."""
    model = build()
    found = model.optimize(check=[inputs(model)], max_score_change=1e-6).optimized
    assert found.mode == "float32" and found.agreement.score_change < 1e-6


def test_a_batch_that_the_model_cannot_read(build: Build) -> None:
    model = build()
    with pytest.raises(InputError):
        model.optimize("bf16", check=[{"input_ids": torch.tensor([[1, 1000]])}])
    assert model.optimized is None and stack_of(model.bert.encoder.layer) is None


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        (Limits(), None),
        (Limits(cosine=0.99), None),
        (Limits(cosine=0.9951), "cosine is 0.995"),
        (Limits(worst_cosine=0.981), "worst_cosine is 0.98"),
        (Limits(cosine=0.99, labels_changed=0.02), "labels_changed is 0.03"),
        (Limits(labels_changed=0.03, score_change=0.2), None),
        (Limits(score_change=0.1), "score_change is 0.2"),
    ],
)
def test_limits(limits: Limits, broken: str | None) -> None:
    found = limits.broken(Agreement(100, 0.995, 0.98, 0.03, 0.2))
    assert found is None if broken is None else found is not None and found.startswith(broken)


def test_limits_on_labels_hold_where_there_are_none() -> None:
    assert Limits(labels_changed=0.0, score_change=0.0).broken(Agreement(3, 1.0, 1.0)) is None


def test_an_agreement_that_is_no_number_holds_no_limit() -> None:
    assert Limits(cosine=0.9).broken(Agreement(3, float("nan"), float("nan"))) is not None


def test_one_encoding_and_one_with_labels(sentiment: Any, tokenizer: Any) -> None:
    encoding = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert sentiment.optimize("bf16", check=encoding).optimized.agreement.texts == len(TEXTS)
    labelled = {**encoding, "labels": torch.zeros(len(TEXTS), dtype=torch.long)}
    assert sentiment.optimize("bf16", check=[labelled]).optimized.agreement.texts == len(TEXTS)


def test_multiple_choice(build: Build) -> None:
    model = build("bert", "multiple-choice")
    assert model.optimize().optimized.agreement is not None
    choices = {"input_ids": torch.randint(1, 99, (2, 3, 9), generator=torch.Generator().manual_seed(0))}
    assert model.optimize("float32", check=[choices]).optimized.agreement.texts == 6


def test_limits_without_texts_are_looked_at(build: Build) -> None:
    model = build("bert")
    assert model.optimize("bf16", min_cosine=0.5).optimized.agreement is not None
    with pytest.raises(InputError, match="cosine"):
        model.optimize("bf16", min_cosine=1)


@pytest.mark.parametrize("limit", [{"min_cosine": 99}, {"max_labels_changed": 3}, {"max_score_change": -0.1}])
def test_limits_are_shares(build: Build, limit: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(limit))}.*from 0 to 1"):
        build("bert").optimize("bf16", **limit)


def test_failing_midway_leaves_nothing(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("bert", wide=True)

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("formers.optimize.linear.derive", fail)
    with pytest.raises(MemoryError):
        model.optimize("bf16")
    assert stack_of(model.bert.encoder.layer) is None and model.optimized is None


def test_a_part_that_was_optimized_otherwise(build: Build) -> None:
    """The model does not say what is no longer so."""
    model = build("bert").optimize("bf16")
    model.bert.optimize("float32")
    assert model.optimized is None or model.optimized.mode == "float32"


def test_no_warning_of_torch_reaches_users(sentiment: Any, recwarn: pytest.WarningsRecorder) -> None:
    with torch.inference_mode():
        sentiment.optimize("int8")(torch.tensor([[2, 5, 7]]))
    assert not [warning for warning in recwarn if "quantize" in str(warning.message)]


def test_texts_that_the_tokenizer_does_not_know_show_nothing() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "of": 1}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    known = formers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<unk>")
    model = pair("llama", "causal-lm")[1]
    assert model._sample(known) == []
    known.add_tokens([word for text in SAMPLE for word in text.split()])
    assert len(model._sample(known)) == 1
