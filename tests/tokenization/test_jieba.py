"""RoFormer's tokenizer: jieba's words where the vocabulary has them, and BERT's tokens of the others.

That is the rule of Transformers 4.20; 5.23 cuts no words, so there is nothing to compare with but the rule.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import rjieba

import formers
from formers import BertTokenizer, RoFormerTokenizer
from formers.errors import MissingNameError

TEXTS = [
    "今天天气非常好。",
    "我爱北京天安门，天安门上太阳升",
    "研究生命的起源",
    "Hello, 世界! RoFormer 2021",
    "北京大学生前来应聘",
    "  空格 和\t制表符\n换行  ",
    "unaffable 工信处女干事每月经过下属科室",
    "",
    "。",
]
WORDS = ["今天", "天气", "非常", "北京", "天安门", "太阳", "研究", "生命", "起源", "世界", "北京大学", "干事", "每月"]


@pytest.fixture(scope="module")
def vocabulary(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Chinese one with some words of several characters."""
    path = tmp_path_factory.mktemp("jieba") / "vocab.txt"
    lines = dict.fromkeys((data / "bert-base-chinese-vocab.txt").read_text(encoding="utf-8").splitlines())
    path.write_text("\n".join([*(line for line in lines if line), *WORDS]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def ours(vocabulary: str) -> Any:
    return RoFormerTokenizer(vocabulary)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_tokens(ours: Any, vocabulary: str, text: str) -> None:
    bert = BertTokenizer(vocabulary)
    known, expected = bert.get_vocab(), []
    for word in rjieba.cut(text.lower(), False):
        expected += [word] if word in known else bert.tokenize(word)
    assert ours.tokenize(text) == expected
    found = ours(text, return_offsets_mapping=True)
    assert found["input_ids"] == bert.convert_tokens_to_ids(["[CLS]", *expected, "[SEP]"])
    for token, (start, stop) in zip(expected, found["offset_mapping"][1:-1], strict=True):
        assert text[start:stop].lower() == token.removeprefix("##") or token == "[UNK]"


def test_words_are_those_of_the_vocabulary(ours: Any) -> None:
    assert ours.tokenize("今天 非常好。") == ["今天", "非常", "好", "。"]
    assert ours.tokenize("工信处") == ["工", "信", "处"]  # no word of the vocabulary


def test_saved_and_loaded(ours: Any, tmp_path: Path) -> None:
    ours.save_pretrained(tmp_path)
    again = formers.AutoTokenizer.from_pretrained(tmp_path)
    assert [again(text)["input_ids"] for text in TEXTS] == [ours(text)["input_ids"] for text in TEXTS]


def test_without_the_package(vocabulary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(MissingNameError, match="pip install rjieba"):
        RoFormerTokenizer(vocabulary)
