"""Looking words up instead of tokenizing them: the ids of each word between spaces are kept as the bytes of an array.

Where spaces end words (see `cutting`), the tokens of a text are those of the parts between its spaces, one after the
other, and most parts of a text were seen before. So nothing of what the tokenizer does is done again here: it
tokenizes what is new, and a text is put together from pieces.

    "a film , a good film"  ─split─▶  a  film  ,  a  good  film  ─look up─▶  1037 2143 1010 1037 2204 2143
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, models

from . import backend, cutting
from .arguments import Texts
from .ids import Frame

ID = np.dtype(np.int64)
_MARK = "|"
_TOGETHER = 64  # new words that are tokenized as one text: one by one, each costs three times as much
_TEXTS = 1024  # looked up at a time
_MOST = 2_000_000  # characters of the words that are kept: about 20 MB
_ENTRY = 16  # what a word costs besides, in characters


def separable(tokenizer: Tokenizer) -> bool:
    """Whether a text's ids are those of the parts between its spaces, and the same every time."""
    return (
        isinstance(tokenizer.model, models.WordPiece)
        and cutting.ends_words_at_spaces(tokenizer)
        and all(token.content.isascii() and token.content.isprintable() for token in _added(tokenizer))
        and len(tokenizer.encode(_MARK, add_special_tokens=False)) == 1
    )


def _added(tokenizer: Tokenizer) -> list[AddedToken]:
    return list(backend.added_tokens(tokenizer).values())


class Words:
    """The ids of the words that a `separable` tokenizer was asked for, up to a limit; many threads may ask."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._mark = tokenizer.encode(_MARK, add_special_tokens=False).ids[0]
        self._frames: dict[tuple[bool, bool], Frame | None] = {}
        self._known: dict[str, bytes] = {"": b""}
        self._size = 0

    def frame(self, pair: bool, specials: bool) -> Frame | None:
        """What is put around a text or a pair; None if it is no frame, as when a text is put in twice."""
        if (pair, specials) not in self._frames:
            frame = Frame.of(self._tokenizer, pair, specials)
            made = self._tokenizer.encode(_MARK, _MARK if pair else None, add_special_tokens=specials)
            second = [self._mark] * pair
            fits = made.ids == frame.ids([self._mark], second) and made.type_ids == frame.type_ids(1, len(second))
            self._frames[pair, specials] = frame if fits else None
        return self._frames[pair, specials]

    def __call__(self, texts: list[str]) -> list[bytes]:
        """The ids of each text, without special tokens, as the bytes of an array of `ID`.

        Errors: TypeError for what is no str; as `backend.encode` for text that cannot be tokenized.
        """
        return [row for at in range(0, len(texts), _TEXTS) for row in self._look_up(texts[at : at + _TEXTS])]

    def _look_up(self, texts: list[str]) -> list[bytes]:
        known = self._known  # this very one in all that follows: another thread may replace it
        found: list[bytes] = []
        waiting: dict[int, list[str]] = {}
        for index, text in enumerate(texts):
            words = str.replace(text, "\n", " ").replace("\t", " ").split(" ")
            try:
                found.append(b"".join(map(known.__getitem__, words)))
            except KeyError:
                found.append(b"")
                waiting[index] = words
        if waiting:
            new = list(set().union(*waiting.values()).difference(known))
            known.update(self._tokenize(new))
            for index, words in waiting.items():
                found[index] = b"".join(map(known.__getitem__, words))
            self._size += sum(map(len, new)) + _ENTRY * len(new)
            if self._size > _MOST:
                self._known, self._size = {"": b""}, 0
        return found

    def _tokenize(self, words: list[str]) -> Iterator[tuple[str, bytes]]:
        """Each word and its ids. Many are one text, each after a mark; with a mark in a word, they are too many."""
        groups = [words[at : at + _TOGETHER] for at in range(0, len(words), _TOGETHER)]
        rows = self._encode([f"{_MARK} " + f" {_MARK} ".join(group) for group in groups])
        for group, row in zip(groups, rows, strict=True):
            marks = np.flatnonzero(row == self._mark)
            if len(marks) == len(group):
                data, places = row.tobytes(), [*(marks * ID.itemsize).tolist(), row.nbytes]
                ids = [data[start + ID.itemsize : end] for start, end in pairwise(places)]
            else:
                ids = [one.tobytes() for one in self._encode(group)]
            yield from zip(group, ids, strict=True)

    def _encode(self, texts: list[str]) -> list[NDArray[np.int64]]:
        rows = backend.encode(self._tokenizer, Texts(texts, True, False), False, offsets=False)
        return [np.array(row.ids, ID) for row in rows]
