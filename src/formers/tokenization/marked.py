"""The recipe of Blenderbot's small tokenizer: BPE on words, in whose tokens "@@" says that the word goes on.

    It's red.  ─▶  it  '  s  red  .   ─▶  it ' s re@@ d .

Roller et al. 2020 (arXiv 2004.13637); BPE with these marks: Sennrich et al. 2016 (arXiv 1508.07909).
A pre-tokenizer in Python cannot be written to a tokenizer.json: it is put on after loading and taken off before saving.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, NormalizedString, PreTokenizedString, Regex, Tokenizer, decoders, models
from tokenizers import pre_tokenizers as cutters

from ..errors import ArgumentError, TokenizerError
from . import backend
from .base import PreTrainedTokenizerFast
from .byte_level import Merges, Vocabulary, merge_pairs, read_merges, read_vocabulary
from .frames import taken
from .loading import Loading

_GOES_ON, _END, _LINE = "@@", "</w>", "__newln__"
# a mark begins a word, an apostrophe is one, and so is the end of a line, but after spaces and apostrophes; four
# separators count as letters
_LETTER = r"(?:[^.,!?()'\s]|[\x1c-\x1f])"
_WORD = re.compile(rf"'|[.,!?()]{_LETTER}*|{_LETTER}+|(?<=[^\s']|[\x1c-\x1f])\n")


class MarkedTokenizer(PreTrainedTokenizerFast):
    """A tokenizer made from a vocab.json and a merges.txt, or from a dictionary and a list. All is in lower case.

    A tokenizer.json, which cannot say what these do, is read where they are not there.
    """

    TOKENS: ClassVar[Mapping[str, str | AddedToken]] = {}  # a family's special tokens
    vocab_files_names = {"vocab_file": "vocab.json", "merges_file": "merges.txt", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    _options = (*Loading._options, "vocab_file", "merges_file", "tokenizer_file", "tokenizer_object")

    def __init__(
        self,
        vocab_file: Vocabulary | None = None,
        merges_file: Merges | None = None,
        *,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_names(kwargs)
        special = taken(self.TOKENS, kwargs)
        self.merges: list[tuple[str, str]] | None = None
        kwargs.setdefault("clean_up_tokenization_spaces", False)
        if vocab_file is None and merges_file is None:
            made = backend.given(tokenizer_object, tokenizer_file)
        else:
            made = self._made(vocab_file, merges_file, str(special["unk_token"]))
        if made is None:
            raise ArgumentError("Both are needed: vocab_file='vocab.json' and merges_file='merges.txt'.")
        self._start(made, {**special, **kwargs})
        self._tokenizer = self._dressed(self._tokenizer)

    def _made(self, vocab_file: Vocabulary | None, merges_file: Merges | None, unknown: str) -> Tokenizer | None:
        if vocab_file is None or merges_file is None:
            return None
        vocab = dict(vocab_file) if isinstance(vocab_file, Mapping) else read_vocabulary(vocab_file)
        of_file = isinstance(merges_file, (str, os.PathLike))
        pairs = read_merges(merges_file) if of_file else merge_pairs(merges_file, "merges")  # type: ignore[arg-type]
        self.merges = pairs
        if unknown not in vocab:
            raise TokenizerError(f"The vocabulary has no {unknown!r}, which stands for what it lacks.")
        made = Tokenizer(models.WordLevel(vocab, unk_token=unknown))
        joined: list[Any] = [decoders.Replace(Regex("$"), " "), decoders.Fuse(), decoders.Replace(Regex(" $"), "")]
        made.decoder = decoders.Sequence([*joined, decoders.Replace(f"{_GOES_ON} ", "")])
        return made

    def _dressed(self, plain: Tokenizer) -> Tokenizer:
        if self.merges is None:
            return plain
        dressed = backend.view(plain)
        pieces: Any = _Pieces(self.merges)
        dressed.pre_tokenizer = cutters.PreTokenizer.custom(pieces)
        return dressed

    def _plain(self) -> Tokenizer:
        if self.merges is None:
            return self._tokenizer
        plain = backend.view(self._tokenizer)
        plain.pre_tokenizer = cutters.WhitespaceSplit()
        return plain

    def _write(self, stage: Path, before: str, legacy_format: bool | None) -> list[str]:
        return super()._write(stage, before, legacy_format if self.merges is None else True)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json and merges.txt."""
        if self.merges is None:
            return ()
        before = f"{filename_prefix}-" if filename_prefix else ""
        vocab, merges = (Path(save_directory) / f"{before}{name}" for name in ("vocab.json", "merges.txt"))
        known = self._tokenizer.get_vocab(with_added_tokens=False)
        vocab.write_text(json.dumps(known, ensure_ascii=False, sort_keys=True, indent=2) + "\n", encoding="utf-8")
        lines = ["#version: 0.2", *(f"{first} {second}" for first, second in self.merges)]
        merges.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(vocab), str(merges)


class _Pieces:
    """Texts to words, and these to what a vocabulary has of them."""

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        parts = [part for pair in merges for part in (*pair, "".join(pair))]
        vocab = {part: number for number, part in enumerate(dict.fromkeys(["", *parts]))}
        # "" stands for a character that is in no merge
        self.model = models.BPE(vocab=vocab, merges=list(merges), unk_token="", end_of_word_suffix=_END)

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        text.split(self._split)

    def _split(self, _: int, text: NormalizedString) -> list[NormalizedString]:
        found: list[Any] = []
        for match in _WORD.finditer(str(text)):
            word: Any = text[match.start() : match.end()]
            if match[0] == "\n":
                word.replace("\n", _LINE)
            else:
                _lower(word)
            whole, start = str(word), 0
            for size in self._sizes(whole):
                piece = word[start : start + size]
                start += size
                if start < len(whole):
                    piece.append(_GOES_ON)
                found.append(piece)
        return found

    def _sizes(self, word: str) -> Iterator[int]:
        """How many characters each piece of a word has."""
        for token in self.model.tokenize(word):
            yield len(token.value.removesuffix(_END)) or 1


def _lower(word: NormalizedString) -> None:
    """Lower case as Python makes it, in which a sigma depends on its place."""
    expected = str(word).lower()
    word.lowercase()
    if (made := str(word)) != expected and len(made) == len(expected):
        letters = iter(expected)
        word.map(lambda _: next(letters))
