"""The arguments of a tokenizer call, checked: how to pad and truncate, and which texts form the batch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, InputError, near
from .types import LARGE_INTEGER, PaddingStrategy, TruncationStrategy

if TYPE_CHECKING:
    from .special import SpecialTokens


@dataclass(frozen=True)
class Settings:
    """How one call pads and truncates. `max_length` counts tokens with the special ones; None: as long as it comes."""

    padding: PaddingStrategy
    truncation: TruncationStrategy
    max_length: int | None
    stride: int
    pad_to_multiple_of: int | None
    padding_side: str
    truncation_side: str

    @property
    def truncates(self) -> bool:
        return self.truncation is not TruncationStrategy.DO_NOT_TRUNCATE and self.max_length is not None

    @property
    def pads(self) -> bool:
        return self.padding is not PaddingStrategy.DO_NOT_PAD


def settings(tokenizer: SpecialTokens, given: dict[str, Any]) -> Settings:
    """Take the arguments of padding and truncation out of `given`, and read them as Transformers does.

    True is "longest" padding and "longest_first" truncation; the arguments of Transformers 2 are put in their present
    form.
    """
    verbose = given.pop("verbose", True)
    padding, truncation = given.pop("padding", False), given.pop("truncation", None)
    limit = whole_number("max_length", given.pop("max_length", None), at_least=1)
    if limit is not None and limit > LARGE_INTEGER:  # max_length=tokenizer.model_max_length, where that is unknown
        limit = None
    padding, truncation = _modern(tokenizer, given, padding, truncation, limit)
    if limit is not None and padding is False and not truncation:
        if verbose:
            tokenizer._say_once(
                "max_length without truncation",
                "max_length is given without truncation=, so texts are cut to it as with truncation=True. "
                "Give truncation=True, or truncation='do_not_truncate' to keep them whole.",
            )
        truncation = True
    pad, cut = _padding(padding), _truncation(truncation)
    if limit is None and (pad is PaddingStrategy.MAX_LENGTH or cut is not TruncationStrategy.DO_NOT_TRUNCATE):
        limit = tokenizer.model_max_length if tokenizer.model_max_length <= LARGE_INTEGER else None
        if limit is None:
            pad, cut = _without_limit(tokenizer, pad, cut, verbose)
    made = Settings(
        pad,
        cut,
        limit,
        whole_number("stride", given.pop("stride", 0), at_least=0) or 0,
        whole_number("pad_to_multiple_of", given.pop("pad_to_multiple_of", None), at_least=1),
        side("padding_side", given.pop("padding_side", None) or tokenizer.padding_side),
        side("truncation_side", tokenizer.truncation_side),
    )
    _check(tokenizer, made)
    return made


def _modern(tokenizer: SpecialTokens, given: dict[str, Any], padding: Any, truncation: Any, limit: Any) -> Any:
    for name in given.keys() & _OLD.keys():
        tokenizer._say_once(name, f"{name}= is deprecated; use {_OLD[name]} instead.")
    to_max = given.pop("pad_to_max_length", False)
    strategy = given.pop("truncation_strategy", None)
    if to_max and padding is False:
        padding = "longest" if limit is None else "max_length"
    return padding, truncation or strategy


def _padding(padding: bool | str | PaddingStrategy | None) -> PaddingStrategy:
    if padding is True:
        return PaddingStrategy.LONGEST
    return PaddingStrategy(padding) if padding else PaddingStrategy.DO_NOT_PAD


def _truncation(truncation: bool | str | TruncationStrategy | None) -> TruncationStrategy:
    if truncation is True:
        return TruncationStrategy.LONGEST_FIRST
    return TruncationStrategy(truncation) if truncation else TruncationStrategy.DO_NOT_TRUNCATE


def _without_limit(
    tokenizer: SpecialTokens, pad: PaddingStrategy, cut: TruncationStrategy, verbose: bool
) -> tuple[PaddingStrategy, TruncationStrategy]:
    what = "Truncation" if cut is not TruncationStrategy.DO_NOT_TRUNCATE else "padding='max_length'"
    if verbose:
        tokenizer._say_once(
            f"{what} without limit",
            f"{what} is asked for without max_length, and the files of this tokenizer name no longest input of the "
            "model, so nothing is done. Give max_length=, or set tokenizer.model_max_length.",
        )
    if pad is PaddingStrategy.MAX_LENGTH:
        pad = PaddingStrategy.DO_NOT_PAD
    return pad, TruncationStrategy.DO_NOT_TRUNCATE


def _check(tokenizer: SpecialTokens, made: Settings) -> None:
    if made.pads and (tokenizer.pad_token is None or (tokenizer.pad_token_id or 0) < 0):
        raise InputError(
            "This tokenizer has no padding token. Set one, for example tokenizer.pad_token = tokenizer.eos_token, or "
            "add one with tokenizer.add_special_tokens({'pad_token': '[PAD]'})."
        )
    multiple = made.pad_to_multiple_of
    if made.pads and made.truncates and multiple and made.max_length and made.max_length % multiple:
        raise InputError(
            f"max_length={made.max_length} is not a multiple of pad_to_multiple_of={multiple}, so a text cut to the "
            "first cannot be padded to the second. "
            f"Use max_length={made.max_length // multiple * multiple or multiple}."
        )


def whole_number(name: str, value: Any, at_least: int) -> int | None:
    """`value` as an int, None kept; ArgumentError for another type, InputError below `at_least`."""
    if value is None:
        return None
    try:
        number = operator.index(value) if not isinstance(value, bool) else None
    except TypeError:
        number = None
    if number is None:
        raise ArgumentError(f"{name} must be a whole number, not {type(value).__name__}: {value!r}.")
    if number < at_least:
        raise InputError(f"{name}={number} is too small: it must be {at_least} or more, or left out.")
    return number


def side(name: str, value: str) -> str:
    """`value` if it is a side; InputError otherwise."""
    if value not in ("left", "right"):
        raise InputError(f"{name} must be 'left' or 'right', not {value!r}.")
    return value


_OLD = {"pad_to_max_length": "padding='max_length'", "truncation_strategy": "truncation="}


def refuse(function: str, extra: dict[str, Any], known: Sequence[str]) -> None:
    """ArgumentError for the first keyword in `extra`."""
    for name in extra:
        raise ArgumentError(f"{function}() has no argument {name!r}.{near(name, known)}")


@dataclass(frozen=True)
class Texts:
    """What a call is about: one input per row, each a text, a list of words, or a pair of these."""

    rows: list[Any]
    batched: bool
    words: bool


def texts(text: Any, pair: Any, words: bool, name: str = "text") -> Texts:
    """Tell one text from a batch, and join a batch with its second texts."""
    if not isinstance(text, (list, tuple)) and (words or not isinstance(text, str)):
        raise _not_text(text, words, name)
    batched = isinstance(text, (list, tuple))
    if words:
        batched = bool(text) and isinstance(text[0], (list, tuple))
    if not batched:
        if pair is None or (
            isinstance(pair, (str, list, tuple)) and not pair
        ):  # as in Transformers, but not in a batch
            return Texts([text], False, words)
        if isinstance(pair, (list, tuple)) is not words:
            raise ArgumentError(
                f"{name}_pair must be {_form(words)}, as {name} is, not {type(pair).__name__}: {pair!r}."
            )
        return Texts([(text, pair)], False, words)
    if pair is None:
        return Texts(list(text), True, words)
    if not isinstance(pair, (list, tuple)):
        raise ArgumentError(f"{name} is a list, so {name}_pair must be a list of as many, not {type(pair).__name__}.")
    if len(pair) != len(text):
        raise InputError(
            f"{name} has {len(text)} rows and {name}_pair has {len(pair)}: each row needs its second text."
        )
    return Texts(list(zip(text, pair, strict=True)), True, words)


def _form(words: bool) -> str:
    return "a list of words" if words else "a string"


def _not_text(text: Any, words: bool, name: str) -> ArgumentError:
    if isinstance(text, str):
        return ArgumentError(
            f"{name} is a string, and is_split_into_words=True needs a list of words (or a list of such lists). "
            f"Leave is_split_into_words out, or give {name}.split()."
        )
    hint = {"bytes": " Decode it first: .decode('utf-8').", "NoneType": " Is a value missing?"}.get(
        type(text).__name__, " Give .tolist() of it." if hasattr(text, "tolist") else ""
    )
    shown = repr(text) if len(repr(text)) < 80 else repr(text)[:77] + "…"
    return ArgumentError(
        f"{name} must be {'a list of words' if words else 'a string or a list of strings'}, "
        f"not {type(text).__name__}: {shown}.{hint}"
    )


def explain(batch: Texts, name: str = "text") -> Exception | None:
    """The error for the first row that is not text; None when all are."""
    for index, row in enumerate(batch.rows):
        where = f"{name}[{index}]" if batch.batched else name
        pair = not isinstance(row, str) and (not batch.words or (bool(row) and isinstance(row[0], (list, tuple))))
        if pair and isinstance(row, (list, tuple)) and len(row) != 2:
            return InputError(
                f"{where} is a list of {len(row)}; a row is a string or a pair of strings. "
                "For texts that are split into words give is_split_into_words=True."
            )
        parts = list(row) if pair and isinstance(row, (list, tuple)) else [row]
        for place, part in enumerate(parts):
            label = f"{where}[{place}]" if len(parts) > 1 else where
            wrong = _explain_words(part, label) if batch.words else _explain_string(part, label)
            if wrong:
                return wrong
    return None


def _explain_words(words: Any, where: str) -> Exception | None:
    if not isinstance(words, (list, tuple)):
        return ArgumentError(f"{where} must be a list of words, not {type(words).__name__}: {words!r}.")
    found = (_explain_string(word, f"{where}[{index}]") for index, word in enumerate(words))
    return next((wrong for wrong in found if wrong), None)


def _explain_string(text: Any, where: str) -> Exception | None:
    if not isinstance(text, str):
        return _not_text(text, False, where)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return InputError(
            f"{where} holds half a character, {text[error.start]!r}, at position {error.start}: a lone surrogate, "
            "which no encoding can write. Replace it first: text.encode('utf-8', 'replace').decode('utf-8')."
        )
    return None
