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
from typing import Any

from tokenizers import Tokenizer

from .backend import added_tokens
from .types import TruncationStrategy

_NORMALIZERS = {None, "BertNormalizer", "Lowercase"}
_PRE_TOKENIZERS = {"BertPreTokenizer", "WhitespaceSplit", "Whitespace"}
_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5; a first guess only, doubled until it is enough
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
    """Cuts texts for one tokenizer and one number of tokens to keep."""

    def __init__(self, tokenizer: Tokenizer, keep: int) -> None:
        self.tokenizer, self.keep = tokenizer, keep
        self.first_guess = max(2000, keep * _CHARACTERS_PER_TOKEN)
        self.ideographs: bool | None = None

    def is_long(self, text: Any) -> bool:
        return isinstance(text, str) and len(text) > _LONG * self.first_guess

    def __call__(self, text: str, more_than: int) -> str:
        """A start of `text` that has more than `more_than` tokens and ends with a word; all of it if none is found."""
        size = self.first_guess
        while size * _LONG <= len(text):
            place = self._word_end(text, size)
            if place is None:
                return text
            if len(self.tokenizer.encode(text[:place], add_special_tokens=False)) > more_than:
                return text[:place]
            size *= 4
        return text

    def _word_end(self, text: str, start: int) -> int | None:
        window = text[start : start + 1000]
        found = [place for place in map(window.find, _SPACES) if place >= 0]
        if self.ideographs is None:
            self.ideographs = ends_words_at_ideographs(self.tokenizer)
        ideograph = _IDEOGRAPH.search(window) if self.ideographs else None
        if ideograph:
            found.append(ideograph.start())
        return start + min(found) if found else None


def shorten(tokenizer: Tokenizer, rows: list[Any], keep: int, strategy: TruncationStrategy) -> list[Any]:
    """`rows`, texts or pairs, with very long texts cut so that truncating to their first `keep` tokens gives the same.

    Only for truncation on the right: cut at the start, a text would lose the offsets of what is kept.
    """
    cutter = Cutter(tokenizer, keep)
    long = [
        index
        for index, row in enumerate(rows)
        if cutter.is_long(row) or (isinstance(row, (list, tuple)) and any(map(cutter.is_long, row)))
    ]
    if not long or not ends_words_at_spaces(tokenizer):
        return rows
    rows = list(rows)
    for index in long:
        row = rows[index]
        rows[index] = cutter(row, keep) if isinstance(row, str) else _shorten_pair(cutter, row, strategy)
    return rows


def _shorten_pair(cutter: Cutter, pair: Any, strategy: TruncationStrategy) -> Any:
    if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        return pair
    first, second = pair
    if strategy is TruncationStrategy.ONLY_FIRST:
        return (cutter(first, cutter.keep), second) if cutter.is_long(first) else pair
    if strategy is TruncationStrategy.ONLY_SECOND:
        return (first, cutter(second, cutter.keep)) if cutter.is_long(second) else pair
    if cutter.is_long(first) and cutter.is_long(second):
        # both keep half; an odd token goes to the longer one, and which that is shows only when both are whole
        return pair if cutter.keep % 2 else (cutter(first, cutter.keep), cutter(second, cutter.keep))
    other = second if cutter.is_long(first) else first
    more_than = max(cutter.keep, len(cutter.tokenizer.encode(other, add_special_tokens=False)))
    return (cutter(first, more_than), second) if cutter.is_long(first) else (first, cutter(second, more_than))
