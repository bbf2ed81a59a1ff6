"""Byte-level tokenizers of decoders, beside the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import ByteLevelBPETokenizer

import formers

TEXTS = ["Hello world, it's \u00e9 e\u0301 \u4e2d \U0001f600  two", " x", "", "a\nb"]
OPT = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("bpe")
    made = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "</s>", "<pad>", "<|padding|>"]
    made.train_from_iterator(["Hello world, it is a film of two worlds. " * 3] * 9, 400, 1, special_tokens=special)
    return [str(Path(name)) for name in made.save_model(str(folder))]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("GPT2Tokenizer", {}),
        ("GPT2Tokenizer", {"add_prefix_space": True}),
        ("GPT2Tokenizer", {"add_bos_token": True, **OPT}),
        ("GPTNeoXTokenizer", {}),
        ("GPTNeoXTokenizer", {"add_bos_token": True, "add_eos_token": True}),
    ],
)
def test_encodings(name: str, options: dict[str, Any], files: list[str], tmp_path: Path) -> None:
    theirs, ours = (getattr(package, name)(*files, **options) for package in (transformers, formers))
    ours.save_pretrained(tmp_path)
    again = formers.AutoTokenizer.from_pretrained(tmp_path)
    asked = dict.fromkeys(("return_offsets_mapping", "return_token_type_ids", "return_special_tokens_mask"), True)
    for text in TEXTS:
        for texts in ((text,), (text, "pair \u00e9")):
            expected, got = theirs(*texts, **asked), ours(*texts, **asked)
            for key, value in expected.items():
                assert [*map(list, [got[key]])] == [*map(list, [value])], key
            assert again(*texts)["input_ids"] == got["input_ids"]
        assert ours.decode(ours(text)["input_ids"]) == theirs.decode(theirs(text)["input_ids"])
