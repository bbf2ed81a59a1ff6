"""Processors of texts with images in them: each image's place in a text becomes as many tokens as the model has rows.

"<image>What is it?" + an image  ──▶  "<image><image>…<image>What is it?" ─ tokenizer ─▶ input_ids
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .. import hub
from ..atomic import replacing
from ..config import read_json
from ..errors import ArgumentError, ConfigError, InputError
from .feature import BatchFeature
from .files import PROCESSOR
from .image import BaseImageProcessor
from .processor import ProcessorMixin, images_of_chat

_TEMPLATE = "chat_template.json"  # of Transformers 4.45 to 4.52
_OWN_TEMPLATE = "chat_template.jinja"
_OF_CALL = ("padding", "truncation", "max_length", "padding_side", "return_tensors", "add_special_tokens")


class ImageTextProcessor(ProcessorMixin):
    """An image processor and a tokenizer, for models that read images in texts.

    SETTINGS: what the constructor takes beside them, with the defaults; processor_config.json holds it.
    image_token: what stands for an image in a text.
    """

    SETTINGS: ClassVar[Mapping[str, Any]] = {}
    image_token = "<image>"

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, **kwargs: Any) -> None:
        own = {name: kwargs.pop(name, value) for name, value in self.SETTINGS.items()}
        super().__init__(image_processor, tokenizer, **kwargs)
        for name, value in own.items():
            if value is not None and (type(value) is not type(self.SETTINGS[name]) and self.SETTINGS[name] is not None):
                raise ConfigError(
                    f"{type(self).__name__}: {name}={value!r} is no {type(self.SETTINGS[name]).__name__}."
                )
            setattr(self, name, value)
        self.image_token = getattr(tokenizer, "image_token", None) or self.image_token

    @property
    def image_token_id(self) -> int:
        """The id of `image_token`."""
        return int(self.tokenizer.convert_tokens_to_ids(self.image_token))

    def __call__(self, *inputs: Any, text: Any = None, images: Any = None, **kwargs: Any) -> BatchFeature:
        """As other processors; a text holds `image_token` once for each of its images, in their order.

        images: one, a list in the order in which the texts name them, or a list for each text.
        Errors: InputError where texts name more or fewer images than there are.
        """
        if kwargs.pop("videos", None) is not None:
            raise ArgumentError(f"{type(self).__name__} here reads images, not videos; give their frames as images.")
        text, images, kwargs = self._sorted(inputs, text, images, kwargs)
        if text is not None:
            images = self.grouped(text, images)
        return super().__call__(text=text, images=images, **{**self.of_images(), **kwargs})

    def of_images(self) -> dict[str, Any]:
        """What the image processor is asked for always."""
        return {}

    def grouped(self, text: Any, images: Any) -> Any:
        """The images as a list for each text."""
        texts = [text] if isinstance(text, str) else text
        if not all(isinstance(one, str) for one in texts):
            raise ArgumentError(f"{type(self).__name__}: text is a text or a list of texts, with images in them.")
        wanted = [one.count(self.image_token) for one in texts]
        if images is None and not any(wanted):
            return None
        groups = images if isinstance(images, (list, tuple)) and len(images) == len(texts) else ()
        if groups and all(isinstance(group, (list, tuple)) for group in groups):
            found = [len(group) for group in groups]
            flat = [image for group in groups for image in group]
        else:
            flat = [] if images is None else BaseImageProcessor.listed(self.image_processor, images)
            found = [len(flat)]
        if found != wanted and (len(found) == len(wanted) > 1 or sum(found) != sum(wanted)):
            raise InputError(
                f"The texts name {wanted} images ({self.image_token}, of each text), and {found} are given: write "
                f"{self.image_token} once for each image, and give them all."
            )
        rest = iter(flat)
        return [[next(rest) for _ in range(count)] for count in wanted]

    def encoded(self, text: Any, seen: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        rows = iter(self.places(seen) if seen else ())
        texts = []
        for one in [text] if isinstance(text, str) else text:
            first, *others = one.split(self.image_token)
            texts.append(first + "".join(next(rows) + part for part in others) if seen else one)
        return super().encoded(texts, seen, arguments)

    def places(self, seen: Mapping[str, Any]) -> Sequence[str]:
        """What stands in the text for each image. seen: what the image processor gave."""
        raise NotImplementedError

    # ---- chats

    def apply_chat_template(self, conversation: Any, *, tokenize: bool = False, **kwargs: Any) -> Any:
        """As other processors; see `chat_with_images`."""
        beside = kwargs.pop("images", None)
        if beside is None:
            return super().apply_chat_template(conversation, tokenize=tokenize, **kwargs)
        return self.chat_with_images(
            conversation, images_of_chat(conversation), tokenize=tokenize, beside=beside, **kwargs
        )

    def chat_with_images(self, conversation: Any, images: list[Any], *, tokenize: bool, **kwargs: Any) -> Any:
        """A chat whose messages hold {"type": "image"}: with its "image", "url", "path" or "base64", or one of
        `images=`, in their order. Gives the text; or with `tokenize`, what the model reads, as a dictionary where
        `return_dict` is asked for, else the ids alone. Errors: InputError for fewer or more images than the chat names.
        """
        beside, whole = kwargs.pop("beside", None), kwargs.pop("return_dict", False)
        known = {*self.image_processor.keys(), *_OF_CALL}
        of_call = {name: kwargs.pop(name) for name in list(kwargs) if name in known}
        of_call |= kwargs.pop("processor_kwargs", None) or {}
        text = self.tokenizer.apply_chat_template(conversation, tokenize=False, **kwargs)
        if not tokenize:
            return text
        texts = [text] if isinstance(text, str) else text
        chats = [conversation] if isinstance(text, str) else conversation
        rest = [] if beside is None else BaseImageProcessor.listed(self.image_processor, beside)
        open_places = sum(image is None for image in images)
        if len(rest) != open_places:
            raise InputError(
                f"The chat has {len(images)} images, {open_places} of them without one of its own, and {len(rest)} are "
                'given beside it: give images=[…], one for each {"type": "image"} that says nothing more, or say there '
                'where it is: {"type": "image", "path": "photo.jpg"}.'
            )
        left = iter(rest)
        groups = [[next(left) if one is None else _address(one) for one in images_of_chat(chat)] for chat in chats]
        begin = self.tokenizer.bos_token
        if begin is not None and texts[0].startswith(begin):
            of_call.setdefault("add_special_tokens", False)
        made = self(text=texts, images=groups, **of_call)
        return made if whole else made["input_ids"]

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> list[str]:
        """The texts of what a model wrote."""
        return self.batch_decode(generated_outputs, skip_special_tokens=skip_special_tokens, **kwargs)

    # ---- files

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """As other processors; SETTINGS and the chat's template may be in files of their own."""
        given = {name: kwargs.pop(name) for name in cls.SETTINGS if name in kwargs}
        source = hub.locate(pretrained_model_name_or_path, **hub.hub_arguments(dict(kwargs)))
        values = read_json(path) if (path := source.file(PROCESSOR)) else {}
        found = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        own = {name: values[name] for name in cls.SETTINGS if name in values} | given
        template = values.get("chat_template")
        if template is None and (path := source.file(_TEMPLATE)):
            template = read_json(path).get("chat_template")
        if found.tokenizer.chat_template is None and isinstance(template, str):
            found.tokenizer.chat_template = template
        return cls(found.image_processor, found.tokenizer, **own)

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **_: Any) -> list[str]:
        """As other processors; the chat's template also in a file of its own, where Transformers' processors look."""
        written = super().save_pretrained(save_directory, push_to_hub)
        if isinstance(self.chat_template, str):
            with replacing(save_directory) as stage:
                (stage / _OWN_TEMPLATE).write_text(self.chat_template, encoding="utf-8")
            written.append(str(Path(os.path.expanduser(save_directory)) / _OWN_TEMPLATE))
        return written

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), **{name: getattr(self, name) for name in self.SETTINGS}}


def _address(image: Any) -> Any:
    return image.get("url") if isinstance(image, Mapping) else image
