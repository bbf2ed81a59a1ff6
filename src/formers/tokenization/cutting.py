"""Cutting a very long text before it is tokenized, where that cannot change the tokens that are kept.

With truncation to n tokens, everything after the n-th is thrown away, so tokenizing all of it is waste: a book costs
what its first page costs if the rest is not looked at. Where may a text be cut? At a place that ends a word for
every step of the tokenizer, so that the tokens before it cannot depend on what follows:

- added tokens are searched in the text first: none may contain or swallow white space;
- the normalizer must work character by character. BertNormalizer's accent stripping decomposes and drops combining
  marks, which never reach across a space: a space combines with nothing and has no decomposition;
- the pre-tokenizer must end words at white space, and the model sees one word at a time.

Anything else is tokenized whole.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer

from .arguments import Texts
from .backend import added_tokens
from .types import TruncationStrategy

_NORMALIZERS = {None, "BertNormalizer", "Lowercase"}
_PRE_TOKENIZERS = {"BertPreTokenizer", "WhitespaceSplit", "Whitespace"}
_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5; a first guess only, doubled until it is enough
_FEWEST = 400  # characters, or words; with a start shorter than this, too little is saved
_LONG = 4  # cutting pays from this many times the first guess
_SPACES = " \n\t"
# With BertNormalizer's spaces around them, these end words too: the range of the CJK Unified Ideographs
_IDEOGRAPH = re.compile(r"[\u4e00-\u9fff]")


def ends_words_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether a text may be cut at a space, a newline or a tab without changing the tokens before it."""
    if _kind(tokenizer.normalizer) not in _NORMALIZERS or _kind(tokenizer.pre_tokenizer) not in _PRE_TOKENIZERS:
        return False
    added = added_tokens(tokenizer).values()
    return not any(token.lstrip or token.rstrip or re.search(r"\s", token.content) for token in added)


def ends_words_at_ideographs(tokenizer: Tokenizer) -> bool:
    """Whether a text may also be cut before a Chinese character."""
    if _kind(tokenizer.normalizer) != "BertNormalizer" or not tokenizer.normalizer.handle_chinese_chars:
        return False
    return all(token.content.isascii() and not token.single_word for token in added_tokens(tokenizer).values())


def _kind(part: Any) -> str | None:
    try:
        return part and str(json.loads(part.__getstate__())["type"])
    except Exception:  # written in Python: unknown, so never cut
        return "custom"


class Cutter:
    """Cuts texts, or lists of words, for one tokenizer and one number of tokens to keep."""

    def __init__(self, tokenizer: Tokenizer, keep: int, words: bool) -> None:
        self.tokenizer, self.keep, self.words = tokenizer, keep, words
        self.first_guess = max(_FEWEST, keep * (2 if words else _CHARACTERS_PER_TOKEN))
        self.ideographs = not words and ends_words_at_ideographs(tokenizer)

    def is_long(self, text: Any) -> bool:
        return isinstance(text, (list, tuple) if self.words else str) and len(text) > _LONG * self.first_guess

    def count(self, text: Any) -> int:
        return len(self.tokenizer.encode(text, is_pretokenized=self.words, add_special_tokens=False))

    def __call__(self, text: Any, more_than: int) -> Any:
        """A start of `text` that has more than `more_than` tokens and ends with a word; all of it if none is found."""
        size = self.first_guess
        while size * _LONG <= len(text):
            place = size if self.words else self._word_end(text, size)
            if place is None:
                return text
            if self.count(text[:place]) > more_than:
                return text[:place]
            size *= 4
        return text

    def _word_end(self, text: str, start: int) -> int | None:
        window = text[start : start + 1000]
        found = [place for place in map(window.find, _SPACES) if place >= 0]
        ideograph = _IDEOGRAPH.search(window) if self.ideographs else None
        if ideograph:
            found.append(ideograph.start())
        return start + min(found) if found else None


def shorten(tokenizer: Tokenizer, batch: Texts, keep: int, strategy: TruncationStrategy) -> Texts:
    """The batch with very long texts cut so that truncating to their first `keep` tokens gives the same.

    Only for truncation on the right: cut at the start, a text would lose the offsets of what is kept. Words that come
    split are tokenized one by one, so a list of them may be cut anywhere.
    """
    if all(isinstance(row, str) and len(row) <= _LONG * _FEWEST for row in batch.rows):
        return batch
    cutter = Cutter(tokenizer, keep, batch.words)
    long = [index for index, row in enumerate(batch.rows) if any(map(cutter.is_long, parts(row, batch.words)))]
    if not long or not (batch.words or ends_words_at_spaces(tokenizer)):
        return batch
    rows = list(batch.rows)
    with suppress(TypeError):  # not texts: the run over the batch says which
        for index in long:
            row = parts(rows[index], batch.words)
            rows[index] = cutter(row[0], keep) if len(row) == 1 else _shorten_pair(cutter, row, strategy)
    return replace(batch, rows=rows)


def parts(row: Any, words: bool) -> tuple[Any, ...]:
    """The text of a row, or both of its texts."""
    pair = isinstance(row, (list, tuple)) and len(row) == 2 and (not words or isinstance(row[0], (list, tuple)))
    return tuple(row) if pair else (row,)


def _shorten_pair(cutter: Cutter, pair: tuple[Any, ...], strategy: TruncationStrategy) -> tuple[Any, ...]:
    first, second = pair
    long = [cutter.is_long(text) for text in pair]
    if strategy is TruncationStrategy.ONLY_FIRST:
        return (cutter(first, cutter.keep), second) if long[0] else pair
    if strategy is TruncationStrategy.ONLY_SECOND:
        return (first, cutter(second, cutter.keep)) if long[1] else pair
    if all(long):
        return _shorten_both(cutter, first, second)
    more_than = max(cutter.keep, cutter.count(pair[long.index(False)]))
    return (cutter(first, more_than), second) if long[0] else (first, cutter(second, more_than))


def _shorten_both(cutter: Cutter, first: Any, second: Any) -> tuple[Any, Any]:
    """Both texts keep half of the tokens. An odd one goes to the longer text, so which that is must stay."""
    one, two = cutter(first, cutter.keep), cutter(second, cutter.keep)
    if cutter.keep % 2 == 0:
        return one, two
    if cutter.count(first) > cutter.count(second):
        return cutter(first, max(cutter.keep, cutter.count(two))), two
    return one, cutter(second, max(cutter.keep, cutter.count(one)))
