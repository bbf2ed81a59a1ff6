"""Processors: an image processor and a tokenizer as one, for models that read images and texts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from .. import hub, registry
from ..atomic import replacing
from ..config import read_json, refuse_push
from ..errors import ArgumentError, ConfigError, InputError, near
from ..tokenization import PreTrainedTokenizer
from .feature import BatchFeature
from .files import PREPROCESSOR, PROCESSOR, as_json, class_names, image_values
from .image import BaseImageProcessor
from .sources import is_source

P = TypeVar("P", bound="ProcessorMixin")
# where a part of a chat's message holds its image
IMAGE_KEYS = ("image", "url", "path", "base64", "image_url")
_UNREAD = ("video", "video_url", "audio", "audio_url", "input_audio")  # types of such parts
_PARTS = ("text_kwargs", "images_kwargs", "common_kwargs")
_OF_NO_FAMILY = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")  # the last since 5.0


class ProcessorMixin:
    """An image processor and a tokenizer.

    Attributes:
        image_processor: what images go through; `feature_extractor` is its older name.
        tokenizer: what texts go through.

    A family's processor names its two classes, and the inputs that its models do not read.
    """

    image_processor_class: ClassVar[type[BaseImageProcessor]] = BaseImageProcessor
    tokenizer_class: ClassVar[type[PreTrainedTokenizer]] = PreTrainedTokenizer
    attributes: ClassVar[list[str]] = ["image_processor", "tokenizer"]
    unused_input_names: ClassVar[tuple[str, ...]] = ()
    first: ClassVar[str] = "image_processor"  # the part that is no tokenizer

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        *,
        feature_extractor: Any = None,
        chat_template: str | None = None,
    ) -> None:
        image_processor = feature_extractor if image_processor is None else image_processor
        if not isinstance(image_processor, BaseImageProcessor):
            raise ArgumentError(
                f"{type(self).__name__}(image_processor, tokenizer): the first is an image processor, such as "
                f"{self.image_processor_class.__name__}(), got {type(image_processor).__name__}."
            )
        if not isinstance(tokenizer, PreTrainedTokenizer):
            raise ArgumentError(
                f"{type(self).__name__}(image_processor, tokenizer): the second is a tokenizer, such as "
                f"{self.tokenizer_class.__name__}.from_pretrained(…), got {type(tokenizer).__name__}."
            )
        self.image_processor, self.tokenizer = image_processor, tokenizer
        if chat_template is not None:
            tokenizer.chat_template = chat_template

    @property
    def feature_extractor(self) -> BaseImageProcessor:
        """The image processor, by its older name."""
        return self.image_processor

    @property
    def chat_template(self) -> Any:
        """The tokenizer's."""
        return self.tokenizer.chat_template

    @property
    def model_input_names(self) -> list[str]:
        """What its models read."""
        names = [*self.tokenizer.model_input_names, *self.image_processor.model_input_names]
        return [name for name in dict.fromkeys(names) if name not in self.unused_input_names]

    # ---- calls

    def __call__(self, *inputs: Any, text: Any = None, images: Any = None, **kwargs: Any) -> BatchFeature:
        """What a model reads of texts, of images, or of both.

        Args:
            inputs: `images, text`, or `text, images` as older code has it: they are told apart by what they are. A text
                alone that is an address, or the path of a file, is an image.
            text: a text or a list of them, as the tokenizer takes them.
            images: as the image processor takes them.
            kwargs: settings of the image processor for this call, and arguments of the tokenizer; or those apart, as
                `images_kwargs={…}` and `text_kwargs={…}`. `return_tensors` is for both.

        Returns:
            the tokenizer's columns (`input_ids`, `attention_mask`, …), and then the images' (`pixel_values`, …).
        """
        text, images, kwargs = self._sorted(inputs, text, images, kwargs)
        if text is None and images is None:
            raise ArgumentError(f"{type(self).__name__} needs text=, images=, or both.")
        of_images, of_text = self._shared_out(kwargs)
        seen = {} if images is None else dict(self.image_processor(images, **of_images))
        words = {} if text is None else self.encoded(text, seen, of_text)
        found = {**words, **seen}
        return BatchFeature({name: value for name, value in found.items() if name not in self.unused_input_names})

    def encoded(self, text: Any, seen: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        """The tokenizer's columns. seen: what the image processor gave, which some families' texts make room for."""
        return dict(self.tokenizer(text, **arguments))

    def _sorted(
        self, inputs: tuple[Any, ...], text: Any, images: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Texts and images of positional arguments in either order."""
        first, second, *rest = (*inputs, None, None)[: max(2, len(inputs))]
        if len(rest) > 1:
            raise ArgumentError(
                f"{type(self).__name__}(images, text): {len(inputs)} arguments were given without names."
            )
        if rest:
            kwargs = {"return_tensors": rest[0], **kwargs}
        if second is None and first is not None:
            words = text is None and (images is not None or (_is_text(first) and not _is_images(first)))
            first, second = (None, first) if words else (first, None)
        elif _is_text(first) and not (_is_text(second) and _is_images(first)):
            first, second = second, first
        for name, given, named in (("images", first, images), ("text", second, text)):
            if given is not None and named is not None:
                raise ArgumentError(f"{type(self).__name__} got {name} twice, with its name and without.")
        return (second if text is None else text), (first if images is None else images), kwargs

    def _shared_out(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments of the image processor, and those of the tokenizer."""
        parts = {name: kwargs.pop(name, None) or {} for name in _PARTS}
        both = {**kwargs, **parts["common_kwargs"]}
        known = {*self.image_processor.keys(), *self.image_processor.old_names, "device", "disable_grouping"}
        of_images = {name: both[name] for name in both if name in known or name == "return_tensors"}
        of_text = {name: both[name] for name in both if name not in known}
        return {**of_images, **parts["images_kwargs"]}, {**of_text, **parts["text_kwargs"]}

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """As the tokenizer's."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """As the tokenizer's."""
        return self.tokenizer.decode(*args, **kwargs)

    def apply_chat_template(self, conversation: Any, *, tokenize: bool = False, **kwargs: Any) -> Any:
        """A chat as one text, or as ids where `tokenize=True`, as the tokenizer makes it; images in it are for
        `chat_with_images`."""
        if images := images_of_chat(conversation):
            return self.chat_with_images(conversation, images, tokenize=tokenize, **kwargs)
        return self.tokenizer.apply_chat_template(conversation, tokenize=tokenize, **kwargs)

    def chat_with_images(self, conversation: Any, images: list[Any], *, tokenize: bool, **kwargs: Any) -> Any:
        """A chat with images in it; families that read such chats say how."""
        raise InputError(
            f"{type(self).__name__} reads chats of texts alone, and this one holds {len(images)} image(s)."
        )

    # ---- files

    @classmethod
    def from_pretrained(cls: type[P], pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> P:
        """Load both parts from a folder or a hub name. Keywords are the hub's, and settings of the image processor."""
        where = hub.hub_arguments(kwargs)
        source = hub.locate(pretrained_model_name_or_path, **where)
        kind = cls._image_class(source)
        own = {*kind.keys(), *kind.old_names, "use_fast"}
        settings = {name: kwargs.pop(name) for name in list(kwargs) if name in own}
        images = kind.from_pretrained(pretrained_model_name_or_path, **where, **settings)
        tokenizer = cls._tokenizer_class(source).from_pretrained(pretrained_model_name_or_path, **where, **kwargs)
        return cls(images, tokenizer)

    @classmethod
    def _image_class(cls, source: hub.Source) -> type[BaseImageProcessor]:
        values, _ = image_values(source) or ({}, None)
        found = (registry.find_class(name) for name in class_names(values))
        return next((c for c in found if c and issubclass(c, BaseImageProcessor)), cls.image_processor_class)

    @classmethod
    def _tokenizer_class(cls, source: hub.Source) -> type[PreTrainedTokenizer]:
        path = source.file("tokenizer_config.json")
        named = read_json(path).get("tokenizer_class") if path else None
        if named in _OF_NO_FAMILY:
            return PreTrainedTokenizer
        found = registry.find_class(named) if isinstance(named, str) else None
        return found if found is not None and issubclass(found, PreTrainedTokenizer) else cls.tokenizer_class

    def to_dict(self) -> dict[str, Any]:
        """What processor_config.json says: the settings of what images or sounds go through, and the class."""
        return {self.first: getattr(self, self.first).to_dict(), "processor_class": type(self).__name__}

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **_: Any) -> list[str]:
        """Write the tokenizer's files, preprocessor_config.json, and processor_config.json; gives their paths.

        Settings of images or sounds are in the first alone: Transformers 5 looks there too, and 4.40 gives what it
        finds in the second to the constructor, which has them already."""
        refuse_push(push_to_hub)
        name = type(self).__name__
        self.tokenizer.init_kwargs["processor_class"] = name
        written = list(self.tokenizer.save_pretrained(save_directory))
        with replacing(save_directory) as stage:
            older = {**getattr(self, self.first).file_dict(), "processor_class": name}
            (stage / PREPROCESSOR).write_text(as_json(older), encoding="utf-8")
            own = {key: value for key, value in self.to_dict().items() if key != self.first}
            (stage / PROCESSOR).write_text(as_json(own), encoding="utf-8")
        folder = Path(os.path.expanduser(save_directory))
        return [*written, str(folder / PREPROCESSOR), str(folder / PROCESSOR)]

    def __repr__(self) -> str:
        parts = (f"- {name}: {getattr(self, name)!r}" for name in self.attributes)
        return "\n".join([f"{type(self).__name__}:", *parts])

    def __getattr__(self, name: str) -> Any:  # reached only when the usual look-up failed
        raise AttributeError(
            f"{type(self).__name__} has no {name!r}.{near(name, dir(type(self)))} It has {', '.join(self.attributes)}."
        )


def images_of_chat(conversation: Any) -> list[Any]:
    """The images of a chat: what its parts of type "image" hold, in order; None for one that is only said to be there.

    Errors: ConfigError for what is no chat, InputError for videos and sound in it.
    """
    found: list[Any] = []
    for turn in conversation if isinstance(conversation, (list, tuple)) else [conversation]:
        if isinstance(turn, (list, tuple)):
            found += images_of_chat(turn)
            continue
        if not isinstance(turn, Mapping):
            raise ConfigError(f"A chat is a list of {{'role': …, 'content': …}}, got {type(turn).__name__} in it.")
        content = turn.get("content")
        for part in content if isinstance(content, (list, tuple)) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind in _UNREAD:
                raise InputError(
                    f"A message of the chat holds a part of type {kind!r}; texts and images are read here."
                )
            if kind in ("image", "image_url"):
                found.append(next((part[name] for name in IMAGE_KEYS if part.get(name) is not None), None))
    return found


def _is_text(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_text(one) for one in value)
    return isinstance(value, str)


def _is_images(value: Any) -> bool:
    """Whether a text, or each of a list, is a path or an address."""
    return all(_is_images(one) for one in value) if isinstance(value, (list, tuple)) else is_source(value)
