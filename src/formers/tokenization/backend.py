"""Running a `tokenizers.Tokenizer` that is never changed by a call.

The library keeps truncation and padding inside the tokenizer object. Changing them there at each call mixes up the
settings of threads that share it. Here every call that truncates or pads runs on a *view*: a second Tokenizer around
the same vocabulary, normalizer, pre-tokenizer and post-processor (they are shared, not copied: some microseconds),
whose truncation and padding are set once, before it is used, and never again.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from tokenizers import AddedToken, Encoding, Tokenizer, normalizers, pre_tokenizers, processors

from ..errors import ArgumentError, FormersError, InputError, TokenizerError
from . import patterns
from .arguments import Settings, Texts, explain
from .types import PaddingStrategy

Made = TypeVar("Made")


def view(tokenizer: Tokenizer) -> Tokenizer:
    """A Tokenizer that shares every part of `tokenizer` and has no truncation and padding."""
    made = Tokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        made.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        made.pre_tokenizer = tokenizer.pre_tokenizer
    if tokenizer.post_processor is not None:
        made.post_processor = tokenizer.post_processor
    if tokenizer.decoder is not None:
        made.decoder = tokenizer.decoder
    made.add_tokens([token for _, token in sorted(added_tokens(tokenizer).items())])
    made.encode_special_tokens = tokenizer.encode_special_tokens
    return made


def each(part: Any) -> Iterator[Any]:
    """A part of a tokenizer, or the parts that a sequence of them is made of; none of None."""
    if not isinstance(part, (normalizers.Sequence, pre_tokenizers.Sequence, processors.Sequence)):
        yield from () if part is None else (part,)
        return
    with suppress(IndexError):  # their length is not told
        for place in count():
            yield from each(part[place])


def byte_level(tokenizer: Tokenizer) -> list[Any]:
    """The parts that know of the space before a byte-level tokenizer's words: what splits first, what trims last."""
    kinds = (pre_tokenizers.ByteLevel, processors.ByteLevel, processors.RobertaProcessing)
    parts = (*each(tokenizer.pre_tokenizer), *each(tokenizer.post_processor))
    return [part for part in parts if isinstance(part, kinds)]


def set_spaces(tokenizer: Tokenizer, add_prefix_space: bool | None, trim_offsets: bool | None = None) -> None:
    """Whether a space is put before the first word, and left out of offsets; None: as it is."""
    for part in byte_level(tokenizer):
        if add_prefix_space is not None:
            part.add_prefix_space = add_prefix_space
        if trim_offsets is not None:
            part.trim_offsets = trim_offsets


def added_tokens(tokenizer: Tokenizer) -> dict[int, AddedToken]:
    """The tokens that are found before the text is split, by id."""
    return dict(tokenizer.get_added_tokens_decoder())


class Views:
    """What is made of one tokenizer once, as its views by their settings; few are kept, as programs use few."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Any] = {}

    def get(self, tokenizer: Tokenizer, settings: Settings, pad: tuple[int, int, str], as_text: bool) -> Tokenizer:
        """The view for these settings. `pad`: the padding token's id, its type id, its string."""
        tokenizer = self.bare(tokenizer)
        if not settings.truncates and not settings.pads and as_text == tokenizer.encode_special_tokens:
            return tokenizer
        return self.once(tokenizer, (settings, pad, as_text), lambda: _configured(tokenizer, settings, pad, as_text))

    def bare(self, tokenizer: Tokenizer) -> Tokenizer:
        """The tokenizer without the truncation and padding that a user may have set in it: each call says its own."""
        if tokenizer.truncation is None and tokenizer.padding is None:
            return tokenizer
        return self.once(tokenizer, ("bare",), lambda: view(tokenizer))

    def once(self, tokenizer: Tokenizer, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """What `make` gives, made again only after the tokenizer was changed; `key` says what it is."""
        key = (*key, *_fingerprint(tokenizer))
        kept = self._kept
        if key not in kept:
            if len(kept) > 16:
                kept = self._kept = {}  # a new one: other threads may be reading the old one
            kept[key] = make()
        made: Made = kept[key]
        return made


def _fingerprint(tokenizer: Tokenizer) -> Iterator[Any]:
    """What tells that the user has put other parts into the tokenizer since a view of it was made."""
    yield tokenizer.get_vocab_size()
    yield tuple(added_tokens(tokenizer).items())  # a token of the vocabulary may become one, and the size stays
    for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor):
        try:
            yield part and part.__getstate__()
        except Exception:  # parts written in Python have no saved form
            yield type(part)


def _configured(tokenizer: Tokenizer, settings: Settings, pad: tuple[int, int, str], as_text: bool) -> Tokenizer:
    tokenizer = view(tokenizer)
    tokenizer.encode_special_tokens = as_text
    if settings.truncates and settings.max_length is not None:
        tokenizer.enable_truncation(
            max_length=settings.max_length,
            stride=settings.stride,
            strategy=settings.truncation.value,
            direction=settings.truncation_side,
        )
    if settings.pads:
        tokenizer.enable_padding(
            length=settings.max_length if settings.padding is PaddingStrategy.MAX_LENGTH else None,
            direction=settings.padding_side,
            pad_to_multiple_of=settings.pad_to_multiple_of,
            pad_id=pad[0],
            pad_type_id=pad[1],
            pad_token=pad[2],
        )
    return tokenizer


def encode(
    tokenizer: Tokenizer, batch: Texts, specials: bool, name: str = "text", offsets: bool = True
) -> list[Encoding]:
    """Encode every row; what the library raises or panics with leaves as an error that names the row.

    Without `offsets`, where each token is from is not told, which costs less.
    """
    run = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
    try:
        return list(run(batch.rows, is_pretokenized=batch.words, add_special_tokens=specials))
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, FormersError)):
            raise
        raise (explain(batch, name) or _explain_run(tokenizer, batch, specials, name, error)) from error


def _explain_run(tokenizer: Tokenizer, batch: Texts, specials: bool, name: str, first: BaseException) -> Exception:
    where, found = name, first
    for index, row in enumerate(batch.rows if batch.batched else ()):
        try:
            tokenizer.encode_batch([row], is_pretokenized=batch.words, add_special_tokens=specials)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)):
                raise
            where, found = f"{name}[{index}]", error
            break
    if "Second sequence not provided" in str(found):
        return InputError(f"truncation='only_second' cuts the second text, and {where} has none. Use truncation=True.")
    cut = tokenizer.truncation or {}
    limit = cut.get("max_length")
    if "too short to respect" in str(found):
        return InputError(
            f"{where} does not fit max_length={limit} with truncation={cut['strategy']!r}: its other text "
            "alone is too long. Use truncation=True, which cuts both, or a larger max_length."
        )
    if "stride < max_len" in str(found):
        return InputError(
            f"{where} cannot be cut into windows of max_length={limit} with stride={cut['stride']}: "
            "what remains of a window for the text must be longer than the stride. Use a smaller stride."
        )
    return TokenizerError(f"{where} cannot be tokenized: {found}.")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Let what the library raises or panics with leave as a TokenizerError that says what was being done."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, FormersError)):
            raise
        raise TokenizerError(f"{what}: {error}") from error


def given(tokenizer_object: Any, tokenizer_file: str | os.PathLike[str] | None) -> Tokenizer | None:
    """A copy of the object, or what is in the tokenizer.json; None when neither is given."""
    if tokenizer_object is not None:
        if not isinstance(tokenizer_object, Tokenizer):
            kind = type(tokenizer_object).__name__
            raise ArgumentError(f"tokenizer_object must be a tokenizers.Tokenizer, not {kind}.")
        return Tokenizer.from_str(tokenizer_object.to_str())
    return None if tokenizer_file is None else open_tokenizer(tokenizer_file)


def open_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Read a tokenizer.json; TokenizerError naming the file when it cannot be."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{str(path)!r} cannot be read: {error}. Download it again.") from error
    try:
        if "charsmap" in text or "\\u00" in text:  # this name, possibly with its letters written as numbers
            _check_charsmaps(json.loads(text))
        made = Tokenizer.from_str(text)
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise TokenizerError(f"{str(path)!r} is not a tokenizer file: {_what_is_wrong(text, error)}") from error
    why = patterns.harmful(patterns.parts(made.normalizer, made.pre_tokenizer, made.decoder))
    if why := why or patterns.frames_too_much(patterns.parts(made.post_processor)):
        raise TokenizerError(f"{str(path)!r} was not opened: {why}. Get this tokenizer from its authors.")
    return made


def _check_charsmaps(value: Any) -> None:
    for part in patterns.objects(value):
        if isinstance(found := part.get("precompiled_charsmap"), str):
            check_charsmap(base64.b64decode(found, validate=True))


def check_charsmap(raw: bytes) -> None:
    """Raise ValueError for a character map that says it is longer than it is: the library makes room for all it says.

    Its first 4 bytes are the size of the table that follows them.
    """
    if len(raw) < 4 or int.from_bytes(raw[:4], "little") > len(raw) - 4:
        raise ValueError(f"its precompiled_charsmap of {len(raw):,} bytes is cut short")


def _what_is_wrong(text: str, error: BaseException) -> str:
    if text.startswith("version https://git-lfs"):
        return "it is a git-lfs pointer, not the file itself. Run `git lfs pull`, or download it again."
    try:
        json.loads(text)
    except (ValueError, RecursionError) as broken:
        start = f"it starts with {text[:40]!r}, and {broken}" if text.strip() else "it is empty"
        return f"{start}. Download it again."
    return f"{error}. Was it written by a newer version of the tokenizers library?"
