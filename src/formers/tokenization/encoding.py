"""BatchEncoding: what a tokenizer call gives, a dictionary that also knows how its tokens map to the text."""

from __future__ import annotations

import warnings
from collections import UserDict
from collections.abc import ItemsView, KeysView, Sequence, ValuesView
from typing import Any

import numpy as np
from tokenizers import Encoding

from ..errors import InputError, near
from ..logging import logger
from ..views.encoding import encoding_html
from .types import CharSpan, TensorType, TokenSpan


class BatchEncoding(UserDict[str, Any]):
    """Columns of a tokenized batch (`input_ids`, `attention_mask`…), also as attributes.

    `encoding["input_ids"]` is a column, `encoding[0]` the `tokenizers.Encoding` of row 0, `encoding[:2]` the first two
    rows of every column. The methods that map tokens, words and characters take `(batch_index, index)`, or `(index)`
    alone for row 0; negative indices count from the end. They need the rows' encodings, which a tokenizer call gives
    and `pad` or `prepare_for_model`, who see ids only, do not: InputError.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | TensorType | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data)
        self._encodings = [encoding] if isinstance(encoding, Encoding) else (list(encoding) if encoding else None)
        if n_sequences is None and self._encodings:
            n_sequences = self._encodings[0].n_sequences
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def n_sequences(self) -> int | None:
        """1 for single texts, 2 for pairs, None when unknown."""
        return self._n_sequences

    @property
    def is_fast(self) -> bool:
        """Whether the rows' encodings are there."""
        return self._encodings is not None

    @property
    def encodings(self) -> list[Encoding] | None:
        """The rows' `tokenizers.Encoding` objects; None when there are only ids."""
        return self._encodings

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            if item not in self.data:
                raise KeyError(item)
            return self.data[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        return self._row(item, "indexing by a number")

    def __getattr__(self, name: str) -> Any:
        if name == "data" or name.startswith("__"):  # while unpickling, there is no data yet
            raise AttributeError(name)
        if name not in self.data:
            raise AttributeError(
                f"This BatchEncoding has no {name!r}; it has {list(self.data)}.{near(name, self.data)}"
            )
        return self.data[name]

    def keys(self) -> KeysView[str]:
        return self.data.keys()

    def values(self) -> ValuesView[Any]:
        return self.data.values()

    def items(self) -> ItemsView[str, Any]:
        return self.data.items()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    _repr_html_ = encoding_html

    # Tokens, words and characters

    def _row(self, index: int, asked: str) -> Encoding:
        if self._encodings is None:
            raise InputError(
                f"{asked} needs the mapping to the text, and this BatchEncoding holds ids only. "
                "Use the result of calling the tokenizer on text."
            )
        try:
            return self._encodings[index]
        except IndexError:
            raise InputError(f"There is no row {index}: this BatchEncoding has {len(self._encodings)}.") from None

    def _place(self, asked: str, first: int, second: int | None) -> tuple[Encoding, int]:
        row = self._row(0 if second is None else first, asked)
        return row, first if second is None else second

    def _token(self, asked: str, first: int, second: int | None) -> tuple[Encoding, int]:
        row, index = self._place(asked, first, second)
        return row, index + len(row) if index < 0 else index

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The token strings of a row."""
        return self._row(batch_index, "tokens()").tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row: 0 or 1, which text of the pair it is from; None for added special tokens."""
        return self._row(batch_index, "sequence_ids()").sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row: the index of its word in the text; None for added special tokens."""
        return self._row(batch_index, "word_ids()").word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """The old name of `word_ids`."""
        warnings.warn("BatchEncoding.words() is now word_ids().", FutureWarning, stacklevel=2)
        return self.word_ids(batch_index)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Which text of the pair the token is from: 0 or 1; None for an added special token."""
        row, index = self._token("token_to_sequence()", batch_or_token_index, token_index)
        return row.token_to_sequence(index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The index of the token's word in its text; None for an added special token."""
        row, index = self._token("token_to_word()", batch_or_token_index, token_index)
        found = row.token_to_word(index)
        return found[1] if isinstance(found, tuple) else found

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word; None when it has none."""
        row, index = self._place("word_to_tokens()", batch_or_word_index, word_index)
        span = row.word_to_tokens(_from_end(index, row.word_ids, row.sequence_ids, sequence_index), sequence_index)
        return TokenSpan(*span) if span is not None else None

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of the text that the token stands for; None for an added special token."""
        row, index = self._token("token_to_chars()", batch_or_token_index, token_index)
        found = row.token_to_chars(index)
        if found is None:
            return None
        return CharSpan(*(found[1] if isinstance(found[1], tuple) else found))

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that holds a character of the text; None when none does (a space)."""
        row, index = self._place("char_to_token()", batch_or_char_index, char_index)
        return row.char_to_token(index, sequence_index)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan:
        """The characters of a word."""
        row, index = self._place("word_to_chars()", batch_or_word_index, word_index)
        index = _from_end(index, row.word_ids, row.sequence_ids, sequence_index)
        span = row.word_to_chars(index, sequence_index)
        if span is None:
            raise InputError(f"There is no word {index} in text {sequence_index} of this row.")
        return CharSpan(*span)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The index of the word that holds a character of the text; None when none does."""
        row, index = self._place("char_to_word()", batch_or_char_index, char_index)
        return row.char_to_word(index, sequence_index)

    # Tensors

    def convert_to_tensors(
        self, tensor_type: str | TensorType | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn the columns into "pt" or "np" tensors, in place. Rows of different lengths: InputError."""
        if tensor_type is None:
            return self
        kind = TensorType(tensor_type)
        for key, value in self.data.items():
            self.data[key] = _tensor(key, [value] if prepend_batch_axis else value, kind)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move the tensors to a device ("cuda", 0, torch.device), in place; gives itself."""
        if not isinstance(device, (str, int)) and type(device).__name__ != "device":
            # mixed-precision helpers call .to(dtype) on all inputs; ids must stay integers
            logger.warning("BatchEncoding.to(%r) is ignored: it moves to devices only, ids keep their type.", device)
            return self
        for key, value in self.data.items():
            if hasattr(value, "to"):
                self.data[key] = value.to(device=device, non_blocking=non_blocking)
        return self


def _from_end(index: int, words: list[int | None], sequences: list[int | None], sequence: int) -> int:
    if index >= 0:
        return index
    own = [word for word, of in zip(words, sequences, strict=True) if word is not None and of == sequence]
    return index + 1 + max(own, default=-1)


def _tensor(key: str, value: Any, kind: TensorType) -> Any:
    if hasattr(value, "dtype"):
        array = value
    elif isinstance(value, list) and value and all(hasattr(row, "dtype") for row in value):
        array = np.stack([np.asarray(row) for row in value])
    else:
        array = _array(key, value)
    if kind is TensorType.NUMPY:
        return np.asarray(array)
    import torch

    if isinstance(array, torch.Tensor):
        return array
    if array.dtype == np.float64:
        array = array.astype(np.float32)  # torch's own default for Python floats
    return torch.from_numpy(np.ascontiguousarray(array))


def _array(key: str, value: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(value, dtype=object)
    if array.size == 0:
        return np.zeros((*array.shape, 0) if array.ndim == 1 else array.shape, np.int64)
    if array.dtype.kind in "biuf":
        return array.astype(np.int64) if array.dtype.kind in "iu" else array
    lengths = sorted({len(row) for row in value if hasattr(row, "__len__")}) if isinstance(value, list) else []
    if len(lengths) > 1:
        raise InputError(
            f"{key!r} has rows of {len(lengths)} different lengths, {lengths[0]} to {lengths[-1]}, and cannot be one "
            "tensor. Give padding=True, with truncation=True where texts may be longer than the model allows."
        )
    raise InputError(f"{key!r} cannot be a tensor: it holds {_kinds(value)}, and numbers are needed. Leave it out.")


def _kinds(value: Any) -> str:
    items = value if isinstance(value, list) else [value]
    return " and ".join(sorted({type(item).__name__ for item in items}))
