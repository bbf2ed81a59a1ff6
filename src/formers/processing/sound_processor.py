"""Processors of sound: a feature extractor and a tokenizer as one, for models that hear and write."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from .. import hub, registry
from ..errors import ArgumentError, near
from ..tokenization import PreTrainedTokenizer
from .feature import BatchFeature
from .files import class_names, sound_values
from .processor import ProcessorMixin
from .sequence import SequenceFeatureExtractor

P = TypeVar("P", bound="SoundProcessorMixin")
_PARTS = ("text_kwargs", "audio_kwargs", "common_kwargs")
_TEXT_ARGUMENTS = (
    "padding_side", "pad_to_multiple_of", "return_token_type_ids", "return_attention_mask", "return_length", "verbose",
    "return_overflowing_tokens", "return_special_tokens_mask", "return_offsets_mapping", "split_special_tokens",
)  # fmt: skip
_OF_BOTH = ("pad_to_multiple_of", "return_attention_mask")


class SoundProcessorMixin(ProcessorMixin):
    """A feature extractor and a tokenizer. A family's processor names its two classes.

    Attributes:
        feature_extractor: what sounds go through.
        tokenizer: what texts go through.
        current_processor: the first, or within `as_target_processor()` the second: what older code calls.
    """

    feature_extractor_class: ClassVar[type[SequenceFeatureExtractor]] = SequenceFeatureExtractor
    attributes: ClassVar[list[str]] = ["feature_extractor", "tokenizer"]
    first = "feature_extractor"
    text_alone: ClassVar[bool] = False  # whether texts beside sounds are inputs of the model, and not its labels

    def __init__(
        self, feature_extractor: Any = None, tokenizer: Any = None, *, chat_template: str | None = None
    ) -> None:
        kinds = {"feature_extractor": SequenceFeatureExtractor, "tokenizer": PreTrainedTokenizer}
        for (name, kind), given in zip(kinds.items(), (feature_extractor, tokenizer), strict=True):
            if not isinstance(given, kind):
                wanted = getattr(self, f"{name}_class").__name__
                raise ArgumentError(
                    f"{type(self).__name__}(feature_extractor, tokenizer) needs a {name.replace('_', ' ')}, such as "
                    f"{wanted}.from_pretrained(…), got {type(given).__name__}."
                )
        self.sounds, self.tokenizer = feature_extractor, tokenizer
        self.current_processor = feature_extractor
        if chat_template is not None:
            tokenizer.chat_template = chat_template

    @property
    def feature_extractor(self) -> Any:
        """What sounds go through."""
        return self.sounds

    @property
    def model_input_names(self) -> list[str]:
        """What its models read of sounds, and `labels`, their texts."""
        names = self.tokenizer.model_input_names if self.text_alone else ["labels"]
        return list(dict.fromkeys([*self.sounds.model_input_names, *names]))

    # ---- calls

    def __call__(self, *inputs: Any, audio: Any = None, text: Any = None, **kwargs: Any) -> Any:
        """What a model reads of sounds; the ids of texts; or sounds with the ids of their texts as `labels`.

        Args:
            audio: sounds as the feature extractor takes them; alone it may go without its name, and older code calls it
                `raw_speech` or `audios`. `sampling_rate` says that of arrays.
            text: a text or a list of them, as the tokenizer takes them.
            kwargs: arguments of the feature extractor, and of the tokenizer; or those apart, as `audio_kwargs={…}` and
                `text_kwargs={…}`. What both have, such as `padding` and `return_tensors`, goes to both.
        """
        if inputs and self.current_processor is self.tokenizer:
            return self.tokenizer(*inputs, **kwargs)
        if len(inputs) > 2:
            raise ArgumentError(f"{type(self).__name__}(audio, text) was given {len(inputs)} arguments without names.")
        first, second = (*inputs, None, None)[:2]
        audio = self._one("audio", first, audio, kwargs.pop("raw_speech", None), kwargs.pop("audios", None))
        text = self._one("text", second, text)
        if audio is None and text is None:
            raise ArgumentError(f"{type(self).__name__} needs audio=, text=, or both.")
        of_sound, of_text = self._shared(kwargs)
        if text is None:
            self._check_names(of_text)
        words = None if text is None else self.tokenizer(text, **of_text)
        if audio is None:
            return words
        heard = self.sounds(audio, **of_sound)
        return heard if words is None else self.together(heard, words)

    def _one(self, name: str, *given: Any) -> Any:
        """The one of several that was given; None for none."""
        found = [one for one in given if one is not None]
        if len(found) > 1:
            raise ArgumentError(f"{type(self).__name__} got {name} twice, by two names or with its name and without.")
        return found[0] if found else None

    def together(self, heard: BatchFeature, words: Any) -> BatchFeature:
        """Both in one."""
        heard.update(dict(words) if self.text_alone else {"labels": words["input_ids"]})
        return heard

    def _shared(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments of the feature extractor, and those of the tokenizer."""
        parts = {name: kwargs.pop(name, None) or {} for name in _PARTS}
        for name, part in parts.items():
            if not isinstance(part, Mapping):
                raise ArgumentError(f"{name} is a dictionary of arguments, got {type(part).__name__}.")
        both = {**kwargs, **parts["common_kwargs"]}
        called = inspect.signature(type(self.sounds).__call__).parameters
        of_both = {*inspect.signature(type(self.tokenizer).__call__).parameters, *_OF_BOTH}
        # the side is that of texts: a sound that begins with silence is another one
        known = {*self.sounds.keys(), *self.sounds.ignored, *called} - {"self", "kwargs", "padding_side"}
        of_sound = {name: value for name, value in both.items() if name in known}
        of_text = {name: value for name, value in both.items() if name not in known or name in of_both}
        of_text.pop("sampling_rate", None)
        return {**of_sound, **parts["audio_kwargs"]}, {**of_text, **parts["text_kwargs"]}

    def _check_names(self, of_text: dict[str, Any]) -> None:
        """Refuse a keyword that neither part has, in a call with sounds alone."""
        known = {*_TEXT_ARGUMENTS, *inspect.signature(type(self.tokenizer).__call__).parameters}
        for name in of_text.keys() - known:
            names = [*self.sounds.keys(), *inspect.signature(type(self.sounds).__call__).parameters, *known]
            raise ArgumentError(f"{type(self).__name__} has no argument {name!r}.{near(name, names)}")

    def pad(self, *inputs: Any, labels: Any = None, **kwargs: Any) -> Any:
        """A batch of what was made of sounds, of their `labels`, or of both, each as its part pads."""
        if inputs and self.current_processor is self.tokenizer:
            return self.tokenizer.pad(*inputs, **kwargs)
        named = [kwargs.pop(name, None) for name in ("input_features", "input_values")]
        features = inputs[0] if inputs else next((one for one in named if one is not None), None)
        if features is None and labels is None:
            raise ArgumentError(f"{type(self).__name__}.pad needs what was made of sounds, labels=, or both.")
        padded = None if features is None else self.sounds.pad(features, *inputs[1:], **kwargs)
        words = None if labels is None else self.tokenizer.pad(labels, **kwargs)
        if padded is None:
            return words
        if words is not None:
            padded["labels"] = words["input_ids"]
        return padded

    @contextmanager
    def as_target_processor(self) -> Iterator[None]:
        """Within it a call goes to the tokenizer: for code of 4.20."""
        self.current_processor = self.tokenizer
        try:
            yield
        finally:
            self.current_processor = self.sounds

    # ---- files

    @classmethod
    def from_pretrained(cls: type[P], pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> P:
        """Load both parts from a folder or a hub name. Keywords are the hub's, and settings of the extractor."""
        return cls(*cls.loaded_parts(pretrained_model_name_or_path, kwargs))

    @classmethod
    def loaded_parts(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], kwargs: dict[str, Any]
    ) -> tuple[Any, Any]:
        """The feature extractor and the tokenizer, loaded; the keywords are those of `from_pretrained`."""
        where = hub.hub_arguments(kwargs)
        source = hub.locate(pretrained_model_name_or_path, **where)
        values, _ = sound_values(source) or ({}, None)
        found = (registry.find_class(name) for name in class_names(values))
        kinds = (c for c in found if c is not None and issubclass(c, SequenceFeatureExtractor))
        kind = next(kinds, cls.feature_extractor_class)
        settings = {name: kwargs.pop(name) for name in list(kwargs) if name in {*kind.keys(), "use_fast"}}
        sounds = kind.from_pretrained(pretrained_model_name_or_path, **where, **settings)
        tokenizer = cls._tokenizer_class(source).from_pretrained(pretrained_model_name_or_path, **where, **kwargs)
        return sounds, tokenizer
