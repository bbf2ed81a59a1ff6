"""The part of a tokenizer that turns ids into tokens and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken

from ..errors import ArgumentError, InputError
from . import arguments
from .ids import as_list
from .special import SpecialTokens

_DECODE_ARGUMENTS = ["token_ids", "skip_special_tokens", "clean_up_tokenization_spaces"]
_OLD_DECODE = ("use_source_tokenizer", "spaces_between_special_tokens")
_TIGHT = [
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {end}", end) for end in ("n't", "'m", "'s", "'ve", "'re")),
]


class Decoding(SpecialTokens):
    """Ids to tokens and text."""

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or a list of ids; the unknown token's for those that the vocabulary does not have."""
        if tokens is None:
            return None
        if isinstance(tokens, (str, AddedToken)):
            return self._id(str(tokens))
        return [self._id(str(token)) if token is not None else None for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or a list of them; None for ids that the vocabulary does not have."""
        ids, added = as_list(ids), self._added()
        if isinstance(ids, int):
            return self._spelled(_id_at(ids, 0), added)
        special = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._spelled(_id_at(number, at), added) for at, number in enumerate(ids) if number not in special]

    def _spelled(self, number: int, added: Mapping[int, AddedToken]) -> str | None:
        # for an added token the library gives what its normalizer makes of it
        return added[number].content if number in added else self._tokenizer.id_to_token(number)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text that a list of tokens stands for."""
        return self._tokenizer.decoder.decode(tokens) if self._tokenizer.decoder is not None else " ".join(tokens)

    # Ids to text

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """The text of a list (array, tensor) of ids; a list of texts for a list of lists.

        `clean_up_tokenization_spaces` (default True) removes the spaces before punctuation and in English
        contractions: "I'm", not "I ' m". Negative ids are an InputError; ids beyond the vocabulary give nothing.
        """
        arguments.refuse("decode", {k: v for k, v in kwargs.items() if k not in _OLD_DECODE}, _DECODE_ARGUMENTS)
        ids = as_list(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if not isinstance(ids, list):
            raise ArgumentError(f"decode() needs ids, a list of whole numbers, not {type(token_ids).__name__}.")
        if ids and isinstance(ids[0], list):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        try:
            text = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        except (TypeError, OverflowError):
            for at, number in enumerate(ids):
                _id_at(number, at)
            raise
        added = self._added()
        if any(self._tokenizer.id_to_token(number) != added[number].content for number in added.keys() & ids):
            kept = (n for n in ids if not (skip_special_tokens and n in added and added[n].special))
            tokens = (self._spelled(number, added) for number in kept)
            text = self.convert_tokens_to_string([token for token in tokens if token is not None])
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        return self.clean_up_tokenization(text) if clean else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """The texts of a list of id lists, or of a 2-d tensor."""
        return [
            self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces, **kwargs) for ids in as_list(sequences)
        ]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces that tokenization leaves before punctuation and in English contractions."""
        for spaced, tight in _TIGHT:
            out_string = out_string.replace(spaced, tight)
        return out_string


def _id_at(number: Any, at: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise ArgumentError(f"ids[{at}] is {number!r}; ids are whole numbers.")
    if number < 0:
        raise InputError(
            f"ids[{at}] is {number}; ids start at 0. Labels of -100 must be replaced before decoding, for example by "
            "tokenizer.pad_token_id."
        )
    return number
