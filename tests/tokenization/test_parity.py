"""Ids, masks, offsets, word maps and decoding equal the reference's: on real, hostile and generated text."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenization.classes import BertTokenizer, DistilBertTokenizer
from tokenization.record import HOSTILE, LONG, SENTENCE, run

RECORDED = json.loads((Path(__file__).parent / "transformers-4.20.json").read_text())
VOCABULARIES = ["uncased", "cased", "chinese"]


def same(ours: Any, theirs: Any) -> None:
    """Equal columns in equal order, and equal encodings behind them."""
    assert list(ours.keys()) == list(theirs.keys())
    for key in theirs:
        mine, other = ours[key], theirs[key]
        if hasattr(other, "dtype"):
            assert mine.dtype == other.dtype
            assert np.array_equal(np.asarray(mine), np.asarray(other)), key
        else:
            assert mine == other, key
    assert ours.n_sequences == theirs.n_sequences
    for mine, other in zip(ours.encodings, theirs.encodings, strict=True):
        for name in ("ids", "tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask", "attention_mask"):
            assert getattr(mine, name) == getattr(other, name), name


@pytest.fixture(scope="module")
def by_options(data: Path) -> Any:
    made: dict[str, BertTokenizer] = {}

    def get(vocab: str, options: dict[str, Any]) -> BertTokenizer:
        key = vocab + json.dumps(options)
        if key not in made:
            made[key] = BertTokenizer(data / f"bert-base-{vocab}-vocab.txt", **options)
        return made[key]

    return get


def test_everything_recorded_from_4_20(by_options: Any) -> None:
    for case in RECORDED:
        ours = run(by_options(case["vocab"], case["options"]), case)
        theirs = case["result"]
        if case["kind"] == "slow" and case["method"] == "tokenize":
            continue  # there, unknown words are shown as they were
        about = f"{case['method']}{case['args']} {case['kwargs']} {case['options']}"
        assert ours == theirs, about
        if isinstance(theirs, dict) and case["method"] != "prepare_for_model":
            assert list(ours) == list(theirs) or case["method"] == "pad", about


@pytest.mark.parametrize("name", VOCABULARIES)
def test_real_sentences(pairs: Any, sentences: list[str], name: str) -> None:
    pair = pairs[name]
    options = {"padding": True, "return_offsets_mapping": True, "return_special_tokens_mask": True}
    same(pair.ours(sentences[:300], **options), pair.theirs(sentences[:300], **options))


@pytest.mark.parametrize("name", VOCABULARIES)
def test_hostile_text(pairs: Any, name: str) -> None:
    pair = pairs[name]
    texts = [*HOSTILE, SENTENCE, "a" * 100_000, "word " * 3000, "".join(map(chr, range(0x20, 0x3000)))]
    same(pair.ours(texts, verbose=False), pair.theirs(texts, verbose=False))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_generated_text(pairs: Any, text: str) -> None:
    for name in VOCABULARIES:
        ours, theirs = pairs[name].ours(text), pairs[name].theirs(text)
        same(ours, theirs)
        for skip, clean in itertools.product((False, True), repeat=2):
            options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            mine = pairs[name].ours.decode(ours["input_ids"], **options)
            assert mine == pairs[name].theirs.decode(theirs["input_ids"], **options)


@pytest.fixture(scope="module")
def changeable(folders: Any, pairs: Any) -> Any:
    return BertTokenizer.from_pretrained(folders["uncased"]), copy.deepcopy(pairs["uncased"].theirs)


options = st.fixed_dictionaries(
    {
        "padding": st.sampled_from([False, True, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from([True, "longest_first", "do_not_truncate"]),
        "max_length": st.integers(12, 40),
        "stride": st.integers(0, 2),
        "add_special_tokens": st.booleans(),
        "padding_side": st.sampled_from(["left", "right"]),
        "return_overflowing_tokens": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_length": st.booleans(),
        "return_token_type_ids": st.sampled_from([None, True, False]),
        "return_attention_mask": st.sampled_from([None, True, False]),
    }
)
WORDS = ["hello", "world", "tokenization", "is", "antidisestablishmentarianism", "don't", "你好", "[MASK]", ",", "..."]
words = st.sampled_from(WORDS)
text = st.lists(words, max_size=30).map(" ".join)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    options=options,
    batch=st.lists(st.tuples(text, text), min_size=1, max_size=4),
    form=st.sampled_from(["one", "batch", "pair", "pairs", "words", "word pairs"]),
    side=st.sampled_from(["left", "right"]),
)
def test_all_options(changeable: Any, options: Any, batch: Any, form: str, side: str) -> None:
    ours, theirs = changeable
    first, second = map(list, zip(*batch, strict=True))
    args: list[Any] = {
        "one": [first[0]],
        "batch": [first],
        "pair": [first[0], second[0]],
        "pairs": [first, second],
        "words": [[one.split() for one in first]],
        "word pairs": [[one.split() for one in first], [one.split() for one in second]],
    }[form]
    options = {**options, "is_split_into_words": "word" in form}
    ours.truncation_side = theirs.truncation_side = side
    same(ours(*args, **options), theirs(*args, **options))


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_cutting_one_of_two(pairs: Any, strategy: str) -> None:
    options = {"truncation": strategy, "max_length": 20, "stride": 3, "return_overflowing_tokens": True}
    first, second = [SENTENCE, LONG], [LONG, "a"]
    if strategy == "only_second":
        first, second = second, first
    same(pairs["uncased"].ours(first, second, **options), pairs["uncased"].theirs(first, second, **options))


@pytest.mark.parametrize("kind", ["pt", "np"])
@pytest.mark.parametrize("form", ["one", "batch", "overflow"])
def test_tensors(pairs: Any, kind: str, form: str) -> None:
    options: dict[str, Any] = {"return_tensors": kind, "padding": True, "return_length": True}
    if form == "overflow":
        options |= {"truncation": True, "max_length": 6, "return_overflowing_tokens": True}
    texts = SENTENCE if form == "one" else [SENTENCE, LONG]
    options["return_offsets_mapping"] = True
    same(pairs["uncased"].ours(texts, **options), pairs["uncased"].theirs(texts, **options))


def test_maps_between_tokens_words_and_characters(pairs: Any) -> None:
    texts = [SENTENCE, "你好 wonderfully"], [LONG, "unbelievable"]
    ours, theirs = pairs["uncased"].ours(*texts, padding=True), pairs["uncased"].theirs(*texts, padding=True)
    for row in (0, 1):
        assert ours.tokens(row) == theirs.tokens(row)
        assert ours.word_ids(row) == theirs.word_ids(row)
        assert ours.sequence_ids(row) == theirs.sequence_ids(row)
        for token in range(len(ours["input_ids"][row])):
            for name in ("token_to_sequence", "token_to_word", "token_to_chars"):
                assert getattr(ours, name)(row, token) == getattr(theirs, name)(row, token), (name, token)
                if row == 0:
                    assert getattr(ours, name)(token) == getattr(theirs, name)(token)
        for text, length in ((0, len(texts[0][row])), (1, len(texts[1][row]))):
            for at in range(length):
                for name in ("char_to_token", "char_to_word"):
                    assert getattr(ours, name)(row, at, text) == getattr(theirs, name)(row, at, text)
            for word in range(
                1 + max(w for w, s in zip(ours.word_ids(row), ours.sequence_ids(row), strict=True) if s == text)
            ):
                for name in ("word_to_tokens", "word_to_chars"):
                    assert getattr(ours, name)(row, word, text) == getattr(theirs, name)(row, word, text)


def test_the_note_s_ids(pairs: Any) -> None:
    ids = [101, 138, 18696, 155, 1942, 3190, 1144, 1572, 13745, 1104, 159, 9664, 2107, 102]
    assert pairs["cased"].ours("A Titan RTX has 24GB of VRAM")["input_ids"] == ids


def test_distilbert_gives_two_columns(folders: Any) -> None:
    assert list(DistilBertTokenizer.from_pretrained(folders["uncased"])("a")) == ["input_ids", "attention_mask"]


def test_special_tokens_as_text(pairs: Any) -> None:
    text = "a [MASK] b"
    assert pairs["uncased"].ours.tokenize(text, split_special_tokens=True) == ["a", "[", "mask", "]", "b"]
    assert pairs["uncased"].ours.tokenize(text) == ["a", "[MASK]", "b"]
    same(
        pairs["uncased"].ours(text, split_special_tokens=True), pairs["uncased"].theirs(text, split_special_tokens=True)
    )


def test_targets_are_labels(pairs: Any) -> None:
    for call in ({"text": "a", "text_target": "b c"}, {"text_target": "b c"}):
        assert pairs["uncased"].ours(**call).data == dict(pairs["uncased"].theirs(**call))
