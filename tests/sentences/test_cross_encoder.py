"""CrossEncoder: the scores of the class of that name in sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import goldens
import numpy as np
import pytest
import torch
from goldens import encoders, ranking

import formers
from formers import CrossEncoder
from formers.errors import ArgumentError, ConfigError, InputError

FOLDER = Path(goldens.__file__).parent
RANKED = json.loads((FOLDER / "ranking.json").read_text(encoding="utf-8"))
LABELS = json.loads((FOLDER / "encoders.json").read_text(encoding="utf-8"))["scored"]
PAIRS = ranking.pairs()
IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ranking.folder(tmp_path_factory.mktemp("ranker"), formers)


@pytest.fixture(scope="module")
def ranker(folder: Path) -> CrossEncoder:
    return CrossEncoder.from_pretrained(folder)


@pytest.fixture(scope="module")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder.from_pretrained(encoders.classifier(tmp_path_factory.mktemp("labels"), formers, 3))


def close(found: Any, expected: Any) -> bool:
    return np.allclose(np.asarray(found), np.asarray(expected), atol=2e-5)


def test_scores(ranker: CrossEncoder, folder: Path) -> None:
    found = ranker.predict(PAIRS)
    assert found.shape == (200,) and found.dtype == np.float32
    assert close(found, RANKED["sigmoid"])
    assert close(ranker.predict(PAIRS, batch_size=7), RANKED["sigmoid"])
    for options in ({"activation_fn": torch.nn.Identity()}, {"activation_fct": torch.nn.Identity()}):
        assert close(ranker.predict(inputs=PAIRS, **options), RANKED["identity"])
    assert close(CrossEncoder.from_pretrained(folder, max_length=ranking.LIMIT).predict(PAIRS), RANKED["cut"])


def test_forms(ranker: CrossEncoder) -> None:
    whole = ranker.predict(PAIRS[:3])
    for one in (PAIRS[0], list(PAIRS[0])):
        assert ranker.predict(one) == pytest.approx(whole[0], abs=1e-6)
    assert isinstance(ranker.predict(PAIRS[0]), np.float32)
    assert torch.allclose(ranker.predict(PAIRS[:3], convert_to_tensor=True), torch.from_numpy(whole))
    assert [float(score) for score in ranker.predict(PAIRS[:3], convert_to_numpy=False)] == pytest.approx(whole)
    assert [len(ranker.predict([])), ranker.predict([], convert_to_numpy=False)] == [0, []]
    assert len(ranker.predict([("a", "of " * 900)])) == 1  # cut, as there


def test_rank(ranker: CrossEncoder) -> None:
    query, documents = PAIRS[0][0], [document for _, document in PAIRS]
    found = ranker.rank(query, documents, top_k=20)
    assert [row["corpus_id"] for row in found] == [row[0] for row in RANKED["ranked"]]
    assert [row["score"] for row in found] == pytest.approx([row[1] for row in RANKED["ranked"]], abs=1e-5)
    assert ranker.rank(query, documents[:1], return_documents=True)[0]["text"] == documents[0]
    assert ranker.rank(query, []) == []


def test_several_labels(labeller: CrossEncoder) -> None:
    pairs = ranking.pairs(12)
    assert labeller.predict(pairs).shape == (12, 3)
    assert close(labeller.predict(pairs), LABELS["labels"])
    assert close(labeller.predict(pairs, apply_softmax=True), LABELS["softmax"])
    assert close(labeller.predict(pairs, activation_fn="Sigmoid"), LABELS["sigmoid"])
    assert close(labeller.predict(pairs, prompt="who: "), LABELS["prompt"])
    assert labeller.predict(pairs[0]).shape == (3,)
    with pytest.raises(ArgumentError, match="has 3 labels; rank needs a model with one"):
        labeller.rank("a", ["b"])


@pytest.mark.parametrize("older", [True, False])
def test_what_files_say(tmp_path: Path, older: bool) -> None:
    own = {"sbert_ce_default_activation_function": IDENTITY} if older else {}
    ranking.folder(tmp_path / "a", formers, **own)
    if not older:
        general = {"model_type": "CrossEncoder", "activation_fn": IDENTITY, "prompts": {"query": "who: "}}
        (tmp_path / "a" / "config_sentence_transformers.json").write_text(json.dumps(general))
    ranker = CrossEncoder.from_pretrained(tmp_path / "a")
    assert close(ranker.predict(PAIRS[:9]), RANKED["identity"][:9])
    ranker.max_length = 9
    ranker.save_pretrained(tmp_path / "b")
    again = CrossEncoder.from_pretrained(tmp_path / "b")
    assert again.max_length == 9 and again.prompts == ranker.prompts
    assert np.array_equal(again.predict(PAIRS[:9]), ranker.predict(PAIRS[:9]))
    if not older:
        assert not close(again.predict(PAIRS[:9], prompt_name="query"), again.predict(PAIRS[:9]))


def test_a_body_gets_one_label(tmp_path: Path) -> None:
    encoders.folder(tmp_path, formers, [])
    for name in ("modules.json", "sentence_bert_config.json"):
        (tmp_path / name).unlink()
    assert CrossEncoder.from_pretrained(tmp_path).num_labels == 1
    assert CrossEncoder.from_pretrained(tmp_path, num_labels=4).predict(PAIRS[:2]).shape == (2, 4)


def test_what_cannot_be_used(ranker: CrossEncoder, tmp_path: Path) -> None:
    for given in (None, "a", ["a"], [("a", "b"), ("a",)], [("a", None)], [("a", "b", "c")]):
        with pytest.raises(InputError, match="pair of texts"):
            ranker.predict(given)
    with pytest.raises(ArgumentError, match="prompt_name='a'"):
        ranker.predict(PAIRS[:1], prompt_name="a")
    with pytest.raises(ArgumentError, match="rank has no argument 'apply_softmax'"):
        ranker.rank("a", ["b"], apply_softmax=True)
    encoders.folder(tmp_path / "a", formers, encoders.STEPS["dropout"])
    with pytest.raises(ConfigError, match="a Pooling after the model"):
        CrossEncoder.from_pretrained(tmp_path / "a")
    ranking.folder(tmp_path / "b", formers)
    (tmp_path / "b" / "config_sentence_transformers.json").write_text('{"activation_fn": "os.system"}')
    with pytest.raises(ConfigError, match=r"activation_fn='os\.system' is not known"):
        CrossEncoder.from_pretrained(tmp_path / "b")
