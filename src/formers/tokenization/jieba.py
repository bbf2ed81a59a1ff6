"""Words of Chinese text, found by jieba, which WordPiece then looks up: the cutting of RoFormer's tokenizers.

A pre-tokenizer in Python cannot be written to a tokenizer.json: it is put on after loading and taken off before saving.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import NormalizedString, PreTokenizedString, Tokenizer, models, normalizers, pre_tokenizers

from ..errors import MissingNameError
from . import backend
from .wordpiece import WordPieceTokenizer

# cuts Chinese characters apart
_CHARACTERS = normalizers.BertNormalizer(False, True, False, False)


class JiebaTokenizer(WordPieceTokenizer):
    """WordPiece on jieba's words. Words that the vocabulary lacks are cut at spaces and Chinese characters.

    Needs the package rjieba. Source: https://github.com/messense/rjieba-py
    """

    def _dressed(self, plain: Tokenizer) -> Tokenizer:
        if not isinstance(plain.model, models.WordPiece) or not self.do_basic_tokenize:
            return plain
        dressed = backend.view(plain)
        dressed.normalizer = normalizers.BertNormalizer(True, False, self.strip_accents, self.do_lower_case)
        words: Any = _Words(plain.get_vocab())
        dressed.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(words)
        return dressed

    def _plain(self) -> Tokenizer:
        if not isinstance(self._tokenizer.model, models.WordPiece) or not self.do_basic_tokenize:
            return self._tokenizer
        plain = backend.view(self._tokenizer)
        plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return plain


class _Words:
    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        try:
            import rjieba
        except ImportError as error:
            raise MissingNameError(
                "RoFormer's tokenizer finds words with the package rjieba, which is not installed: pip install rjieba."
            ) from error
        self.vocabulary, self.cut = vocabulary, rjieba.tokenize

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        text.split(self._split)

    def _split(self, _: int, text: NormalizedString) -> list[NormalizedString]:
        found: list[Any] = []
        for word, start, stop in self.cut(str(text), hmm=False):
            if word in self.vocabulary:
                found.append(text[start:stop])
                continue
            for part in _CHARACTERS.normalize_str(word).split():
                at = str(text).index(part, start, stop)
                found.append(text[at : at + len(part)])
                start = at + len(part)
        return found
