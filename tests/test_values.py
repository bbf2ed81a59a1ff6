"""Values of configurations and tokenizers that no model can work with: refused, and found by `check`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import formers
from formers import registry
from formers.check import check

TOKENS = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    module = registry.load("bert")
    module.BertForSequenceClassification(module.BertConfig(**module.TINY)).save_pretrained(tmp_path)
    formers.BertTokenizer(TOKENS).save_pretrained(tmp_path)
    return tmp_path


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def problems(folder: Path) -> str:
    return "\n".join(finding.words for finding in check(folder).findings if finding.state == "problem")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("layer_norm_eps", -1, "layer_norm_eps=-1; it should be a number of at least 0"),
        ("id2label", {"0": "NO", "2": "YES"}, r"ids in id2label are \[0, 2\], and should be 0 to 1"),
        ("id2label", {"1": "NO", "2": "YES"}, "should be 0 to 1"),
        ("id2label", {"0": "NO", "1": None}, "id2label=.*None"),
    ],
)
def test_configurations(key: str, value: Any, said: str, folder: Path) -> None:
    changed(folder / "config.json", lambda values: values.update({key: value}))
    with pytest.raises(formers.ConfigError, match=said):
        formers.AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(formers.ConfigError, match=said):
        formers.BertModel(formers.BertConfig(**{**registry.load("bert").TINY, key: value}))
    assert key in problems(folder)


def test_no_epsilon_at_all_and_no_labels_are_possible() -> None:
    tiny = registry.load("bert").TINY
    formers.BertModel(formers.BertConfig(**tiny, layer_norm_eps=0, num_labels=0))
    module = registry.load("modernbert")
    with pytest.raises(formers.ConfigError, match="norm_eps"):
        module.ModernBertModel(module.ModernBertConfig(**{**module.TINY, "norm_eps": -1e-5}))


@pytest.mark.parametrize("value", [-5, 0, "many", True, float("nan"), float("inf")])
def test_lengths_of_texts(value: Any, folder: Path) -> None:
    with pytest.raises(ValueError, match="model_max_length"):
        formers.BertTokenizer(TOKENS, model_max_length=value)
    with pytest.raises(ValueError, match="model_max_length"):
        formers.AutoTokenizer.from_pretrained(folder, model_max_length=value)
    if value in (-5, 0, "many", True):  # the others are taken for no limit, as published files have 1e30
        changed(folder / "tokenizer_config.json", lambda values: values.update(model_max_length=value))
        _assert_refused(folder)


def _assert_refused(folder: Path) -> None:
    with pytest.raises(formers.TokenizerError, match=r"model_max_length.*1 or more"):
        formers.AutoTokenizer.from_pretrained(folder)
    assert "model_max_length" in problems(folder)


@pytest.mark.parametrize("kind", ["template", "sequence", "bert"])
def test_ids_around_texts(kind: str, folder: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        part = values["post_processor"]
        if kind == "bert":
            values["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 1000]}
            return
        part["special_tokens"]["[CLS]"]["ids"] = [1000]
        if kind == "sequence":
            values["post_processor"] = {"type": "Sequence", "processors": [part]}

    changed(folder / "tokenizer.json", change)
    for load in (
        lambda: formers.PreTrainedTokenizerFast.from_pretrained(folder),
        lambda: formers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")),
    ):
        with pytest.raises(formers.TokenizerError, match=r"'\[CLS\]'.*id 1000.*there are 6"):
            load()
    changed(folder / "tokenizer_config.json", lambda values: values.update(tokenizer_class="PreTrainedTokenizerFast"))
    assert "1000" in problems(folder)
