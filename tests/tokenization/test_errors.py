"""Bad input: an error that names the thing, the rule and the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenization.classes import BertTokenizer

from formers.errors import ArgumentError, FormersError, InputError, NotFoundError, TokenizerError
from formers.tokenization import PreTrainedTokenizerFast, WordPieceTokenizer


@pytest.fixture(scope="module")
def ours(tiny: Path) -> BertTokenizer:
    return BertTokenizer.from_pretrained(tiny)


CALLS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ((None,), {}, ArgumentError, "text is None"),
    ((), {}, ArgumentError, "Give a string"),
    ((5,), {}, ArgumentError, "text must be a string or a list of strings, not int: 5"),
    ((b"a",), {}, ArgumentError, "Decode it first"),
    ((np.array(["a"]),), {}, ArgumentError, r"\.tolist\(\)"),
    ((["a", None],), {}, ArgumentError, r"text\[1\] must be a string"),
    ((["a", 5.0],), {}, ArgumentError, r"text\[1\]"),
    ((["a", ["b", "c", "d"]],), {}, InputError, r"text\[1\] is a list of 3.*is_split_into_words"),
    (([("a", "b"), ("c", None)],), {}, ArgumentError, r"text\[1\]\[1\]"),
    ((["a", "b\ud800"],), {}, InputError, r"text\[1\] holds half a character.*position 1"),
    (("\udfff",), {}, InputError, "text holds half a character"),
    (([["a", None]],), {"is_split_into_words": True}, ArgumentError, r"text\[0\]\[1\]"),
    (([["a"], "b"],), {"is_split_into_words": True}, ArgumentError, r"text\[1\] must be a list of words"),
    (("a b",), {"is_split_into_words": True}, ArgumentError, r"text\.split\(\)"),
    ((["a"], ["b", "c"]), {}, InputError, "text has 1 rows and text_pair has 2"),
    ((["a"], "b"), {}, ArgumentError, "text_pair must be a list"),
    (("a", ["b"]), {}, ArgumentError, "text_pair must be a string"),
    (("a",), {"max_length": 0}, InputError, "max_length=0 is too small: it must be 1 or more"),
    (("a",), {"max_length": -5}, InputError, "max_length=-5"),
    (("a",), {"max_length": 1}, InputError, "2 special tokens. Give max_length=3"),
    (("a", "b"), {"max_length": 2, "truncation": True}, InputError, "a pair gets 3"),
    (("a",), {"max_length": 2.5}, ArgumentError, "whole number, not float"),
    (("a",), {"max_length": "5"}, ArgumentError, "whole number, not str"),
    (("a",), {"max_length": True}, ArgumentError, "whole number, not bool"),
    (("a",), {"max_lenght": 5}, ArgumentError, "no argument 'max_lenght'. Did you mean 'max_length'"),
    (("a",), {"padding": "longets"}, ArgumentError, "Did you mean 'longest'"),
    (("a",), {"truncation": "only_frist"}, ArgumentError, "Did you mean 'only_first'"),
    (("a",), {"return_tensors": "torch"}, ArgumentError, "Known: 'pt', 'np'"),
    (("a",), {"return_tensors": "tf"}, ArgumentError, "'np'"),
    (("a",), {"padding_side": "top"}, InputError, "'left' or 'right'"),
    (("a",), {"stride": -1}, InputError, "stride=-1"),
    (("a b a b",), {"stride": 2, "max_length": 4, "truncation": True}, InputError, "stride=2 is too large"),
    (("a a a",), {"truncation": "only_second", "max_length": 4}, InputError, "has none"),
    (
        (["a", "b"], ["a", "a a a a a"]),
        {"truncation": "only_first", "max_length": 5},
        InputError,
        r"text\[1\] does not",
    ),
    ((["a", "a a"],), {"return_tensors": "pt"}, InputError, "padding=True"),
    ((["a", "a a"],), {"return_tensors": "np"}, InputError, "rows of 2 different lengths, 3 to 4"),
    (("a",), {"padding": True, "truncation": True, "max_length": 5, "pad_to_multiple_of": 4}, InputError, "multiple"),
]


@pytest.mark.parametrize(("args", "options", "kind", "message"), CALLS)
def test_calls(ours: BertTokenizer, args: Any, options: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        ours(*args, **options)
    assert isinstance(caught.value, FormersError) and isinstance(caught.value, ValueError)


def test_what_is_no_error(ours: BertTokenizer) -> None:
    assert ours([]).data == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert ours([], padding=True, return_tensors="np")["input_ids"].shape == (0, 0)
    assert ours("")["input_ids"] == ours("\0")["input_ids"] == [2, 3]
    assert ours("a", max_length=10**30, truncation=True)["input_ids"] == [2, 5, 3]
    assert ours.decode([]) == ""


def test_ids(ours: BertTokenizer) -> None:
    with pytest.raises(InputError, match=r"ids\[1\] is -100.*pad_token_id"):
        ours.decode([5, -100])
    with pytest.raises(ArgumentError, match=r"ids\[0\] is 'a'"):
        ours.decode(["a"])
    with pytest.raises(ArgumentError, match="needs ids"):
        ours.decode("a")
    with pytest.raises(ArgumentError, match="skip_special_tokens"):
        ours.decode([5], skip_special_token=True)
    with pytest.raises(InputError, match="-3"):
        ours.convert_ids_to_tokens(-3)
    with pytest.raises(ArgumentError, match=r"text\[1\]"):
        ours.encode([5, None])


def test_padding(ours: BertTokenizer, tiny: Path) -> None:
    with pytest.raises(InputError, match="pad_token"):
        BertTokenizer.from_pretrained(tiny, pad_token=None)("a", padding=True)
    with pytest.raises(InputError, match="'input_ids'"):
        ours.pad({"ids": [1]})
    with pytest.raises(InputError, match="no examples"):
        ours.pad([])
    with pytest.raises(ArgumentError, match="not str"):
        ours.pad("a")
    with pytest.raises(InputError, match="Example 1 has no 'labels'"):
        ours.pad([{"input_ids": [1], "labels": 1}, {"input_ids": [1]}])
    with pytest.raises(InputError, match=r"'labels'.*different lengths"):
        ours.pad({"input_ids": [[1], [2]], "labels": [[1], [1, 2]]}, return_tensors="pt")
    with pytest.raises(InputError, match="cannot be a tensor: it holds str"):
        ours.pad({"input_ids": [[1], [2]], "texts": ["a", "b"]}, return_tensors="pt")


def test_special_tokens(ours: BertTokenizer) -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'pad_token'"):
        ours.add_special_tokens({"pad_tokn": "a"})
    with pytest.raises(ArgumentError, match="list of tokens"):
        ours.add_special_tokens({"additional_special_tokens": "a"})
    with pytest.raises(ArgumentError, match=r"new_tokens\[1\] is 5"):
        ours.add_tokens(["a", 5])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="string or an AddedToken"):
        ours.pad_token = 5  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="Did you mean 'mask_token'"):
        _ = ours.maks_token


def test_options(tiny: Path) -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'do_lower_case'"):
        BertTokenizer.from_pretrained(tiny, do_lowercase=True)
    with pytest.raises(ArgumentError, match="Did you mean 'do_lower_case'"):
        BertTokenizer(str(tiny / "vocab.txt"), do_lowercase=True)
    with pytest.raises(ArgumentError, match="True or False"):
        BertTokenizer(str(tiny / "vocab.txt"), "tokenizer.json")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="vocab_file="):
        BertTokenizer()
    with pytest.raises(ArgumentError, match="tokenizer_file="):
        PreTrainedTokenizerFast()
    with pytest.raises(ArgumentError, match=r"tokenizers\.Tokenizer"):
        PreTrainedTokenizerFast(tokenizer_object="a")  # type: ignore[arg-type]
    assert BertTokenizer.from_pretrained(tiny, something_of_theirs=1).init_kwargs["something_of_theirs"] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "", "it is empty"),
        ("tokenizer.json", "<html>", "starts with '<html>'"),
        ("tokenizer.json", "version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("tokenizer.json", '{"version": "1.0"', "Download it again"),
        ("tokenizer.json", '{"version": "1.0"}', "not a tokenizer file"),
        ("tokenizer.json", "[]", "not a tokenizer file"),
        ("tokenizer_config.json", "{", "cannot be read"),
        ("tokenizer_config.json", "[]", "must hold a JSON object"),
        ("tokenizer_config.json", '{"added_tokens_decoder": [1]}', "added_tokens_decoder"),
        ("special_tokens_map.json", "[1]", "must hold a JSON object"),
        ("special_tokens_map.json", '{"-mask_token": "[MASK]"}', "Did you mean 'mask_token'"),
        ("added_tokens.json", '{"<x>": 99}', "id 99"),
        ("vocab.txt", "", "empty"),
        ("vocab.txt", "a\nb\n", r"has no '\[UNK\]'.*unk_token="),
    ],
)
def test_broken_files(tiny: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / "vocab.txt").write_text((tiny / "vocab.txt").read_text())
    (tmp_path / name).write_text(content)
    with pytest.raises(TokenizerError, match=message) as caught:
        BertTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value) and (name in str(caught.value) or name == "added_tokens.json")


def test_vocabularies_with_odd_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\ufeff[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n\nb\na\n\n\n", encoding="utf-8")
    made = BertTokenizer(path)
    assert "line 6 ('a') repeats on line 9, which counts, and 1 more" in caplog.text
    assert made("a b")["input_ids"] == [2, 8, 7, 3]
    assert made.pad_token_id == 0 and len(made) == 9
    assert made.add_tokens(["new"]) == 1 and made.convert_tokens_to_ids("new") == 9
    made.save_pretrained(tmp_path / "saved")
    assert BertTokenizer(tmp_path / "saved" / "vocab.txt")("a b")["input_ids"] == [2, 8, 7, 3]


def test_missing_special_tokens_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    assert BertTokenizer(path).mask_token_id == 5
    assert "[MASK]" in caplog.text and "resize_token_embeddings" in caplog.text


def test_folders_without_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(NotFoundError, match=r"tokenizer\.json") as caught:
        BertTokenizer.from_pretrained(tmp_path)
    assert "vocab.txt" in str(caught.value) and "config.json" in str(caught.value)
    with pytest.raises(FormersError):
        BertTokenizer.from_pretrained(tmp_path / "none")
    with pytest.raises(FormersError):
        BertTokenizer.from_pretrained(None)  # type: ignore[arg-type]
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    with pytest.raises(TokenizerError, match="AutoTokenizer"):
        PreTrainedTokenizerFast.from_pretrained(tmp_path / "vocab.txt")


def test_panics_become_errors(tiny: Path, tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    class Broken:
        def pre_tokenize(self, text: Any) -> None:
            raise RuntimeError("broken part")

    made = WordPieceTokenizer.from_pretrained(tiny)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Broken())
    with pytest.raises(TokenizerError, match=r"text\[0\] cannot be tokenized"):
        made(["a", "b"])
    with pytest.raises(ArgumentError, match="push_to_hub"):
        made.save_pretrained(tmp_path, push_to_hub=True)


def test_too_long_is_said_once(ours: BertTokenizer, tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = BertTokenizer.from_pretrained(tiny, model_max_length=4)
    assert len(made("a a a a a")["input_ids"]) == 7
    made("a a a a a")
    assert caplog.text.count("longer than the 4") == 1
    assert len(made("a a a a a", truncation=True)["input_ids"]) == 4


def test_no_limit_is_said(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = BertTokenizer.from_pretrained(tiny)
    assert len(ours("a a a", truncation=True)["input_ids"]) == 5
    assert "Give max_length=" in caplog.text
    assert len(ours("a a a", padding="max_length")["input_ids"]) == 5


def test_config_of_the_model_gives_the_limit(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text((tiny / "vocab.txt").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 6}))
    made = BertTokenizer.from_pretrained(tmp_path)
    assert made.model_max_length == 6 and len(made("a " * 50, truncation=True)["input_ids"]) == 6
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    assert BertTokenizer.from_pretrained(tmp_path).model_max_length == 6
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 5}))
    assert BertTokenizer.from_pretrained(tmp_path).model_max_length == 5
    assert BertTokenizer.from_pretrained(tmp_path, model_max_length=4).model_max_length == 4
