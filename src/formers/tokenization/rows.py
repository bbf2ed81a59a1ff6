"""The methods of a tokenizer that work on ids: special tokens around them, truncation, padding."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from . import arguments
from .encoding import BatchEncoding
from .ids import Frame, as_columns, as_list, pad_row, padded_length, tensor_kind, truncate
from .special import SpecialTokens
from .types import PaddingStrategy, TensorType, TruncationStrategy


class Rows(SpecialTokens):
    """The part of a tokenizer that needs no text."""

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The ids of a text or a pair with the special tokens around them."""
        return self._frame(token_ids_1 is not None).ids(token_ids_0, token_ids_1 or [])

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The type ids of `build_inputs_with_special_tokens`: which text of the pair each token is from."""
        return self._frame(token_ids_1 is not None).type_ids(len(token_ids_0), len(token_ids_1 or []))

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens, 0 elsewhere: of the ids given, or of what `build_inputs_with_special_tokens` makes."""
        if not already_has_special_tokens:
            return self._frame(token_ids_1 is not None).special_mask(len(token_ids_0), len(token_ids_1 or []))
        if token_ids_1 is not None:
            raise InputError(
                "With already_has_special_tokens=True, give the whole row as token_ids_0, and nothing else."
            )
        special = set(self.all_special_ids)
        return [int(number in special) for number in as_list(token_ids_0)]

    def _frame(self, pair: bool) -> Frame:
        return Frame.of(self._tokenizer, pair)

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str | TruncationStrategy = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Remove ids from a text or a pair; gives both, and what was cut off (with `stride` kept ids before it)."""
        strategy = TruncationStrategy(truncation_strategy)
        side = arguments.side("truncation_side", self.truncation_side)
        return truncate(ids, pair_ids, num_tokens_to_remove, strategy, stride, side)

    def prepare_for_model(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        return_tensors: str | TensorType | None = None,
        return_overflowing_tokens: bool = False,
        prepend_batch_axis: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Truncate, frame and pad the ids of a text or a pair; further keywords as in the tokenizer's call.

        What was cut off is in `overflowing_tokens`, how much that is in `num_truncated_tokens`.
        """
        made = arguments.settings(self, kwargs)
        wanted = {name: kwargs.pop(name) for name in _PREPARE_ARGUMENTS if name in kwargs}
        arguments.refuse("prepare_for_model", kwargs, _PREPARE_ARGUMENTS)
        pair = pair_ids is not None
        if return_overflowing_tokens and pair and made.truncation is TruncationStrategy.LONGEST_FIRST:
            raise InputError(
                "What 'longest_first' cuts off two texts cannot be given back as one list. "
                "Give truncation='only_first' or 'only_second', or leave return_overflowing_tokens out."
            )
        total = len(ids) + len(pair_ids or []) + (self.num_special_tokens_to_add(pair) if add_special_tokens else 0)
        excess = total - (made.max_length or total) if made.truncates else 0
        first, second, overflow = truncate(ids, pair_ids, excess, made.truncation, made.stride, made.truncation_side)
        row: dict[str, Any] = {}
        if return_overflowing_tokens:
            row = {"overflowing_tokens": overflow, "num_truncated_tokens": total - (made.max_length or total)}
        row |= self._framed(first, second, add_special_tokens, wanted)
        row = self._pad_rows([row], made, self._wants("attention_mask", wanted.get("return_attention_mask")))[0]
        return BatchEncoding(row, tensor_type=return_tensors, prepend_batch_axis=prepend_batch_axis)

    def _wants(self, column: str, asked: bool | None) -> bool:
        return column in self.model_input_names if asked is None else asked

    def _framed(
        self, first: list[int], second: list[int] | None, specials: bool, wanted: dict[str, Any]
    ) -> dict[str, Any]:
        frame = self._frame(second is not None) if specials else Frame([], [], [], ([], 0, [], 0, []))
        row: dict[str, Any] = {"input_ids": frame.ids(first, second or [])}
        if self._wants("token_type_ids", wanted.get("return_token_type_ids")):
            row["token_type_ids"] = frame.type_ids(len(first), len(second or []))
        if wanted.get("return_special_tokens_mask"):
            row["special_tokens_mask"] = frame.special_mask(len(first), len(second or []))
        if wanted.get("return_length"):
            row["length"] = len(row["input_ids"])
        return row

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Fill up tokenized examples to one length: a dictionary of lists, or a list of dictionaries (a collator's).

        `input_ids`, `token_type_ids`, `attention_mask` and `special_tokens_mask` are filled up, other columns kept. Ids
        given as tensors come back as tensors of that kind.
        """
        main = self.model_input_names[0]
        if return_tensors is None and isinstance(encoded_inputs, (list, tuple)) and encoded_inputs:
            return_tensors = tensor_kind(getattr(encoded_inputs[0], "get", lambda key: None)(main))
        elif return_tensors is None and hasattr(encoded_inputs, "get"):
            return_tensors = tensor_kind(encoded_inputs.get(main))
        columns = as_columns(encoded_inputs, main)
        given = {"max_length": max_length, "pad_to_multiple_of": pad_to_multiple_of, "padding_side": padding_side}
        made = arguments.settings(
            self,
            {**given, "padding": padding or "do_not_pad", "truncation": "do_not_truncate", "verbose": verbose},
        )
        wants_mask = self._wants("attention_mask", return_attention_mask)
        ids = columns[main]
        if not ids:
            if wants_mask:
                columns["attention_mask"] = []
            return BatchEncoding(columns, tensor_type=return_tensors)
        if not isinstance(ids[0], list):
            return BatchEncoding(self._pad_rows([columns], made, wants_mask)[0], tensor_type=return_tensors)
        for key, value in columns.items():
            if not isinstance(value, list) or len(value) != len(ids):
                raise InputError(f"{key!r} must have one entry for each of the {len(ids)} rows of {main!r}.")
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        padded = self._pad_rows(rows, made, wants_mask)
        return BatchEncoding({key: [row[key] for row in padded] for key in padded[0]}, tensor_type=return_tensors)

    def _pad_rows(self, rows: list[dict[str, Any]], made: arguments.Settings, with_mask: bool) -> list[dict[str, Any]]:
        main = self.model_input_names[0]
        length = padded_length([len(row[main]) for row in rows], made)
        return [pad_row(row, main, length, made.padding_side, self._filling(), with_mask) for row in rows]

    def _filling(self) -> dict[str, Any]:
        """What columns hold at padding."""
        return {self.model_input_names[0]: self.pad_token_id or 0, "token_type_ids": self.pad_token_type_id}


_PREPARE_ARGUMENTS = (
    "return_token_type_ids",
    "return_attention_mask",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
)
