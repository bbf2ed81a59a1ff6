"""BERT's word splitting and WordPiece in plain Python, for code that uses them by themselves.

Devlin et al. 2018, https://github.com/google-research/bert/blob/master/tokenization.py. The tokenizer classes run the
same rules in the `tokenizers` library.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping

# The ideographs that BERT makes words of: CJK Unified Ideographs, their extensions A to E, and the compatibility ones.
# Hangul, Hiragana and Katakana are not among them: these are written with spaces, or kept together.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class BasicTokenizer:
    """Splits a text at white space, punctuation and Chinese characters; lower-cases it and strips accents.

    `never_split`: words (between spaces) that are left as they are. `strip_accents`: None is as `do_lower_case` says.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_split_on_punc: bool = True,
    ) -> None:
        self.do_lower_case = do_lower_case
        self.never_split = set(never_split or ())
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.do_split_on_punc = do_split_on_punc

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """The words of a text."""
        kept = self.never_split | set(never_split or ())
        text = "".join(map(self._clean, text))
        return [part for word in text.split() for part in self._word(word, kept)]

    def _clean(self, char: str) -> str:
        if char.isspace() and (char in "\t\n\r" or unicodedata.category(char) == "Zs"):
            return " "
        if char in "\0\ufffd" or unicodedata.category(char).startswith("C"):
            return ""
        return f" {char} " if self.tokenize_chinese_chars and _is_ideograph(char) else char

    def _word(self, word: str, kept: Collection[str]) -> list[str]:
        if word in kept:
            return [word]
        if self.do_lower_case:
            word = word.lower()
        if self.strip_accents or (self.strip_accents is None and self.do_lower_case):
            word = "".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")
        if not self.do_split_on_punc:
            return word.split()
        return "".join(f" {char} " if _is_punctuation(char) else char for char in word).split()


class WordpieceTokenizer:
    """Splits words into the longest pieces that the vocabulary has, from the left; later pieces start with "##"."""

    def __init__(
        self, vocab: Mapping[str, int] | Collection[str], unk_token: str = "[UNK]", max_input_chars_per_word: int = 100
    ) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text whose words stand between spaces."""
        return [piece for word in text.split() for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            before = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if before + word[start:end] in self.vocab), None)
            if end is None:
                return [self.unk_token]
            pieces.append(before + word[start:end])
            start = end
        return pieces


def _is_ideograph(char: str) -> bool:
    point = ord(char)
    return any(first <= point <= last for first, last in _IDEOGRAPHS)


def _is_punctuation(char: str) -> bool:
    # all ASCII that is no letter or digit counts, also "$" and "^", which Unicode calls symbols
    return (char.isascii() and char.isprintable() and not char.isalnum() and char != " ") or unicodedata.category(
        char
    ).startswith("P")
