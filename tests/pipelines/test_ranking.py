"""text-ranking: the scores and the order that sentence-transformers' CrossEncoder gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import goldens
import pytest
import torch
from corpus import sst2
from goldens import ranking

import formers
from formers import pipeline
from formers.errors import ArgumentError, ConfigError, HeadError, InputError

GOLDENS = json.loads((Path(goldens.__file__).parent / "ranking.json").read_text(encoding="utf-8"))
PAIRS = ranking.pairs()
QUERY, DOCUMENTS = PAIRS[0][0], [document for _, document in PAIRS]
IDENTITY, SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ranking.folder(tmp_path_factory.mktemp("ranker"), formers)


@pytest.fixture(scope="module")
def ranker(folder: Path) -> Any:
    return pipeline("text-ranking", model=folder)


def test_scores_of_pairs(ranker: Any) -> None:
    assert ranker.predict(PAIRS) == pytest.approx(GOLDENS["sigmoid"], abs=1e-5)
    for options in ({"function_to_apply": "none"}, {"activation_fn": torch.nn.Identity()}, {"activation_fn": IDENTITY}):
        assert ranker(PAIRS, **options) == pytest.approx(GOLDENS["identity"], abs=1e-5)
    cut = {"truncation": True, "max_length": ranking.LIMIT}
    assert ranker(PAIRS, batch_size=16, **cut) == pytest.approx(GOLDENS["cut"], abs=1e-5)


def test_scores_of_real_sentences(ranker: Any) -> None:
    sentences = [text for _, text in sst2("dev")[:400]]
    found = ranker(list(zip(sentences[:200], sentences[200:], strict=True)))
    assert found == pytest.approx(GOLDENS["sst2"], abs=1e-5)


@pytest.mark.parametrize("size", [None, 7])
def test_rank(ranker: Any, size: int | None) -> None:
    found = ranker.rank(QUERY, DOCUMENTS, top_k=20, batch_size=size)
    assert [row["corpus_id"] for row in found] == [row[0] for row in GOLDENS["ranked"]]
    assert [row["score"] for row in found] == pytest.approx([row[1] for row in GOLDENS["ranked"]], abs=1e-5)
    assert [len(ranker.rank(QUERY, DOCUMENTS)), ranker.rank(QUERY, [])] == [200, []]
    for row in ranker.rank(QUERY, DOCUMENTS, top_k=5, return_documents=True):
        assert row["text"] == DOCUMENTS[row["corpus_id"]]


def test_forms(ranker: Any) -> None:
    asked = [{"query": query, "documents": DOCUMENTS[:count]} for count, (query, _) in enumerate(PAIRS[:9])]
    expected = [ranker.rank(one["query"], one["documents"]) for one in asked]
    for found in (
        ranker(asked),
        list(ranker(iter(asked))),
        [ranker(one) for one in asked],
        ranker(asked, batch_size=2),
    ):
        assert [[row["corpus_id"] for row in rows] for rows in found] == (
            [[row["corpus_id"] for row in rows] for rows in expected]
        )
    query, document = PAIRS[3]
    score = pytest.approx(GOLDENS["sigmoid"][3], abs=1e-5)
    assert ranker((query, document)) == ranker([query, document]) == score
    assert ranker({"text": query, "text_pair": document}) == ranker([[query, document]])[0] == score
    mixed = ranker([asked[2], (query, document)])
    assert [len(mixed[0]), mixed[1]] == [2, score]


@pytest.mark.parametrize(
    ("config", "scores"),
    [
        ({"sentence_transformers": {"activation_fn": IDENTITY, "version": "4.1.0"}}, "identity"),
        ({"sentence_transformers": {"activation_fn": SIGMOID}}, "sigmoid"),
        ({"sentence_transformers": {"version": "4.1.0"}}, "sigmoid"),
        ({"sbert_ce_default_activation_function": IDENTITY}, "identity"),
        ({"sbert_ce_default_activation_function": None}, "sigmoid"),
    ],
)
def test_what_the_config_says_of_scores(tmp_path: Path, config: dict[str, Any], scores: str) -> None:
    ranker = pipeline("text-ranking", model=ranking.folder(tmp_path, formers, **config))
    assert ranker(PAIRS[:20]) == pytest.approx(GOLDENS[scores][:20], abs=1e-5)


def test_what_the_file_beside_it_says_of_scores(tmp_path: Path) -> None:
    ranking.folder(tmp_path / "new", formers)
    beside = tmp_path / "new" / "config_sentence_transformers.json"
    beside.write_text(json.dumps({"model_type": "CrossEncoder", "activation_fn": IDENTITY, "prompts": {}}))
    ranker = pipeline("text-ranking", model=tmp_path / "new")
    ranker.save_pretrained(tmp_path / "again")
    model = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "new")
    for made in (ranker, *(pipeline("text-ranking", model=place) for place in (tmp_path / "again", model))):
        assert made(PAIRS[:20]) == pytest.approx(GOLDENS["identity"][:20], abs=1e-5)
    beside.write_text(json.dumps({"default_prompt_name": "query", "prompts": {"query": "query: "}}))
    with pytest.raises(ConfigError, match="default_prompt_name='query'"):
        pipeline("text-ranking", model=tmp_path / "new")


@pytest.mark.parametrize("path", ["torch.nn.modules.linear.Linear", "os.system", "evil.Identity", "Sigmod"])
def test_a_name_in_a_file_never_chooses_code(tmp_path: Path, path: str) -> None:
    ranking.folder(tmp_path, formers, sentence_transformers={"activation_fn": path})
    with pytest.raises(ConfigError, match=rf"activation_fn='{path}' is not known.*one of torch's Identity, Sigmoid"):
        pipeline("text-ranking", model=tmp_path)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("a query", r"The input is 'a query'; give \{\"query\""),
        ([PAIRS[0], None], r"inputs\[1\] is None"),
        ([{"query": "a", "documents": "b"}], r"inputs\[0\]: its documents are 'b'; a list"),
        ([{"query": "a", "documents": ["b", None]}], r"inputs\[0\]: documents\[1\] is None"),
        ([{"query": 3, "documents": []}], r"inputs\[0\]: its query is 3"),
        ([{"query": "a", "documents": [], "k": 1}], r"inputs\[0\] is \{'query'"),
        ([{"query": "a", "documents": ["b", "c \ud83d"]}], r"inputs\[0\]: documents\[1\] has half of a surrogate"),
        (
            [PAIRS[0], {"query": "a", "documents": ["b", "of " * 600]}],
            r"inputs\[1\]: documents\[1\], .* has 604 tokens",
        ),
        ([("a", "of " * 600)], r"inputs\[0\]: its text_pair, which starts 'of of .*truncation=True"),
    ],
)
def test_unusable_inputs(ranker: Any, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ranker(inputs)


def test_arguments(ranker: Any, classifier_folder: Path, base_folder: Path) -> None:
    with pytest.raises(InputError, match=r"The input: documents\[1\], which starts 'of .* Pass truncation=True"):
        ranker.rank("a", ["b", "of " * 600])
    assert len(ranker.rank("a", ["b", "of " * 600], truncation=True)) == 2
    for options in ({"top_k": -1}, {"function_to_apply": "softmax"}, {"activation_fn": 3}, {"batch_size": 0}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            ranker.rank("a", ["b"], **options)
    with pytest.raises(ArgumentError, match="both given"):
        ranker.rank("a", ["b"], activation_fn="Sigmoid", function_to_apply="none")
    with pytest.raises(ArgumentError, match="has 3 labels; text-ranking needs a model with one"):
        pipeline("text-ranking", model=classifier_folder)
    body = pipeline("feature-extraction", model=base_folder)
    body.model.config.num_labels = 1
    with pytest.raises(HeadError, match="AutoModelForSequenceClassification loads one"):
        formers.pipelines.TextRankingPipeline(body.model, body.tokenizer)(PAIRS[:2], on_error="return")


def test_the_limit_of_the_tokenizer(folder: Path) -> None:
    ranker = pipeline("text-ranking", model=folder)
    ranker.tokenizer.model_max_length = ranking.LIMIT
    assert ranker(PAIRS, truncation=True) == pytest.approx(GOLDENS["cut"], abs=1e-5)
    with pytest.raises(InputError, match=rf"tokens; this .* reads at most {ranking.LIMIT}.*truncation=True"):
        ranker.rank("a", ["b", "of " * 30])
