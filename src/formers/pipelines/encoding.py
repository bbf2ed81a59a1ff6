"""Texts to the model's arguments: tensors of one row each, from one call of the tokenizer.

Letters: T columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..tokenization import PackedEncoding, PreTrainedTokenizerFast

# arguments with which texts stay without padding, whatever their values
_PACKED_ARGUMENTS = {"truncation", "max_length", "padding", "add_special_tokens", "return_token_type_ids", "verbose"}


def encoded(tokenizer: Any, columns: list[list[Any]], parameters: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Each text as tensors (1, T): `columns` are the texts, or the first and the second texts of pairs.

    `parameters` are the tokenizer's, "padding" among them; with padding, texts are filled up.
    """
    if len(columns[0]) > 1 and _packs(tokenizer, parameters):  # for a single sentence the call costs less
        packed = tokenizer.packed(*columns, **{k: v for k, v in parameters.items() if k != "padding"})
        return _views(packed, "attention_mask" in tokenizer.model_input_names)
    return rows(tokenizer(*columns, **parameters))


def _packs(tokenizer: Any, parameters: dict[str, Any]) -> bool:
    """Whether the tokenizer's `packed` gives what its call would: its call is our own, and nothing is padded."""
    return (
        isinstance(tokenizer, PreTrainedTokenizerFast)
        and type(tokenizer).__call__ is PreTrainedTokenizerFast.__call__
        and value_of(parameters["padding"]) in (False, None, "do_not_pad")
        and parameters.keys() <= _PACKED_ARGUMENTS
    )


def rows(encoding: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Each row of lists as tensors (1, T)."""
    keys = list(encoding)
    return (
        {key: torch.tensor([values]) for key, values in zip(keys, row, strict=True)}
        for row in zip(*(encoding[key] for key in keys), strict=True)
    )


def _views(packed: PackedEncoding, with_mask: bool) -> Iterator[dict[str, Tensor]]:
    """Each row as tensors (1, T), views of the packed ones."""
    columns = {"input_ids": torch.from_numpy(packed.input_ids)}
    if packed.token_type_ids is not None:
        columns["token_type_ids"] = torch.from_numpy(packed.token_type_ids)
    if with_mask:
        columns["attention_mask"] = torch.ones(len(packed.input_ids), dtype=torch.long)
    lengths = packed.lengths.tolist()
    rows = zip(*(column[None].split(lengths, dim=1) for column in columns.values()), strict=True)
    return (dict(zip(columns, row, strict=True)) for row in rows)


def value_of(option: Any) -> Any:
    """What an option's enum member stands for."""
    return getattr(option, "value", option)
