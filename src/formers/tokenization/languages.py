"""Tokenizers that are two: one for what is read, one for what is to be written.

    tokenizer(text, text_target=…)   ─▶ input_ids as the source's, labels as the target's

The second is the first with something else around texts, or with pieces of another vocabulary. No call changes either.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from tokenizers.processors import TemplateProcessing

from ..errors import ArgumentError, near
from . import backend
from .base import PreTrainedTokenizerFast
from .encoding import BatchEncoding


class TwoSided(PreTrainedTokenizerFast):
    """A tokenizer with another one for targets, which `made_for_targets` makes."""

    _targeting = False  # whether a block asks for the target's side in every call
    _is_target = False

    def made_for_targets(self) -> Any:
        """The tokenizer of targets: a copy of this one, changed."""
        raise NotImplementedError

    def for_targets(self) -> Any:
        """The tokenizer of targets, made anew only where something changed."""
        return self if self._is_target else self._views.once(self._tokenizer, self.side(), self.made_for_targets)

    def side(self) -> tuple[Any, ...]:
        """What the tokenizer of targets depends on beside the tokenizer itself."""
        return ("targets",)

    def changed(self, tokenizer: Any) -> Any:
        """A copy of this tokenizer around another one of the library's."""
        made = copy.copy(self)
        made._tokenizer, made._views, made._is_target = tokenizer, backend.Views(), True
        return made

    def _encode(
        self, text: Any, pair: Any, given: dict[str, Any], name: str = "text", single: bool = False, beside: Any = None
    ) -> BatchEncoding:
        if not self._is_target and (name == "text_target" or self._targeting):
            found: BatchEncoding = self.for_targets()._encode(text, pair, given, name, single, beside)
            return found
        return super()._encode(text, pair, given, name, single, beside)

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """In this block every call is for targets, in all threads; `text_target=` is its present form."""
        self._say_once("as_target_tokenizer", "as_target_tokenizer() is deprecated; give text_target= in the call.")
        self._switch_to_target_mode()
        try:
            yield
        finally:
            self._switch_to_input_mode()

    def _switch_to_target_mode(self) -> None:
        self._targeting = True

    def _switch_to_input_mode(self) -> None:
        self._targeting = False


class MultilingualTokenizer(TwoSided):
    """A tokenizer whose texts say their language: `src_lang`, and `tgt_lang` for targets.

    CODES: the languages. LANGUAGE: the one of texts where nobody says. FIRST: whether it stands before a text, or after
    its end.
    """

    CODES: ClassVar[tuple[str, ...]] = ()
    LANGUAGE: ClassVar[str] = ""
    FIRST: ClassVar[bool] = True

    def _start(self, made: Any, options: dict[str, Any]) -> None:
        more = [str(token) for token in options.get("additional_special_tokens") or ()]
        codes = [self.token_of(code) for code in self.CODES]
        options["additional_special_tokens"] = [*codes, *(token for token in more if token not in codes)]
        made.add_special_tokens(codes)  # where the vocabulary has them not, they come after it
        super()._start(made, options)
        self.init_kwargs.pop("additional_special_tokens", None)
        self.tgt_lang: str | None = options.get("tgt_lang")
        self.src_lang = options.get("src_lang") or self.LANGUAGE

    def token_of(self, language: str) -> str:
        """The token that stands for a language."""
        return language

    def language_id(self, language: str) -> int:
        """The id of a language's token, of CODES or one that was added. Errors: ArgumentError for another."""
        token = self.token_of(language) if isinstance(language, str) else ""
        number = self._tokenizer.token_to_id(token)
        if number is None or (language not in self.CODES and number not in self.added_tokens_decoder):
            alike = [code for code in self.CODES if code[:2].lower() == str(language)[:2].lower()]
            known = near(language, self.CODES) or (near(alike[0], alike) if alike else "")
            raise ArgumentError(
                f"{language!r} is no language of this tokenizer.{known} There are "
                f"{', '.join(self.CODES[:4])}… : see {type(self).__name__}.CODES."
            )
        return number

    @property
    def lang_code_to_id(self) -> dict[str, int]:
        """{language: id of its token}."""
        return {code: self.language_id(code) for code in self.CODES}

    @property
    def id_to_lang_code(self) -> dict[int, str]:
        """{id of its token: language}."""
        return {number: code for code, number in self.lang_code_to_id.items()}

    @property
    def src_lang(self) -> str:
        """The language of texts."""
        return self._src_lang

    @src_lang.setter
    def src_lang(self, language: str) -> None:
        self._tokenizer.post_processor = self.around(language)
        self._src_lang = language
        self.cur_lang_code = self.cur_lang_code_id = self.cur_lang_id = self.language_id(language)

    def set_src_lang_special_tokens(self, src_lang: str) -> None:
        """Set the language of texts."""
        self.src_lang = src_lang

    @property
    def prefix_tokens(self) -> list[int]:
        """Ids before a text."""
        return [self.cur_lang_code] if self.FIRST else []

    @property
    def suffix_tokens(self) -> list[int | None]:
        """Ids after a text."""
        return [self.eos_token_id] if self.FIRST else [self.eos_token_id, self.cur_lang_code]

    def around(self, language: str) -> TemplateProcessing:
        """What is put around texts of a language."""
        end, code = (self.eos_token, self.eos_token_id), (self.token_of(language), self.language_id(language))
        first, last = ([code], [end]) if self.FIRST else ([], [end, code])
        before, after = [token for token, _ in first], [token for token, _ in last]
        single, pair = [*before, "$A", *after], [*before, "$A", "$B", *after]
        return TemplateProcessing(single, pair, special_tokens=[*first, *last])

    def side(self) -> tuple[Any, ...]:
        return ("targets", self.tgt_lang or self.src_lang)

    def made_for_targets(self) -> Any:
        tokenizer = backend.view(self._tokenizer)
        tokenizer.post_processor = self.around(self.tgt_lang or self.src_lang)
        return self.changed(tokenizer)

    def _build_translation_inputs(
        self, raw_inputs: Any, *, src_lang: str | None = None, tgt_lang: str | None = None, **options: Any
    ) -> BatchEncoding:
        """For pipelines: what `generate` needs to translate."""
        if src_lang is None or tgt_lang is None:
            raise ArgumentError(
                f"{type(self).__name__} needs src_lang and tgt_lang to translate from one to the other."
            )
        self.src_lang = src_lang
        found = self(raw_inputs, add_special_tokens=True, **options)
        found["forced_bos_token_id"] = self.language_id(tgt_lang)
        return found
