"""The small types of the tokenizer's interface: choices that may be given as strings, and spans."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..errors import ArgumentError, near

VERY_LARGE_INTEGER = int(1e30)  # the limit of a tokenizer whose files name none; saved in files since 2019
LARGE_INTEGER = int(1e20)


class Choice(str, Enum):
    """A choice by its string; any other raises an error that names all."""

    @classmethod
    def _missing_(cls, value: object) -> Choice:
        known = [str(member.value) for member in cls]
        raise ArgumentError(
            f"{value!r} is not a {cls.__name__}. Known: {', '.join(map(repr, known))}.{near(value, known)}"
        )


class PaddingStrategy(Choice):
    """How far the rows of a batch are filled up."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TruncationStrategy(Choice):
    """Which text of a pair is shortened."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"


class TensorType(Choice):
    """What `return_tensors` may be."""

    PYTORCH = "pt"
    NUMPY = "np"

    @classmethod
    def _missing_(cls, value: object) -> Choice:
        if value in ("tf", "jax", "mlx"):
            raise ArgumentError(
                f"return_tensors={value!r} is not available here. Use 'np': {value} reads NumPy arrays; or 'pt'."
            )
        return super()._missing_(value)


class CharSpan(NamedTuple):
    """Characters `start` to `end` (not included) of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens `start` to `end` (not included) of an encoding."""

    start: int
    end: int
