"""translation, and translation_xx_to_yy: a text in another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import ArgumentError
from ..logging import logger
from .base import Task
from .encoding import rows
from .text2text_generation import Text2TextGenerationPipeline

_NAMED = re.compile(r"translation_([^_]+)_to_([^_]+)")


class TranslationPipeline(Text2TextGenerationPipeline):
    """Translations, {"translation_text": …}; arguments and forms as of Text2TextGenerationPipeline.

    Which languages is said by the task, as "translation_en_to_fr", or in the call, as the model names them. A model
    for one pair of languages needs none of it; T5's models have a prefix for each pair that they know.

    Args:
        src_lang, tgt_lang: the languages of the texts, and of their translations.
    """

    return_name = "translation"
    doing = "Translation"
    of_preprocess = ("src_lang", "tgt_lang")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        pairs = [name for name in self._pairs() if _NAMED.fullmatch(name)]
        if _NAMED.fullmatch(self.task) and pairs and self.task not in pairs and not self._by_language():
            logger.warning(
                f"config.task_specific_params has no {self.task}, so no prefix says what to translate to: the model "
                f"was trained for {', '.join(pairs)}, unless you trained it since."
            )

    def _sanitize_parameters(  # type: ignore[override]
        self, src_lang: str | None = None, tgt_lang: str | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        before, inside, after = super()._sanitize_parameters(**kwargs)
        said = {name: code for name, code in (("src_lang", src_lang), ("tgt_lang", tgt_lang)) if code is not None}
        return {**before, **said}, {**inside, **said}, after

    def _pairs(self) -> dict[str, Any]:
        return getattr(self.model.config, "task_specific_params", None) or {}

    def _by_language(self) -> bool:
        return callable(getattr(self.tokenizer, "_build_translation_inputs", None))

    def _languages(self, src_lang: str | None = None, tgt_lang: str | None = None, **_: Any) -> tuple[Any, Any]:
        named = _NAMED.fullmatch(self.task)
        source, target = named.groups() if named else (None, None)
        return source if src_lang is None else src_lang, target if tgt_lang is None else tgt_lang

    def of_task(self, **parameters: Any) -> dict[str, Any]:
        """What the model's configuration says of translating between these languages."""
        source, target = self._languages(**parameters)
        pairs = self._pairs()
        return dict(pairs.get(f"translation_{source}_to_{target}") or pairs.get("translation") or {})

    def _encoded(self, texts: list[str], parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
        source, target = self._languages(**parameters)
        if not self._by_language():
            self._check_pair(source, target, parameters)
            yield from super()._encoded(texts, parameters)
            return
        if source is None or target is None:
            raise ArgumentError(
                f"src_lang={source!r} and tgt_lang={target!r}: this model translates between many languages, and needs "
                'both, as its tokenizer names them: pipe(text, src_lang="en_XX", tgt_lang="fr_XX").'
            )
        options = {name: value for name, value in parameters.items() if name not in self.of_preprocess}
        options = {"padding": False, **self._with_limit(options)}
        found = self.tokenizer._build_translation_inputs(texts, src_lang=source, tgt_lang=target, **options)
        own = {name: value for name, value in found.items() if name != "forced_bos_token_id"}
        for item in rows(own):
            yield {**item, "forced_bos_token_id": found.get("forced_bos_token_id")}

    def _check_pair(self, source: Any, target: Any, parameters: dict[str, Any]) -> None:
        """Raise ArgumentError for languages that were given and that nothing of the model knows."""
        name, pairs = f"translation_{source}_to_{target}", [n for n in self._pairs() if _NAMED.fullmatch(n)]
        if not {*self.of_preprocess} & parameters.keys() or name in pairs or name == self.task:
            return
        known = f"it knows {', '.join(pairs)}" if pairs else "it translates between the two that it was trained for"
        raise ArgumentError(
            f"src_lang={source!r} and tgt_lang={target!r} would change nothing: {type(self.tokenizer).__name__} marks "
            f"no languages, and {known}. Leave them out, or choose another model."
        )


def languages_of(task: str) -> tuple[str, str] | None:
    """The two languages that the name of a task has, as "translation_en_to_fr"; None where it has none."""
    named = _NAMED.fullmatch(task)
    return None if named is None else (named[1], named[2])


TASK = Task(
    name="translation",
    pipeline=TranslationPipeline,
    auto="AutoModelForSeq2SeqLM",
    architectures=("MarianMTModel",),
    default=("google-t5/t5-base", "686f1db"),
)
