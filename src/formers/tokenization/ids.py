"""What a tokenizer does with ids alone: special tokens around them, truncation, padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from tokenizers import Encoding, Tokenizer

from ..errors import ArgumentError, InputError
from .arguments import Settings
from .backend import view
from .types import PaddingStrategy, TruncationStrategy


@dataclass(frozen=True)
class Frame:
    """The special tokens that the post-processor puts before, between and after one text or two, with their types.

    Learned by asking it: a one-token text is processed, and what appears around that token is the frame. So no recipe
    needs to be known here.
    """

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[list[int], int, list[int], int, list[int]]  # before, first text, between, second text, after

    @classmethod
    def of(cls, tokenizer: Tokenizer, pair: bool, specials: bool = True) -> Frame:
        """The frame of one text or a pair; without `specials`, only the types."""
        bare = view(tokenizer)
        first, second = (_one_token(bare) for _ in range(2))
        made = bare.post_process(first, second if pair else None, specials)
        where = made.sequence_ids
        start = where.index(0)
        end = where.index(1) if pair else len(where)
        ids, types = made.ids, made.type_ids
        return cls(
            ids[:start],
            ids[start + 1 : end],
            ids[end + 1 :],
            (types[:start], types[start], types[start + 1 : end], types[end] if pair else 0, types[end + 1 :]),
        )

    def ids(self, first: list[int], second: list[int]) -> list[int]:
        return [*self.before, *first, *self.between, *second, *self.after]

    def type_ids(self, first: int, second: int) -> list[int]:
        before, one, between, two, after = self.types
        return [*before, *[one] * first, *between, *[two] * second, *after]

    def special_mask(self, first: int, second: int) -> list[int]:
        inner = [*[1] * len(self.before), *[0] * first, *[1] * len(self.between), *[0] * second]
        return [*inner, *[1] * len(self.after)]


def _one_token(bare: Tokenizer) -> Encoding:
    # any text will do; cut to one token, as a recipe may split it or put a space mark before it
    probe = Tokenizer(bare.model)
    for text in chain(("a",), _some_tokens(bare)):
        made = probe.encode(text, add_special_tokens=False)
        if len(made):
            made.truncate(1)
            return made
    raise InputError("The vocabulary of this tokenizer gives no tokens, so nothing can be put around texts.")


def _some_tokens(tokenizer: Tokenizer) -> Iterator[str]:
    yield from islice(tokenizer.get_vocab(with_added_tokens=False), 1000)  # reads the whole vocabulary: only if need be


def truncate(
    first: list[int], second: list[int] | None, count: int, strategy: TruncationStrategy, stride: int, side: str
) -> tuple[list[int], list[int] | None, list[int]]:
    """Remove `count` ids; gives both lists and what was cut off, with `stride` ids of what was kept before it.

    A text that is too short for the removal is left as it is, as in Transformers 4.
    """
    if count <= 0 or strategy is TruncationStrategy.DO_NOT_TRUNCATE:
        return first, second, []
    if strategy is TruncationStrategy.LONGEST_FIRST and second is not None:
        keep_first, keep_second = _shares(len(first), len(second), count)
        return _cut(first, keep_first, side), _cut(second, keep_second, side), []
    target = second if strategy is TruncationStrategy.ONLY_SECOND else first
    if target is None or len(target) <= count:
        return first, second, []
    keep, window = len(target) - count, min(len(target), stride + count)
    overflow = target[:window] if side == "left" else target[-window:]
    cut = _cut(target, keep, side)
    return (first, cut, overflow) if target is second else (cut, second, overflow)


def _shares(first: int, second: int, count: int) -> tuple[int, int]:
    """Lengths after taking `count` tokens one by one from the longer text; from the second when they are equal."""
    level = min(count, abs(first - second))
    if first > second:
        first -= level
    else:
        second -= level
    rest = count - level
    return max(0, first - rest // 2), max(0, second - (rest + 1) // 2)


def _cut(ids: list[int], keep: int, side: str) -> list[int]:
    return ids[len(ids) - keep :] if side == "left" else ids[:keep]


_FILL = {"attention_mask": 0, "special_tokens_mask": 1}


def pad_row(
    row: dict[str, Any], main: str, length: int, side: str, fill: dict[str, Any], with_mask: bool
) -> dict[str, Any]:
    """One example with its ids, and the columns that go with them, filled up to `length` on `side`."""
    ids = row[main]
    if with_mask and "attention_mask" not in row:
        row = {**row, "attention_mask": [1] * len(ids)}
    missing = length - len(ids)
    if missing <= 0:
        return row
    values = {**_FILL, **fill}
    padded = dict(row)
    for name, value in values.items():
        if name in padded:
            more = [value] * missing
            padded[name] = [*padded[name], *more] if side == "right" else [*more, *padded[name]]
    return padded


def padded_length(lengths: Sequence[int], made: Settings) -> int:
    """How long the rows become; the longest row's own length when there is no padding (rows stay as they are)."""
    if not made.pads:
        return 0
    longest = max(lengths, default=0)
    target = made.max_length or longest if made.padding is PaddingStrategy.MAX_LENGTH else longest
    multiple = made.pad_to_multiple_of
    return -(-target // multiple) * multiple if multiple else target


def as_columns(encoded: Any, main: str) -> dict[str, Any]:
    """A mapping of lists from a mapping or a list of mappings, with tensors turned into lists."""
    if isinstance(encoded, (list, tuple)) and encoded and all(isinstance(row, Mapping) for row in encoded):
        for index, row in enumerate(encoded):
            lacking = encoded[0].keys() - row.keys()
            if lacking:
                raise InputError(f"Example {index} has no {sorted(lacking)[0]!r}, and example 0 has it.")
        encoded = {key: [_no_tuple(row[key]) for row in encoded] for key in encoded[0]}
    if isinstance(encoded, (list, tuple)) and not encoded:
        raise InputError(f"pad() was given no examples. Each needs {main!r}.")
    if not isinstance(encoded, Mapping):
        raise ArgumentError(f"pad() needs a dictionary with {main!r}, or a list of them, not {type(encoded).__name__}.")
    if main not in encoded:
        raise InputError(f"pad() needs {main!r} in each example, and found {list(encoded)}.")
    return {key: as_list(value) for key, value in encoded.items()}


def _no_tuple(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def as_list(value: Any) -> Any:
    """Tensors and arrays, also inside a list, as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [item.tolist() if hasattr(item, "tolist") else item for item in value]
    return value


def tensor_kind(value: Any) -> str | None:
    """ "pt" or "np" when the value is a tensor or array, or a list of them."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    if not hasattr(first, "dtype"):
        return None
    return "np" if type(first).__module__.partition(".")[0] == "numpy" else "pt"
