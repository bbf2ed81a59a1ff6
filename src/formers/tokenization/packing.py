"""Texts to ids without padding: the rows of a batch back to back, and how long each is."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from ..errors import FormersError
from . import arguments
from .arguments import Settings, Texts
from .chat import Chat
from .ids import Frame
from .types import PaddingStrategy, TruncationStrategy
from .words import ID, Words, separable

# what can be set in a model
_MODEL = ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")


@dataclass(frozen=True, eq=False)
class PackedEncoding:
    """B rows of ids without padding, N tokens in all.

        lengths  3 2      input_ids  a b c d e      token_type_ids  0 0 0 0 0
                                     └row 0┘└1┘

    Attributes:
        input_ids: (N,) int64, one row after the other.
        lengths: (B,) int64, the tokens of each row; N is their sum.
        token_type_ids: (N,) int64, which text of its pair each token is from; None where the model does not ask.
    """

    input_ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    token_type_ids: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.lengths)


class Packing(Chat):
    """Text to ids without padding."""

    def packed(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        is_split_into_words: bool = False,
        return_token_type_ids: bool | None = None,
        split_special_tokens: bool | None = None,
        verbose: bool = True,
    ) -> PackedEncoding:
        """The ids that a call with these arguments gives, as arrays without padding; several times as fast.

        Texts and pairs are given as in a call; a single text is one row. With a WordPiece tokenizer that splits words
        at spaces, as BERT's, each word is tokenized once and then looked up; some 20 MB of words are kept.

        Errors: as the call's.
        """
        made = arguments.settings(self, {"truncation": truncation, "max_length": max_length, "verbose": verbose})
        batch = self._texts(text, text_pair, is_split_into_words)
        types = self._wants("token_type_ids", return_token_type_ids)
        as_text = self.split_special_tokens if split_special_tokens is None else bool(split_special_tokens)
        found = self._look_up(batch, made, add_special_tokens, as_text, types)
        if found is None:
            # without offsets, the library forgets which text is which where no post-processor says it
            offsets = types and not all(isinstance(row, str) for row in batch.rows)
            found = _joined(self._run(batch, made, add_special_tokens, as_text, offsets=offsets), types)
        if max_length is None and verbose:
            self._warn_if_too_long(int(found.lengths.max(initial=0)))
        return found

    def _look_up(
        self, batch: Texts, made: Settings, specials: bool, as_text: bool, types: bool
    ) -> PackedEncoding | None:
        """The same from words that are looked up; None where that is not possible, or would be an error."""
        key = ("words", as_text, *(getattr(self._tokenizer.model, name, None) for name in _MODEL))
        words = self._views.once(self._tokenizer, key, lambda: self._words(made, as_text))
        kinds = set(map(type, batch.rows))
        if words is None or batch.words or kinds not in ({str}, {tuple}):
            return None
        pair = kinds == {tuple}
        room = self._room(batch, made, specials) if made.truncates else None
        if room is not None:
            batch = self._shorten(batch, made, room)
        try:
            frame = words.frame(pair, specials)
            columns = [words([row[place] for row in batch.rows]) for place in (0, 1)] if pair else [words(batch.rows)]
        except (TypeError, FormersError):  # the call's own way says what is wrong, and where
            return None
        if room is not None and any(sum(map(len, row)) > room * ID.itemsize for row in zip(*columns, strict=True)):
            if pair or made.truncation is TruncationStrategy.ONLY_SECOND:
                return None
            columns = [[_cut(row, room * ID.itemsize, made.truncation_side) for row in columns[0]]]
        return _framed(frame, columns, types) if frame else None

    def _words(self, made: Settings, as_text: bool) -> Words | None:
        plain = replace(made, padding=PaddingStrategy.DO_NOT_PAD, truncation=TruncationStrategy.DO_NOT_TRUNCATE)
        tokenizer = self._views.get(self._tokenizer, plain, (0, 0, ""), as_text)
        return Words(tokenizer) if separable(tokenizer) else None


def _cut(row: bytes, size: int, side: str) -> bytes:
    return row[:size] if side == "right" else row[max(0, len(row) - size) :]


def _framed(frame: Frame, columns: list[list[bytes]], types: bool) -> PackedEncoding:
    """The special tokens put around the first texts, or the first and the second ones."""
    before, between, after = (array("q", ids).tobytes() for ids in (frame.before, frame.between, frame.after))
    if len(columns) == 1:
        rows, after = columns[0], between + after
    else:
        rows = [first + between + second for first, second in zip(*columns, strict=True)]
    data = bytearray().join((before, (after + before).join(rows), after))
    of_before, of_first, of_between, of_second, of_after = frame.types
    kinds = np.array([*of_before, of_first, *of_between, of_second, *of_after], ID)
    counts = np.ones((len(rows), len(kinds)), ID)
    counts[:, -1 - len(of_after)] = 0  # without second texts
    for column, place in zip(columns, (len(of_before), -1 - len(of_after)), strict=False):
        counts[:, place] = np.fromiter(map(len, column), ID, len(rows)) // ID.itemsize
    return PackedEncoding(
        np.frombuffer(data, ID),
        counts.sum(axis=1),
        np.repeat(np.tile(kinds, len(rows)), counts.ravel()) if types else None,
    )


def _joined(rows: list[Encoding], types: bool) -> PackedEncoding:
    lengths = np.fromiter(map(len, rows), ID, len(rows))
    total = int(lengths.sum())
    return PackedEncoding(
        np.fromiter(chain.from_iterable(row.ids for row in rows), ID, total),
        lengths,
        np.fromiter(chain.from_iterable(row.type_ids for row in rows), ID, total) if types else None,
    )
