"""Ids without padding: those of the ordinary call, exactly, whether words are looked up or not."""

from __future__ import annotations

import copy
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenization.classes import BertTokenizer, DistilBertTokenizer
from tokenization.record import HOSTILE, LONG, SENTENCE
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from formers import errors
from formers.tokenization import PackedEncoding, PreTrainedTokenizerFast
from formers.tokenization import words as words_module

VOCABULARIES = ["uncased", "cased", "chinese"]


def same(tokenizer: Any, *texts: Any, **options: Any) -> PackedEncoding:
    """What `packed` gives, after comparing it with the call."""
    got = tokenizer.packed(*texts, **options)
    expected = tokenizer(*texts, **options)
    rows = expected["input_ids"] if isinstance(texts[0], list) else [expected["input_ids"]]
    assert got.lengths.tolist() == [len(row) for row in rows]
    assert got.input_ids.tolist() == list(itertools.chain(*rows))
    assert ("token_type_ids" in expected) == (got.token_type_ids is not None)
    if got.token_type_ids is not None:
        types = expected["token_type_ids"] if isinstance(texts[0], list) else [expected["token_type_ids"]]
        assert got.token_type_ids.tolist() == list(itertools.chain(*types))
        assert got.token_type_ids.dtype == np.int64
    assert got.input_ids.dtype == got.lengths.dtype == np.int64
    assert got.input_ids.flags.writeable
    return got


def looks_up(tokenizer: Any) -> bool:
    """Whether the tokenizer looks words up."""
    return kept_words(tokenizer) is not None


def kept_words(tokenizer: Any) -> Any:
    (made,) = (value for key, value in list(tokenizer._views._kept.items())[-1:] if key[0] == "words")
    return made


@pytest.mark.parametrize("name", VOCABULARIES)
def test_real_and_hostile_texts(pairs: Any, sentences: list[str], name: str) -> None:
    ours = pairs[name].ours
    texts = [
        *sentences[:300],
        *HOSTILE,
        SENTENCE,
        LONG,
        "a" * 100_000,
        "a\tb\nc\r\nd",
        "".join(map(chr, range(0x3000))),
    ]
    for _ in range(2):  # new words, and known ones
        same(ours, texts, verbose=False)
    same(ours, texts, list(reversed(texts)), verbose=False)
    assert looks_up(ours)


characters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(" |\t\n\r\x0b\x1c\x85\xa0\u3000\u0301\u4e2d\0")
pieces = st.sampled_from(
    ["[MASK]", "[CLS]x", "|", "[UNK]", "don't", "Café", "e\u0301", "你好", " \u0301", "##s", "x" * 120]
)
text = st.lists(st.text(characters, max_size=20) | pieces, max_size=8).map(" ".join)
options = st.fixed_dictionaries(
    {"add_special_tokens": st.booleans(), "split_special_tokens": st.sampled_from([None, True, False])},
    optional={
        "truncation": st.sampled_from([True, "only_first", "do_not_truncate"]),
        "max_length": st.integers(3, 30),
        "return_token_type_ids": st.booleans(),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.tuples(text, text), max_size=5), options=options, side=st.sampled_from(["left", "right"]))
def test_generated_texts_and_options(pairs: Any, texts: Any, options: Any, side: str) -> None:
    first, second = [a for a, _ in texts], [b for _, b in texts]
    for name in VOCABULARIES:
        ours = copy.copy(pairs[name].ours)
        ours.truncation_side = side
        same(ours, first, verbose=False, **options)
        for args in ((first, second), (texts,)):
            try:
                same(ours, *args, verbose=False, **options)
            except errors.InputError:  # too short for a pair: then both say so
                with pytest.raises(errors.InputError):
                    ours.packed(*args, verbose=False, **options)


added = st.builds(
    AddedToken,
    st.sampled_from(["foo", "a", "A", "|", "[NEW]", "hello", "x y", "é", "中", "\x01", "b|"])
    | st.text("aA|é1", min_size=1, max_size=3),
    single_word=st.booleans(),
    lstrip=st.sampled_from([False, False, False, True]),
    rstrip=st.sampled_from([False, False, False, True]),
    normalized=st.booleans(),
    special=st.booleans(),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tokens=st.lists(added, max_size=3),
    texts=st.lists(
        st.lists(st.sampled_from(["foo", "xfoo", "FOO", "a", "b|", "|", "é中", "hello", "[NEW]y"]), max_size=8),
        max_size=4,
    ),
    gap=st.sampled_from([" ", "  ", "\n", "", "\t"]),
)
def test_added_tokens(tiny: Any, tokens: list[AddedToken], texts: list[list[str]], gap: str) -> None:
    tokenizer = BertTokenizer.from_pretrained(tiny)
    tokenizer.backend_tokenizer.add_tokens(tokens)
    batch = [gap.join(words) for words in texts]
    try:
        tokenizer(batch)
    except errors.TokenizerError:  # the library panics
        with pytest.raises(errors.TokenizerError):
            tokenizer.packed(batch)
    else:
        same(tokenizer, batch)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("cut", ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel"])
@pytest.mark.parametrize("clean", [True, False, None])
def test_other_parts(tiny: Any, sentences: list[str], lower: bool, cut: str, clean: bool | None) -> None:
    tokenizer = BertTokenizer.from_pretrained(tiny)
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = getattr(pre_tokenizers, cut)()
    backend.normalizer = (
        normalizers.Lowercase() if clean is None else normalizers.BertNormalizer(clean, not lower, None, lower)
    )
    texts = [*HOSTILE, "Hello\tHELLO\nworld\r\nhello", "a\0b \x7f|", *sentences[:20]]
    for _ in range(2):
        same(tokenizer, texts)
    assert looks_up(tokenizer) == (cut != "ByteLevel")


def test_other_models_and_frames(tiny: Any) -> None:
    vocabulary = {"[UNK]": 0, "a": 1, "b": 2, "ab": 3, "[CLS]": 4, "|": 5}
    for model in (models.BPE(vocabulary, [("a", "b")], unk_token="[UNK]"), models.WordLevel(vocabulary, "[UNK]")):
        made = Tokenizer(model)
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        other = PreTrainedTokenizerFast(tokenizer_object=made)
        same(other, ["ab a", "b c"])
        assert not looks_up(other)
    for template, known in (
        ("$A $A [CLS]", False),
        ("$A [CLS] $A", False),
        ("[CLS]:2 $A:1 [CLS]:1", True),
        ("$A", True),
    ):
        tokenizer = BertTokenizer.from_pretrained(tiny)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=template, pair="$B:0 [CLS] $A:1", special_tokens=[("[CLS]", 2)]
        )
        same(tokenizer, ["hello world", "a"])
        same(tokenizer, ["hello world", "a"], ["b", "world"])
        assert looks_up(tokenizer) == known
    for part in (None, processors.ByteLevel(), processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))):
        tokenizer.backend_tokenizer.post_processor = part
        for specials in (True, False):
            same(tokenizer, ["hello world", "a"], add_special_tokens=specials)
            same(tokenizer, ["hello world", "a"], ["b", "world"], add_special_tokens=specials)
    assert DistilBertTokenizer.from_pretrained(tiny).packed(["a"]).token_type_ids is None


def test_a_changed_tokenizer_takes_effect(tokenizer: Any) -> None:
    text = ["Hello Café helloworld"]
    changes: list[Any] = [
        lambda: tokenizer.add_tokens(["owor"]),
        lambda: tokenizer.add_special_tokens({"additional_special_tokens": ["hello"]}),
        lambda: setattr(tokenizer.backend_tokenizer, "normalizer", normalizers.BertNormalizer(lowercase=False)),
        lambda: setattr(tokenizer.backend_tokenizer, "post_processor", None),
        lambda: setattr(tokenizer, "split_special_tokens", True),
        lambda: setattr(tokenizer.backend_tokenizer.model, "max_input_chars_per_word", 2),
        lambda: setattr(tokenizer.backend_tokenizer.model, "unk_token", "[MASK]"),
    ]
    before = same(tokenizer, text).input_ids.tolist()
    for change in changes:
        change()
        after = same(tokenizer, text).input_ids.tolist()
        assert after != before or tokenizer.split_special_tokens
        before = after


def test_forms_and_special_cases(pairs: Any) -> None:
    ours = pairs["uncased"].ours
    same(ours, SENTENCE)
    same(ours, SENTENCE, LONG)
    same(ours, [])
    same(ours, "", add_special_tokens=False)
    same(ours, ["", " ", "  a  "], add_special_tokens=False)
    same(ours, [["hello", "wor ld"], ["a"]], is_split_into_words=True)
    same(ours, [[SENTENCE, LONG], [LONG, ""]])
    same(ours, [SENTENCE, LONG], [LONG, SENTENCE], truncation="only_second", max_length=40)
    same(ours, ["word " * 60_000, "a"], truncation=True, max_length=2)
    same(ours, ["word " * 60_000, "a"], truncation=True)
    assert len(ours.packed([SENTENCE, LONG])) == 2


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        ((["a", None],), {}),
        ((["a", 3],), {}),
        ((["a", "b\ud800"],), {}),
        ((["a", "b"], ["c"]), {}),
        ((3,), {}),
        ((["a", ("b", "c")],), {}),
        ((["a", ("b", "c", "d")],), {}),
        ((["a b c d e f"],), {"truncation": "only_second", "max_length": 4}),
        ((["a"],), {"truncation": True, "max_length": 1}),
        ((["a"],), {"truncation": "never"}),
    ],
)
def test_errors_are_the_call_s(pairs: Any, texts: Any, options: Any) -> None:
    def outcome(run: Any) -> Any:
        try:
            return [len(row) for row in run(*texts, **options)["input_ids"]]
        except errors.FormersError as error:
            return type(error), str(error)

    ours = pairs["uncased"].ours
    expected = outcome(ours)
    got = outcome(lambda *args, **more: {"input_ids": np.split(*_cuts(ours.packed(*args, **more)))})
    assert got == expected


def _cuts(found: PackedEncoding) -> Any:
    return found.input_ids, np.cumsum(found.lengths)[:-1]


def test_too_long_for_the_model(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer.packed(["word " * 600], verbose=False)
    tokenizer.packed(["word " * 600], truncation=True)
    assert not caplog.records
    for _ in range(2):
        tokenizer.packed(["word " * 600])
    assert [record.getMessage()[:24] for record in caplog.records] == ["A text of 602 tokens is "]


def test_what_is_kept_is_bounded(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "_MOST", 1000)
    monkeypatch.setattr(words_module, "_TEXTS", 8)
    texts = [f"{number} {number + 1} film" for number in range(500)]
    same(tokenizer, texts)
    kept = kept_words(tokenizer)
    assert len(kept._known) < 1000 / words_module._ENTRY
    same(tokenizer, ["y" * 5000, "film"])
    assert len(kept._known) < 1000 / words_module._ENTRY


def test_threads_copies_and_pickles(tokenizer: Any, sentences: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "_MOST", 5000)  # so that what is known is replaced meanwhile
    batches = [sentences[at : at + 20] for at in range(0, 400, 10)]
    expected = [list(itertools.chain(*tokenizer(batch)["input_ids"])) for batch in batches]
    for one in (tokenizer, copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda batch, one=one: one.packed(batch).input_ids.tolist(), batches))
        assert found == expected


def test_a_backend_changed_by_hand(tokenizer: BertTokenizer) -> None:
    texts, long = ["a film", "a good film"], ["a film " * 5000]
    expected, cut = tokenizer(texts), tokenizer(long, truncation=True, max_length=9)
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=7)
    for _ in range(2):
        assert tokenizer(texts).data == expected.data
        assert tokenizer.packed(texts).input_ids.tolist() == [i for row in expected["input_ids"] for i in row]
        assert tokenizer(long, truncation=True, max_length=9).data == cut.data
    assert tokenizer.tokenize("a good film") == ["a", "good", "film"]
    assert tokenizer.build_inputs_with_special_tokens([7, 8, 9, 10])[1:-1] == [7, 8, 9, 10]
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 3, "what the user set stays"
