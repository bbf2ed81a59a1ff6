"""token-classification and zero-shot-classification, beside the reference's pipelines on the same tiny checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from pipelines.conftest import Make, texts

from formers import pipeline
from formers.errors import ArgumentError, InputError

STRATEGIES = ["none", "simple", "first", "average", "max"]
LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}


SHORT, LONG = texts(200, (1, 12)), texts(12, (40, 90))


@pytest.fixture(scope="module")
def folder(make: Make) -> Path:
    return make("BertForTokenClassification", id2label=LABELS, label2id={v: k for k, v in LABELS.items()})


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return transformers.pipeline("token-classification", model=str(folder), tokenizer=reference_tokenizer(folder))


@pytest.fixture(scope="module")
def ours(folder: Path) -> Any:
    return pipeline("ner", model=folder)


def reference_tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder, model_max_length=64)


def same(mine: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert [{k: v for k, v in entity.items() if k != "score"} for entity in mine] == (
        [{k: v for k, v in entity.items() if k != "score"} for entity in other]
    )
    assert [entity["score"] for entity in mine] == pytest.approx([float(entity["score"]) for entity in other], abs=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ignored", [None, [], ["O", "B-PER", "LOC"]])
def test_strategies(ours: Any, theirs: Any, strategy: str, ignored: list[str] | None) -> None:
    options = {} if ignored is None else {"ignore_labels": ignored}
    mine = ours(SHORT, aggregation_strategy=strategy, **options)
    for text, found in zip(SHORT, mine, strict=True):
        same(found, theirs(text, aggregation_strategy=strategy, **options))
        assert all(text[entity["start"] : entity["end"]] for entity in found)
    same(ours(SHORT[0], aggregation_strategy=strategy, **options), mine[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words_that_are_split_already(ours: Any, theirs: Any, strategy: str) -> None:
    options = {"is_split_into_words": True, "aggregation_strategy": strategy}
    for text in SHORT[:40]:
        same(ours(text.split(), **options), theirs(text.split(), **options)[0])
        same(ours(text.split(), delimiter=" | ", **options), theirs(text.split(), delimiter=" | ", **options)[0])
    together = ours([text.split() for text in SHORT[:3]], **options)
    for found, text in zip(together, SHORT[:3], strict=True):
        same(found, ours(text.split(), **options))


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 8, 30])
def test_long_texts_with_a_stride(ours: Any, theirs: Any, strategy: str, stride: int) -> None:
    options = {"stride": stride, "aggregation_strategy": strategy}
    for text, found in zip(LONG, ours(LONG, **options), strict=True):
        same(found, theirs(text, **options))


def test_nothing_of_a_long_text_is_dropped(ours: Any) -> None:
    tokens = ours(LONG, ignore_labels=[])
    for text, found in zip(LONG, tokens, strict=True):
        assert [entity["index"] for entity in found] == list(range(1, len(found) + 1))
        seen = {place for entity in found for place in range(entity["start"], entity["end"])}
        assert seen == {place for place, letter in enumerate(text) if not letter.isspace()}
    assert ours(LONG, aggregation_strategy="first")[0]


def test_older_arguments(ours: Any) -> None:
    text = SHORT[1]
    assert ours(text, grouped_entities=True) == ours(text, aggregation_strategy="simple")
    assert ours(text, grouped_entities=True, ignore_subwords=True) == ours(text, aggregation_strategy="first")
    assert ours(text, grouped_entities=False) == ours(text)


def test_what_cannot_be(ours: Any, classifier_folder: Path) -> None:
    for options in ({"aggregation_strategy": "all"}, {"stride": -1}, {"stride": 1000}, {"strides": 3}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            ours("a film", **options)
    with pytest.raises(InputError, match=r"inputs\[1\]"):
        ours(["a film", 3])
    with pytest.raises(InputError, match="list of words"):
        ours(["a", ["film"]], is_split_into_words=True)
    with pytest.raises(InputError, match="AutoModelForTokenClassification"):
        pipeline("token-classification", model=pipeline("text-classification", model=classifier_folder).model)("a")


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("names", [["contradiction", "neutral", "entailment"], ["ENTAILMENT", "other", "more"]])
def test_zero_shot(make: Make, several: bool, names: list[str]) -> None:
    labels = dict(enumerate(names))
    folder = make("BertForSequenceClassification", id2label=labels, label2id={v: k for k, v in labels.items()})
    theirs = transformers.pipeline("zero-shot-classification", model=str(folder), tokenizer=reference_tokenizer(folder))
    ours = pipeline("zero-shot-classification", model=folder)
    options = {"multi_label": several, "hypothesis_template": "it is {}."}
    for candidates in (["film", "story", "a dull end"], "good, bad", "fine"):
        found = ours([*SHORT, *LONG], candidates, **options, truncation=True)
        for text, mine in zip([*SHORT, *LONG], found, strict=True):
            other = theirs(text, candidates, **options)
            assert (mine["sequence"], mine["labels"]) == (other["sequence"], other["labels"])
            assert mine["scores"] == pytest.approx(other["scores"], abs=1e-5)
    assert ours(SHORT[0], candidate_labels=["film", "story"])["sequence"] == SHORT[0]
    for given, message in (({}, "candidate_labels"), ({"candidate_labels": []}, "candidate_labels")):
        with pytest.raises(ArgumentError, match=message):
            ours("a film", **given)
    with pytest.raises(ArgumentError, match="hypothesis_template"):
        ours("a film", ["a"], hypothesis_template="it is good")
    with pytest.raises(InputError, match="empty"):
        ours("", ["a"])
    with pytest.raises(InputError, match=r"inputs\[1\].*reads at most 64.*truncation=True"):
        ours([SHORT[0], LONG[0]], ["a"])
