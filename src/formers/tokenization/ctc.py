"""Tokenizers of models that say a character, or nothing, for every frame of a sound.

    frames   <pad> H H <pad> E L L <pad> L O O | |    ─ repeats as one, then without <pad> ─▶   "HELLO "

Connectionist temporal classification: Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf; the
vocabulary: Baevski et al. 2020 (wav2vec 2.0, arXiv 2006.11477); of many languages: Pratap et al. 2023 (MMS, arXiv
2305.13516).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from ..errors import ArgumentError, TokenizerError, near
from . import arguments, backend
from .base import PreTrainedTokenizerFast
from .ids import as_list
from .loading import Loading, read_object

_MOST_BYTES = 50_000_000
_NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_DECODE_ARGUMENTS = [
    "token_ids", "skip_special_tokens", "clean_up_tokenization_spaces", "output_char_offsets", "output_word_offsets",
    "group_tokens", "spaces_between_special_tokens",
]  # fmt: skip


class Fields(dict[str, Any]):
    """A result with names: `found.text`, `found["text"]` and `found[0]`. What is None is no item."""

    NAMES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *values: Any, **named: Any) -> None:
        whole = [value for value in values[:1] if isinstance(value, Mapping)]
        given = {**(whole[0] if whole else dict(zip(self.NAMES, values, strict=False))), **named}
        super().__init__({name: given[name] for name in self.NAMES if given.get(name) is not None})

    def __getattr__(self, name: str) -> Any:
        if name in self.NAMES:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}.{near(name, self.NAMES)}")

    def __getitem__(self, key: Any) -> Any:
        return self.to_tuple()[key] if isinstance(key, (int, slice)) else super().__getitem__(key)

    def to_tuple(self) -> tuple[Any, ...]:
        """Those that are not None."""
        return tuple(self.values())


class Wav2Vec2CTCTokenizerOutput(Fields):
    """text: of a row or of each; char_offsets, word_offsets: [{"char" or "word", "start_offset", "end_offset"}, …] in
    frames, of a row or of each, where they were asked for."""

    NAMES = ("text", "char_offsets", "word_offsets")


class Wav2Vec2CTCTokenizer(PreTrainedTokenizerFast):
    """Characters, with a token between words and one for silence, `pad_token`.

    Args:
        vocab_file: a vocab.json, {token: id}, or {language: {token: id}}; or such a dictionary.
        word_delimiter_token: the token that spaces are.
        replace_word_delimiter_char: what that token is in decoded text.
        do_lower_case: the vocabulary has capitals alone; texts are of small letters.
        target_lang: which of a vocabulary's languages; `set_target_lang` changes it.

    Errors: TokenizerError for a broken vocabulary; ArgumentError for a language that it does not have.
    """

    vocab_files_names = {"vocab_file": "vocab.json"}
    model_input_names = ["input_ids", "attention_mask"]
    is_fast = False
    _options = (
        *Loading._options, "vocab_file", "word_delimiter_token", "replace_word_delimiter_char", "do_lower_case",
        "target_lang",
    )  # fmt: skip

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        bos_token: str | AddedToken | None = "<s>",
        eos_token: str | AddedToken | None = "</s>",
        unk_token: str | AddedToken | None = "<unk>",
        pad_token: str | AddedToken | None = "<pad>",
        word_delimiter_token: str | AddedToken | None = "|",
        replace_word_delimiter_char: str = " ",
        do_lower_case: bool = False,
        target_lang: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_names(kwargs)
        kwargs.setdefault("clean_up_tokenization_spaces", False)
        named = {"bos_token": bos_token, "eos_token": eos_token, "unk_token": unk_token, "pad_token": pad_token}
        own = {"replace_word_delimiter_char": replace_word_delimiter_char, "do_lower_case": do_lower_case}
        self.replace_word_delimiter_char, self.do_lower_case = replace_word_delimiter_char, bool(do_lower_case)
        if not isinstance(replace_word_delimiter_char, str):
            raise ArgumentError(f"replace_word_delimiter_char must be a string, not {replace_word_delimiter_char!r}.")
        if not isinstance(word_delimiter_token, (str, AddedToken, type(None))):
            raise ArgumentError(f"word_delimiter_token must be a token or None, not {word_delimiter_token!r}.")
        self._file_vocab = _vocabulary(vocab_file)
        self.target_lang = target_lang
        self._delimiter = None if word_delimiter_token is None else str(word_delimiter_token)
        delimiter = {"word_delimiter_token": self._delimiter}
        kwargs.pop("model_specific_special_tokens", None)
        options = {**named, **own, **delimiter, "target_lang": target_lang, **kwargs}
        self._start(self._made(_unknown(unk_token)), options)

    def _take_special(self, options: dict[str, Any]) -> None:
        super()._take_special(options)
        if self._delimiter is not None:
            self._special["word_delimiter_token"] = self._delimiter

    def _made(self, unknown: str | None) -> Tokenizer:
        encoder = self._chosen()
        with backend.translated("The vocabulary cannot be used"):
            made = Tokenizer(models.WordLevel(dict(encoder), unk_token=unknown or "<unk>"))
        made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        changes = _capitals(encoder) if self.do_lower_case else {}
        if self._delimiter is not None:
            changes[" "] = self._delimiter
        made.normalizer = normalizers.Sequence([normalizers.Replace(old, new) for old, new in changes.items()])
        long = [token for token in encoder if len(token) > 1]
        made.add_tokens([AddedToken(t, lstrip=True, rstrip=True, normalized=False, special=True) for t in long])
        self.encoder = dict(encoder)
        self._decoder = {number: token for token, number in encoder.items()}
        return made

    def _chosen(self) -> Mapping[str, int]:
        """The vocabulary of the language."""
        languages = [name for name, value in self._file_vocab.items() if isinstance(value, dict)]
        if not languages:
            if self.target_lang is not None:
                raise ArgumentError(
                    f"target_lang={self.target_lang!r}: the vocabulary is of no languages, {{language: {{token: …}}}}. "
                    "Leave target_lang out."
                )
            return self._file_vocab
        if self.target_lang not in languages:
            raise ArgumentError(
                f"target_lang={self.target_lang!r}: the vocabulary is of the languages {', '.join(languages[:8])}"
                f"{'…' if len(languages) > 8 else ''}.{near(str(self.target_lang), languages)}"
            )
        found: dict[str, int] = self._file_vocab[self.target_lang]
        return found

    def set_target_lang(self, target_lang: str) -> None:
        """Choose another language of the vocabulary. Errors: ArgumentError for one that it does not have."""
        before, kept = self.target_lang, self.added_tokens_decoder
        old = self.encoder
        self.target_lang = target_lang
        try:
            made = self._made(self.unk_token)
        except Exception:
            self.target_lang = before
            raise
        self._tokenizer, self._views, self._known_added = made, backend.Views(), (0, {})
        self.init_kwargs["target_lang"] = target_lang
        free = {n: token for n, token in kept.items() if token.content not in old and n not in self._decoder}
        self._tokenizer.add_tokens([token for _, token in sorted(free.items())])
        self._register({})

    # ---- tokens

    @property
    def vocab(self) -> dict[str, Any]:
        """The vocabulary as its file has it, of every language."""
        return self._file_vocab

    @property
    def decoder(self) -> dict[int, str]:
        """{id: token} of the language."""
        return self._decoder

    @property
    def word_delimiter_token(self) -> str | None:
        """The token between words."""
        return self._delimiter

    @word_delimiter_token.setter
    def word_delimiter_token(self, token: str | None) -> None:
        self._delimiter = token
        self._set_special("word_delimiter_token", token)
        self._tokenizer.normalizer = self._made(self.unk_token).normalizer

    @property
    def word_delimiter_token_id(self) -> int | None:
        """Its id."""
        return None if self._delimiter is None else self._id(self._delimiter)

    def _spelled(self, number: int, added: Mapping[int, AddedToken]) -> str | None:
        if number in self._decoder:
            return self._decoder[number]
        return added[number].content if number in added else self.unk_token

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The tokens of a text; `unk_token` for what the vocabulary does not have."""
        given = {"add_special_tokens": add_special_tokens, "verbose": False, **kwargs}
        found: list[str] = self.convert_ids_to_tokens(self._encode(text, pair, given, single=True)["input_ids"])
        return found

    # ---- decoding

    def convert_tokens_to_string(  # type: ignore[override]
        self,
        tokens: Sequence[str],
        group_tokens: bool = True,
        spaces_between_special_tokens: bool = False,
        output_char_offsets: bool = False,
        output_word_offsets: bool = False,
    ) -> dict[str, Any]:
        """{"text", "char_offsets", "word_offsets"} of the tokens of frames; offsets None where they are not asked for.

        group_tokens: whether repeats are one; spaces_between_special_tokens: a space between all tokens.
        """
        if not tokens:
            return {"text": "", "char_offsets": [], "word_offsets": []}
        runs = [(token, len(list(run))) for token, run in groupby(tokens)] if group_tokens else [(t, 1) for t in tokens]
        chars: list[dict[str, Any]] = []
        start = 0
        for token, length in runs:
            if token != self.pad_token:
                char = self.replace_word_delimiter_char if token == self._delimiter else token
                chars.append({"char": char, "start_offset": start, "end_offset": start + length})
            start += length
        text = (" " if spaces_between_special_tokens else "").join(one["char"] for one in chars).strip()
        return {
            "text": text.lower() if self.do_lower_case else text,
            "char_offsets": chars if output_char_offsets else None,
            "word_offsets": self._between(chars) if output_word_offsets else None,
        }

    def _between(self, chars: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        runs = groupby(chars, lambda one: one["char"] == self.replace_word_delimiter_char)
        words = [list(run) for between, run in runs if not between]
        return [
            {
                "word": "".join(one["char"] for one in word),
                "start_offset": word[0]["start_offset"],
                "end_offset": word[-1]["end_offset"],
            }
            for word in words
        ]

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        output_char_offsets: bool = False,
        output_word_offsets: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The text of the ids of frames, of which each run of one is one, and those of `pad_token` nothing.

        Args:
            token_ids: a list (array, tensor) of ids, such as the most probable one of every frame.
            skip_special_tokens: leave special tokens out. The silence between two equal letters is one: with it they
                become one letter, so that labels alone are decoded so, with group_tokens=False.
            clean_up_tokenization_spaces: close up spaces before punctuation; the setting where None.
            output_char_offsets, output_word_offsets: give a Wav2Vec2CTCTokenizerOutput instead, with where in the
                frames each character or word is. `model.config.inputs_to_logits_ratio / sampling_rate` seconds are one.
            group_tokens: whether repeats are one, True; False for labels, which have no silence in them.
            spaces_between_special_tokens: a space between all tokens, False.
        """
        given = {key: value for key, value in kwargs.items() if key != "use_source_tokenizer"}
        how = {
            "group_tokens": given.pop("group_tokens", True),
            "spaces_between_special_tokens": given.pop("spaces_between_special_tokens", False),
        }
        arguments.refuse("decode", given, _DECODE_ARGUMENTS)
        ids = as_list(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        if not isinstance(ids, list):
            raise ArgumentError(f"decode() needs ids, a list of whole numbers, not {type(token_ids).__name__}.")
        offsets = {"output_char_offsets": output_char_offsets, "output_word_offsets": output_word_offsets}
        if ids and isinstance(ids[0], list):
            return self.batch_decode(ids, skip_special_tokens, clean_up_tokenization_spaces, **offsets, **how)
        tokens = self.convert_ids_to_tokens(ids)
        if skip_special_tokens:
            leave = {*self.all_special_tokens} - {self._delimiter}
            if how["group_tokens"] and self._loses_letters(tokens):
                self._say_once(
                    "silence",
                    "skip_special_tokens=True leaves out the silence between two equal letters, which become one: "
                    "decode what a model heard without it.",
                )
            tokens = [token for token in tokens if token not in leave]
        found = self.convert_tokens_to_string(tokens, **how, **offsets)
        clean = clean_up_tokenization_spaces
        if self.clean_up_tokenization_spaces if clean is None else clean:
            found["text"] = self.clean_up_tokenization(found["text"])
        return Wav2Vec2CTCTokenizerOutput(**found) if any(offsets.values()) else found["text"]

    def _loses_letters(self, tokens: Sequence[str]) -> bool:
        near_silence = zip(tokens, tokens[1:], tokens[2:], strict=False)
        return any(one == other != blank == self.pad_token for one, blank, other in near_silence)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        output_char_offsets: bool = False,
        output_word_offsets: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The texts of a list of id lists, or of a 2-d tensor; with offsets, one output of lists."""
        given = (skip_special_tokens, clean_up_tokenization_spaces, output_char_offsets, output_word_offsets)
        found = [self.decode(ids, *given, **kwargs) for ids in as_list(sequences)]
        if not (output_char_offsets or output_word_offsets) or not found:
            return found
        return Wav2Vec2CTCTokenizerOutput({name: [one[name] for one in found] for name in found[0]})

    # ---- files

    def _write(self, stage: Path, before: str, legacy_format: bool | None) -> list[str]:
        return super()._write(stage, before, True)  # other libraries have no tokenizer.json of this kind

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json, of every language."""
        path = Path(save_directory, f"{filename_prefix}-vocab.json" if filename_prefix else "vocab.json")
        text = json.dumps(self._file_vocab, indent=2, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        return (str(path),)


def _unknown(token: str | AddedToken | None) -> str | None:
    return None if token is None else str(token)


def _vocabulary(given: Any) -> dict[str, Any]:
    """What a vocab.json holds: {token: id}, or {language: {token: id}}. Errors: TokenizerError naming the file."""
    if given is None:
        raise ArgumentError(
            "A vocabulary is needed: vocab_file='vocab.json', or a dictionary {token: id}. To load one by name or "
            "folder, use from_pretrained()."
        )
    name = "The vocabulary" if isinstance(given, Mapping) else repr(os.fspath(given))
    found = dict(given) if isinstance(given, Mapping) else read_object(Path(given), _MOST_BYTES)
    nested = {key: value for key, value in found.items() if isinstance(value, dict)}
    for tokens in nested.values() if len(nested) == len(found) and found else [found]:
        for token, number in tokens.items():
            if type(number) is not int or not 0 <= number < 2**31:
                raise TokenizerError(f"{name}: the token {token[:80]!r} has no id, but {str(number)[:80]!r}.")
    return found


def _capitals(encoder: Mapping[str, int]) -> dict[str, str]:
    """{character: its capital} of what the vocabulary has, and of those of which two characters become."""
    changes = {}
    for number in (*range(0xD800), *range(0xE000, 0x10000)):
        letter = chr(number)
        capital = letter.upper()
        if capital != letter and (len(capital) > 1 or capital in encoder):
            changes[letter] = capital
    return changes
