"""The tokenizer of characters against the reference: ids, decoding with offsets, languages, files both ways."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_tokenizers as speech
import torch
import transformers

from formers.errors import ArgumentError, FormersError, InputError, TokenizerError
from formers.tokenization.ctc import Wav2Vec2CTCTokenizer

TEXTS = [
    *("HELLO WORLD", "hello", "A <s> B", "A|B", "  A  ", "A<unk>B", "A<pad> </s>B", "", "Ä\nB\tC", "<S> A"),
    *("it's ß ﬁn ŉ İ ς Σ ı K", "é\u0301 漢🙂"),
]
OTHER = {"[PAD]": 3, "[UNK]": 2, "a": 0, "b": 1, "|": 4, "tt": 5, "eng x": 6, "'": 7, "n": 8, ".": 9, "s": 10}
OTHER_NAMES = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
LANGUAGES = {
    "eng": {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "ab": 7},
    "fra": {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "b": 5, "é": 6, "a": 7, "c": 8, "dd": 9},
}


def both(folder: Path, **options: Any) -> tuple[Wav2Vec2CTCTokenizer, Any]:
    made = (c.from_pretrained(folder, **options) for c in (Wav2Vec2CTCTokenizer, transformers.Wav2Vec2CTCTokenizer))
    ours, theirs = made
    if ours.word_delimiter_token != theirs.word_delimiter_token:  # from_pretrained of 5.23 does not hear what files say
        own = {name: getattr(ours, name) for name in ("word_delimiter_token", "unk_token", "pad_token")}
        theirs = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), **own)
    return ours, theirs


def other(folder: Path, **options: Any) -> Path:
    speech.ctc(folder, OTHER, **OTHER_NAMES, **options)
    (folder / "special_tokens_map.json").unlink()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return speech.ctc(tmp_path)


SETTINGS = [{}, {"do_lower_case": True}, {"replace_word_delimiter_char": "_"}, {"word_delimiter_token": "X"}]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_ids(tmp_path: Path, options: dict[str, Any]) -> None:
    ours, theirs = both(speech.ctc(tmp_path, **options))
    for text in TEXTS:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
        known = [t if t in theirs.get_vocab() else "<unk>" for t in theirs.tokenize(text)]
        assert ours.tokenize(text) == known
    made, expected = (t(TEXTS[:4], padding=True, return_tensors="np") for t in (ours, theirs))
    assert {name: rows.tolist() for name, rows in made.items()} == {name: r.tolist() for name, r in expected.items()}
    assert ours("AB", "C")["input_ids"] == theirs("AB", "C")["input_ids"]
    words = ["AB", "C D"]
    assert ours(words, is_split_into_words=True)["input_ids"] == theirs(words, is_split_into_words=True)["input_ids"]
    padded = ours.pad([{"input_ids": [5, 6]}, {"input_ids": [7]}], return_tensors="pt")
    assert padded["input_ids"].tolist() == [[5, 6], [7, 0]]


def test_facts(folder: Path) -> None:
    for ours, theirs in (both(folder), both(other(folder))):
        assert ours.all_special_ids == theirs.all_special_ids
        assert ours.all_special_tokens == theirs.all_special_tokens
        assert (len(ours), ours.vocab_size, ours.get_vocab()) == (len(theirs), theirs.vocab_size, theirs.get_vocab())
        assert (ours.encoder, ours.decoder, ours.vocab) == (theirs.encoder, theirs.decoder, theirs.vocab)
        for name in ("word_delimiter_token", "pad_token", "unk_token", "bos_token", "eos_token"):
            assert getattr(ours, name) == getattr(theirs, name)
            assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id")
        assert ours.convert_ids_to_tokens([99, 5]) == theirs.convert_ids_to_tokens([99, 5])
        assert ours.convert_ids_to_tokens(99) == theirs.convert_ids_to_tokens(99)
        text = "a tt btt ta eng x"
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]


DECODING = [
    {},
    {"skip_special_tokens": True},
    {"group_tokens": False},
    {"group_tokens": False, "skip_special_tokens": True},
    {"spaces_between_special_tokens": True},
    {"output_char_offsets": True},
    {"output_word_offsets": True},
    {"output_char_offsets": True, "output_word_offsets": True, "skip_special_tokens": True},
    {"output_word_offsets": True, "group_tokens": False, "clean_up_tokenization_spaces": True},
    {"clean_up_tokenization_spaces": True},
]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("how", DECODING, ids=str)
@pytest.mark.parametrize("kind", ["letters", "other"])
def test_decoding(tmp_path: Path, how: dict[str, Any], options: dict[str, Any], kind: str) -> None:
    if kind == "other" and "word_delimiter_token" in options:
        options = {**options, "word_delimiter_token": "b"}
    ours, theirs = both(speech.ctc(tmp_path, **options) if kind == "letters" else other(tmp_path, **options))
    rows = []
    for seed in range(60):
        draw = random.Random(seed)
        alphabet = [*draw.sample(range(len(theirs) + 2), 6), theirs.pad_token_id, theirs.pad_token_id]
        rows.append([n for _ in range(draw.randint(1, 14)) for n in [draw.choice(alphabet)] * draw.randint(1, 3)])
    for row in rows:
        made, expected = ours.decode(row, **how), theirs.decode(row, **how)
        assert made == expected, row
        if not isinstance(made, str):
            assert (made.text, made.char_offsets, made.word_offsets, made[0]) == (
                *(expected.text, expected.char_offsets, expected.word_offsets),
                expected[0],
            )
    assert ours.batch_decode(rows[:5], **how) == theirs.batch_decode(rows[:5], **how)
    same = [row[:1] * 4 for row in rows[:5]]
    for cast in (np.array, torch.tensor):
        assert ours.batch_decode(cast(same), **how) == theirs.batch_decode(cast(same), **how)


def test_languages(tmp_path: Path) -> None:
    speech.ctc(tmp_path, LANGUAGES, target_lang="eng")
    ours, _ = both(tmp_path)
    for language in ("eng", "fra", "eng"):
        ours.set_target_lang(language)
        _, theirs = both(tmp_path, target_lang=language)  # one that changes keeps tokens of its last language
        assert (ours.encoder, ours.target_lang, ours.vocab) == (theirs.encoder, language, LANGUAGES)
        for text in ("ab bé add", "dd c"):
            assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        assert ours.decode([5, 0, 6, 6, 7, 4, 8]) == theirs.decode([5, 0, 6, 6, 7, 4, 8])
    ours.set_target_lang("fra")
    ours.save_pretrained(tmp_path / "saved")
    again, reference = both(tmp_path / "saved")
    assert again.target_lang == reference.target_lang == "fra"
    assert again("bé")["input_ids"] == reference("bé")["input_ids"] == [5, 6]
    with pytest.raises(ArgumentError, match="fra"):
        ours.set_target_lang("frr")
    assert ours.target_lang == "fra"
    with pytest.raises(ArgumentError, match="eng, fra"):
        Wav2Vec2CTCTokenizer(tmp_path / "vocab.json")


def test_files_both_ways(folder: Path) -> None:
    ours, theirs = both(folder, do_lower_case=True)
    for made, name in ((ours, "ours"), (theirs, "theirs")):
        made.add_tokens(["<new>"])
        made.save_pretrained(folder / name)
    config = json.loads((folder / "ours" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "Wav2Vec2CTCTokenizer"
    assert not (folder / "ours" / "tokenizer.json").exists()
    for name in ("ours", "theirs"):
        again, reference = both(folder / name)
        for text in ("hello <new> world", "<s>a"):
            assert again(text)["input_ids"] == reference(text)["input_ids"] == ours(text)["input_ids"]
        assert again.decode([5, 5, 0, 5, 32, 4]) == reference.decode([5, 5, 0, 5, 32, 4])
        assert again.all_special_ids == reference.all_special_ids
    copy = pickle.loads(pickle.dumps(ours))
    assert copy("hello world") == ours("hello world")


def test_one_made_by_hand(folder: Path) -> None:
    made = Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), unk_token="<unk>", pad_token="<pad>", word_delimiter_token="|"
    )
    assert made.decode(made("HELLO WORLD").input_ids, group_tokens=False) == "HELLO WORLD"
    made.word_delimiter_token = "X"
    assert made("A B")["input_ids"] == [7, made.convert_tokens_to_ids("X"), 24]
    assert made.decode([7, made.word_delimiter_token_id, 24]) == "A B"


def test_errors(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    made, _ = both(folder)
    for call, kind, text in [
        (lambda: made.decode([1, -100]), InputError, "-100"),
        (lambda: made.decode([1], output_char_offset=True), ArgumentError, "output_char_offsets"),
        (lambda: made.decode("abc"), ArgumentError, "str"),
        (lambda: made.set_target_lang("eng"), ArgumentError, "no languages"),
        (lambda: Wav2Vec2CTCTokenizer(), ArgumentError, "vocab"),
        (lambda: Wav2Vec2CTCTokenizer({"a": "b"}), TokenizerError, "'a'"),
        (lambda: Wav2Vec2CTCTokenizer({"eng": {"a": "b"}}), TokenizerError, "'a'"),
    ]:
        with pytest.raises(FormersError, match=text) as error:
            call()
        assert isinstance(error.value, kind)
    for text in ('{"a": -1}', '{"a": {"b": 1}, "c": 2}', "[]", "{"):
        (folder / "vocab.json").write_text(text, encoding="utf-8")
        with pytest.raises(TokenizerError, match=r"vocab\.json"):
            Wav2Vec2CTCTokenizer.from_pretrained(folder)
