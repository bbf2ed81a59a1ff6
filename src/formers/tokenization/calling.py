"""The part of a tokenizer that turns text into ids: the call and its older forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from tokenizers import Encoding

from ..errors import ArgumentError, InputError
from . import arguments, backend, cutting
from .arguments import Settings, Texts
from .encoding import BatchEncoding
from .rows import Rows
from .types import PaddingStrategy, TensorType, TruncationStrategy

_CALL_ARGUMENTS = [
    "text", "text_pair", "text_target", "text_pair_target", "add_special_tokens", "padding", "truncation",
    "max_length", "stride", "is_split_into_words", "pad_to_multiple_of", "padding_side", "return_tensors",
    "return_token_type_ids", "return_attention_mask", "return_overflowing_tokens", "return_special_tokens_mask",
    "return_offsets_mapping", "return_length", "split_special_tokens", "verbose",
]  # fmt: skip


# keyword -> (column, attribute of tokenizers.Encoding), in the order of the columns
_COLUMNS = {
    "return_token_type_ids": ("token_type_ids", "type_ids"),
    "return_attention_mask": ("attention_mask", "attention_mask"),
    "return_special_tokens_mask": ("special_tokens_mask", "special_tokens_mask"),
    "return_offsets_mapping": ("offset_mapping", "offsets"),
}


_SAMPLES = "overflow_to_sample_mapping"


class Calling(Rows):
    """Text to ids."""

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenize a text, a list of texts, a list of words (`is_split_into_words`) or a list of these; or pairs.

        `padding`: True or "longest" (to the longest row), "max_length", False. `truncation`: True or "longest_first",
        "only_first", "only_second", False; to `max_length` tokens, or to what the model can take. With
        `return_overflowing_tokens`, what is cut off follows in rows of its own, each repeating the `stride` last tokens
        of the one before; `overflow_to_sample_mapping` tells whose they are. `return_tensors`: "pt", "np" or None for
        lists. Also: `pad_to_multiple_of`, `padding_side`, `return_token_type_ids`, `return_attention_mask`,
        `return_special_tokens_mask`, `return_offsets_mapping`, `return_length`, `split_special_tokens`, `verbose`.
        `text_target` is tokenized too, and its ids are the column `labels`.

        Errors: InputError and ArgumentError, naming the row; a misspelt keyword is an ArgumentError.
        """
        given = {
            "add_special_tokens": add_special_tokens,
            "padding": padding,
            "truncation": truncation,
            "max_length": max_length,
            "stride": stride,
            "is_split_into_words": is_split_into_words,
            "return_tensors": return_tensors,
            **(kwargs.pop("tokenizer_kwargs", None) or {}),
            **kwargs,
        }
        if text is None and text_target is None:
            raise ArgumentError(
                f"{type(self).__name__} was called with no text: text is None. Give a string or a list of strings."
            )
        if text is None:
            return self._encode(text_target, text_pair_target, given, "text_target")
        found = self._encode(text, text_pair, given)
        if text_target is not None:
            found["labels"] = self._encode(text_target, text_pair_target, given, "text_target")["input_ids"]
        return found

    def _encode(
        self,
        text: Any,
        pair: Any,
        given: dict[str, Any],
        name: str = "text",
        single: bool = False,
        beside: Callable[[Encoding, int], dict[str, Any]] | None = None,
    ) -> BatchEncoding:
        """beside: from a row, and the number of the text that it is of, to further columns of that row."""
        given = dict(given)
        watched = given.get("max_length") is None and given.get("verbose", True)
        made = arguments.settings(self, given)
        tensors = given.pop("return_tensors", None)
        kind = TensorType(tensors) if tensors is not None else None
        overflow = given.pop("return_overflowing_tokens", False)
        specials = given.pop("add_special_tokens", True)
        as_text = given.pop("split_special_tokens", None)
        batch = self._texts(text, pair, given.pop("is_split_into_words", False), name)
        wanted = {key: given.pop(key) for key in (*_COLUMNS, "return_length") if key in given}
        arguments.refuse("tokenizer", given, _CALL_ARGUMENTS)
        if single and batch.batched:
            raise ArgumentError(f"{name} is a batch, and this method takes one text. Call the tokenizer itself.")
        as_text = self.split_special_tokens if as_text is None else bool(as_text)
        encodings = self._run(batch, made, specials, as_text, name, overflow)
        columns, rows = self._columns(encodings, overflow, wanted)
        if beside is not None:
            more = [beside(*row) for row in zip(rows, columns.get(_SAMPLES, range(len(rows))), strict=True)]
            columns |= {key: [row[key] for row in more] for key in (more[0] if more else ())}
        if watched:
            self._warn_if_too_long(max(map(len, rows), default=0))
        if not batch.batched and kind is None and not overflow:
            columns = {key: value[0] if isinstance(value[0], list) else value for key, value in columns.items()}
        return BatchEncoding(columns, rows, tensor_type=kind)

    def _texts(self, text: Any, pair: Any, words: bool, name: str = "text") -> Texts:
        """What the call is about; a recipe that cannot take split words refuses them here."""
        return arguments.texts(text, pair, words, name)

    def _run(
        self,
        batch: Texts,
        made: Settings,
        specials: bool,
        as_text: bool,
        name: str = "text",
        overflow: bool = False,
        offsets: bool = True,
    ) -> list[Encoding]:
        if made.truncates:
            room = self._room(batch, made, specials)
            if not overflow:
                batch = self._shorten(batch, made, room)
        pad = (self.pad_token_id or 0, self.pad_token_type_id, self.pad_token or "") if made.pads else (0, 0, "")
        return backend.encode(self._views.get(self._tokenizer, made, pad, as_text), batch, specials, name, offsets)

    def _shorten(self, batch: Texts, made: Settings, room: int) -> Texts:
        if made.truncation_side == "right":
            return cutting.shorten(self._views.bare(self._tokenizer), batch, room, made.truncation)
        return batch

    def _room(self, batch: Texts, made: Settings, specials: bool) -> int:
        """Tokens that truncation leaves for the text itself; InputError when the special ones fill it all."""
        limit = cast(int, made.max_length)
        pair = any(len(cutting.parts(row, batch.words)) == 2 for row in batch.rows)
        own = self.num_special_tokens_to_add(pair) if specials else 0
        if limit < own:
            what = "a pair" if pair else "a text"
            raise InputError(
                f"max_length={limit} is too small: {what} gets {own} special tokens. "
                f"Give max_length={own + 1} or more, or add_special_tokens=False."
            )
        if made.stride and made.stride >= limit - own:
            raise InputError(
                f"stride={made.stride} is too large: max_length={limit} leaves {limit - own} tokens for the text, and "
                "the stride must be smaller than that."
            )
        return limit - own

    def _columns(
        self, encodings: list[Encoding], overflow: bool, wanted: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Encoding]]:
        rows, samples = encodings, None
        if overflow:
            samples = [index for index, row in enumerate(encodings) for _ in range(1 + len(row.overflowing))]
            rows = [part for row in encodings for part in (row, *row.overflowing)]
        columns: dict[str, list[Any]] = {"input_ids": [row.ids for row in rows]}
        for key, (name, attribute) in _COLUMNS.items():
            want = wanted.get(key)
            if name in self.model_input_names if want is None else want:
                columns[name] = [getattr(row, attribute) for row in rows]
        if wanted.get("return_length"):
            columns["length"] = [len(row) for row in rows]
        if samples is not None:
            columns[_SAMPLES] = samples
        return columns, rows

    def _warn_if_too_long(self, longest: int) -> None:
        if self.model_max_length < longest:
            self._say_once(
                "too long",
                f"A text of {longest} tokens is longer than the {self.model_max_length} that the model can take; the "
                "model will refuse it or fail. Give truncation=True to cut such texts.",
            )

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **kwargs: Any) -> Any:
        """The ids of one text, or of a list of tokens or of ids, with special tokens added."""
        return self.encode_plus(text, text_pair, add_special_tokens=add_special_tokens, **kwargs)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **kwargs: Any) -> BatchEncoding:
        """Tokenize one text or pair, given as strings, as lists of tokens, or as lists of ids."""
        as_ids = isinstance(text, (list, tuple)) or isinstance(text_pair, (list, tuple))
        if not as_ids or kwargs.get("is_split_into_words"):
            return self._encode(text, text_pair, kwargs, single=True)
        kwargs.pop("is_split_into_words", None)
        pair_ids = self._as_ids(text_pair, "text_pair") if text_pair is not None else None
        tensors = kwargs.get("return_tensors") is not None
        return self.prepare_for_model(self._as_ids(text, "text"), pair_ids, **kwargs, prepend_batch_axis=tensors)

    def _as_ids(self, text: Any, name: str) -> list[int]:
        if isinstance(text, str):
            plain = {"add_special_tokens": False, "verbose": False}
            return cast("list[int]", self._encode(text, None, plain, name)["input_ids"])
        return [self._as_id(item, f"{name}[{index}]") for index, item in enumerate(text)]

    def _as_id(self, item: Any, where: str) -> int:
        number = self._id(item) if isinstance(item, str) else arguments.whole_number(where, item, at_least=0)
        if number is None:
            raise ArgumentError(f"{where} is {item!r}, and must be a token of the vocabulary or an id.")
        return number

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **kwargs: Any) -> BatchEncoding:
        """Tokenize a list of texts or pairs."""
        if not isinstance(batch_text_or_text_pairs, (list, tuple)):
            kind = type(batch_text_or_text_pairs).__name__
            raise ArgumentError(
                f"batch_encode_plus needs a list of texts, not {kind}. For one text call the tokenizer."
            )
        return self._encode(batch_text_or_text_pairs, None, kwargs)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The token strings of a text, without special tokens unless asked."""
        given = {"add_special_tokens": add_special_tokens, "verbose": False, **kwargs}
        return self._encode(text, pair, given, single=True).tokens()

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        """The old name of `tokenize` for a text in which no special token is looked for; here they are."""
        return self.tokenize(text)

    def prepare_seq2seq_batch(
        self,
        src_texts: Any,
        tgt_texts: Any = None,
        max_length: int | None = None,
        max_target_length: int | None = None,
        padding: bool | str | PaddingStrategy = "longest",
        return_tensors: str | TensorType | None = None,
        truncation: bool | str | TruncationStrategy | None = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Texts, and as `labels` what is to be written from them; `text_target=` in the call is its present form.

        max_length: of texts, and of targets where max_target_length does not say. src_lang, tgt_lang: for tokenizers of
        several languages, which keep them.
        """
        self._say_once("prepare_seq2seq_batch", "prepare_seq2seq_batch() is deprecated; call the tokenizer.")
        for name in ("src_lang", "tgt_lang"):
            if (language := kwargs.pop(name, None)) is not None and hasattr(self, name):
                setattr(self, name, language)
        options = {"padding": padding, "truncation": truncation, "return_tensors": return_tensors, **kwargs}
        found = self(src_texts, max_length=max_length, **options)
        if tgt_texts is not None:
            longest = max_length if max_target_length is None else max_target_length
            found["labels"] = self(text_target=tgt_texts, max_length=longest, **options)["input_ids"]
        return found

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Does nothing for most models; `text_target=` is its present form."""
        self._say_once("as_target_tokenizer", "as_target_tokenizer() is deprecated; give text_target= in the call.")
        yield
