"""Very long texts: truncating costs what the kept part costs, and gives the same."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from tokenizers import Tokenizer

from formers.tokenization import cutting
from formers.tokenization.arguments import Texts

PIECES = [
    "hello",
    "unbelievably",
    "don't",
    "café",
    "e\u0301\u0302",
    "你好",
    "日",
    "\u200b",
    "[MASK]",
    "...",
    "x" * 120,
    "\0",
]


@pytest.fixture
def never_cut(monkeypatch: pytest.MonkeyPatch) -> Any:
    def switch() -> None:
        monkeypatch.setattr(cutting, "shorten", lambda tokenizer, batch, keep, strategy: batch)

    return switch


def _text(seed: int, pieces: int) -> str:
    chosen = random.Random(seed)
    return "".join(chosen.choice(PIECES) + chosen.choice(["", " ", "\n", "\t", "\u3000", "  "]) for _ in range(pieces))


@pytest.mark.parametrize("limit", [20, 21, 64])
def test_cutting_changes_nothing(pairs: Any, never_cut: Any, limit: int) -> None:
    ours = pairs["uncased"].ours
    long, other, short = _text(1, 700), _text(2, 700), _text(3, 50)
    calls: list[tuple[Any, dict[str, Any]]] = [
        ((long,), {}),
        (([short, long, other],), {"padding": True}),
        ((long, short), {}),
        ((short, long), {}),
        ((long, other), {}),
        ((other, long), {}),
        ((other, "a"), {"truncation": "only_first"}),
        (("a", long), {"truncation": "only_second"}),
        (("\u200b " * 3000,), {}),
        ((("\u200b " * 3000) + long,), {}),
        (([long.split()],), {"is_split_into_words": True}),
        (([long.split()], [short.split()]), {"is_split_into_words": True}),
        ((long,), {"add_special_tokens": False, "return_offsets_mapping": True}),
    ]
    options = {"truncation": True, "max_length": limit}
    cut = [ours(*texts, **{**options, **more}) for texts, more in calls]
    never_cut()
    for (texts, more), got in zip(calls, cut, strict=True):
        whole = ours(*texts, **{**options, **more})
        assert got == whole
        assert [row.word_ids for row in got.encodings] == [row.word_ids for row in whole.encodings]


def test_only_where_it_is_sure(tokenizer: Any) -> None:
    from tokenizers import AddedToken, normalizers, pre_tokenizers

    def cuts(backend: Tokenizer) -> bool:
        batch = Texts(["hello world " * 5000], True, False)
        return cutting.shorten(backend, batch, 4, cutting.TruncationStrategy.LONGEST_FIRST) is not batch

    assert cuts(tokenizer.backend_tokenizer)
    tokenizer.add_tokens(["new york"])
    assert not cuts(tokenizer.backend_tokenizer)
    for part, value in (
        ("normalizer", normalizers.NFKC()),
        ("pre_tokenizer", pre_tokenizers.ByteLevel()),
        ("pre_tokenizer", pre_tokenizers.PreTokenizer.custom(object())),
    ):
        other = Tokenizer(tokenizer.backend_tokenizer.model)
        other.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        assert cuts(other)
        setattr(other, part, value)
        assert not cuts(other)
    other = Tokenizer(tokenizer.backend_tokenizer.model)
    other.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    other.add_tokens([AddedToken("x", rstrip=True)])
    assert not cuts(other)


def test_ten_megabytes_cost_a_page(pairs: Any, sentences: list[str]) -> None:
    ours = pairs["uncased"].ours
    book = (" ".join(sentences) + " ") * 110
    assert len(book) > 10_000_000

    def seconds(text: str) -> float:
        runs = []
        for _ in range(5):
            start = time.perf_counter()
            ours(text, truncation=True, max_length=512)
            runs.append(time.perf_counter() - start)
        return min(runs)

    assert seconds(book) < 6 * seconds(book[:4096]) + 0.01


def test_a_word_of_a_megabyte(pairs: Any) -> None:
    assert pairs["uncased"].ours("x" * 1_000_000)["input_ids"] == [101, 100, 102]
    assert pairs["uncased"].ours("x" * 1_000_000, truncation=True, max_length=8)["input_ids"] == [101, 100, 102]
