"""The tokenizer of the small Blenderbot beside the reference's: BPE whose tokens say that a word goes on."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from corpus import DATA
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import formers
from formers.errors import ArgumentError, TokenizerError

END = "</w>"
HOSTILE = [
    *("", "  ", "it's\nred.\n\nwell ", "don'\nt", "'\n", "a.b,c!?(x)", "İstanbul ΟΔΟΣ ΣΣ", "__start__ hi__end__ x"),
    *(
        "日本 語",
        "x@@ y",
        "</w> <unk>",
        "é e\u0301",
        "\x1c a\x85b\x1f",
        "a\u3000b",
        "😀😀",
        "__newln__ \n a\n",
        "a" * 300,
    ),
    *("\u2028x\n", "HELLO\tWORLD\r\n next", "'''", "...", " . ", "@@", "a@@b", "\x1d\n"),
]


def texts() -> list[str]:
    lines = (DATA / "sst2-dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    draw = random.Random(0)
    made = ["".join(draw.choices("aB.'!\n (),?é日 σΣ@_<", k=draw.randint(1, 25))) for _ in range(300)]
    return [*(line.split("\t")[1] for line in lines[:300]), *HOSTILE, *made]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marked")
    trained = Tokenizer(models.BPE(end_of_word_suffix=END))
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    asked = trainers.BpeTrainer(vocab_size=400, end_of_word_suffix=END, show_progress=False)
    trained.train_from_iterator(texts()[:300], asked)
    found = json.loads(trained.to_str())["model"]
    pieces = {piece.removesuffix(END) if piece.endswith(END) else f"{piece}@@" for piece in found["vocab"]}
    tokens = ["__null__", "__start__", "__end__", "__unk__", "__newln__", *sorted(pieces)]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, found["merges"]), ""]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BlenderbotSmallTokenizer"}))
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Any, Any]:
    import transformers

    return transformers.BlenderbotSmallTokenizer.from_pretrained(folder), formers.AutoTokenizer.from_pretrained(folder)


def test_ids_and_texts(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    assert type(ours).__name__ == "BlenderbotSmallTokenizer" and len(ours) == len(theirs)
    for text in texts():
        expected = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == expected, repr(text)
        assert ours.convert_ids_to_tokens(expected) == theirs.convert_ids_to_tokens(expected)
        for ids in (expected, expected[:2]):
            assert ours.decode(ids) == theirs.decode(ids), repr(text)
            assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)


def test_batches_and_pairs(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    for given in ((texts()[:9],), (texts()[:3], texts()[3:6])):
        options = {"padding": True, "truncation": True, "max_length": 12}
        assert dict(ours(*given, **options)) == dict(theirs(*given, **options))
    packed = ours.packed(texts()[:40])
    assert packed.input_ids.tolist() == [number for text in texts()[:40] for number in theirs(text)["input_ids"]]


def test_offsets(both: tuple[Any, Any]) -> None:
    text = "It's a REMARKABLE film."
    found = both[1](text, return_offsets_mapping=True)
    for token, (start, stop) in zip(found.tokens(), found["offset_mapping"], strict=True):
        assert text[start:stop].lower() == token.removesuffix("@@")


def test_saved_and_copied(both: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = both
    ours.save_pretrained(tmp_path)
    assert {"vocab.json", "merges.txt"} <= {file.name for file in tmp_path.iterdir()}
    copies = (formers.AutoTokenizer.from_pretrained(tmp_path), type(theirs).from_pretrained(tmp_path))
    for copy in (*copies, pickle.loads(pickle.dumps(ours))):
        assert [copy(text)["input_ids"] for text in texts()] == [ours(text)["input_ids"] for text in texts()]


def test_conversations(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    talk = formers.Conversation("good film ?", past_user_inputs=["a film"], generated_responses=["it's bad ."])
    assert ours._build_conversation_input_ids(talk) == theirs(" a film  it's bad .   good film ?")["input_ids"]


def test_errors(folder: Path) -> None:
    with pytest.raises(ArgumentError, match="Both are needed"):
        formers.BlenderbotSmallTokenizer(folder / "vocab.json")
    with pytest.raises(TokenizerError, match="has no '__unk__'"):
        formers.BlenderbotSmallTokenizer({"a": 0}, [])
    with pytest.raises(TokenizerError, match=r"merge 1 is 'abc'; two tokens"):
        formers.BlenderbotSmallTokenizer({"__unk__": 0}, ["abc"])
