"""AutoImageProcessor, AutoFeatureExtractor, AutoProcessor: the class that files name, or else the family's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from . import classes, gguf, hub, registry
from .auto import AutoTokenizer
from .config import PretrainedConfig, config_values, read_json
from .errors import ArgumentError, ConfigError, near
from .processing import BaseImageProcessor, ProcessorMixin, SequenceFeatureExtractor
from .processing.files import (
    PREPROCESSOR,
    PROCESSOR,
    class_names,
    image_values,
    is_sound,
    processor_class,
    sound_values,
)

Name = str | os.PathLike[str]


class _Auto:
    """Finds a class of one kind: by the names in files, by what a program registered, by the family."""

    KIND: ClassVar[type[Any]]
    OF_FAMILY: ClassVar[str]  # what a family's file calls its class

    def __init__(self) -> None:
        name = type(self).__name__
        raise ArgumentError(f"{name} is not made directly: use {name}.from_pretrained(name or folder).")

    @classmethod
    def _registered(cls) -> dict[type[PretrainedConfig], type[Any]]:
        return classes.processors.setdefault(cls.KIND, {})

    @classmethod
    def _register(cls, config_class: type[PretrainedConfig], found: Any, exist_ok: bool) -> None:
        if not (isinstance(found, type) and issubclass(found, cls.KIND)):
            raise ArgumentError(f"{cls.__name__}.register takes a class made from {cls.KIND.__name__}, got {found!r}.")
        if not exist_ok and config_class in cls._registered():
            raise ArgumentError(f"{config_class.__name__} has one already; pass exist_ok=True to replace it.")
        cls._registered()[config_class] = found

    @classmethod
    def _class_for(cls, source: hub.Source, names: Sequence[str]) -> type[Any] | None:
        """The class for a checkpoint whose files name those classes; None where there is none."""
        by_name = (registry.find_class(name) for name in names)
        if found := next((c for c in by_name if c and issubclass(c, cls.KIND)), None):
            return found
        own = {c.__name__: c for c in cls._registered().values()}
        if found := next((own[name] for name in names if name in own), None):
            return found
        values = config_values(source) or {}
        model_type = str(values.get("model_type"))
        config = classes.configs.get(model_type)
        family = registry.family_of(model_type)
        config = config or (family.MODEL_TYPES[model_type] if family else None)
        if config in cls._registered():
            return cls._registered()[config]
        return getattr(family, cls.OF_FAMILY, None) if family else None

    @classmethod
    def _of_config(cls, config: PretrainedConfig) -> type[Any] | None:
        family = registry.family_of(config.model_type)
        return cls._registered().get(type(config)) or getattr(family, cls.OF_FAMILY, None)

    @classmethod
    def _having(cls) -> str:
        families: list[ModuleType] = [registry.load(name) for name in registry.families()]
        types = [t for family in families if getattr(family, cls.OF_FAMILY, None) for t in family.MODEL_TYPES]
        return ", ".join(types) or "none"


class AutoImageProcessor(_Auto):
    """Finds the image processor of a checkpoint."""

    KIND = BaseImageProcessor
    OF_FAMILY = "IMAGE_PROCESSOR"

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Name, **kwargs: Any) -> Any:
        """Load an image processor from a folder, a hub name or a file; keywords are settings that override the file's.

        The class is the one that the file names, by any of its four names (ViTImageProcessor, …Fast, …Pil,
        ViTFeatureExtractor), or else the one of the checkpoint's family.

        Errors: NotFoundError; ConfigError for a class that is not here, and for settings of sound.
        """
        name = pretrained_model_name_or_path
        for one in ("trust_remote_code", "use_fast"):  # nothing here runs code from a checkpoint; there is one kind
            kwargs.pop(one, None)
        config = kwargs.pop("config", None)
        if os.path.isfile(name):
            source, values = hub.locate(os.path.dirname(os.path.abspath(name))), read_json(Path(name))
            values = values["image_processor"] if isinstance(values.get("image_processor"), dict) else values
        else:
            source = hub.locate(name, **hub.hub_arguments(kwargs.copy()))
            values = _image_values(source)
        names = class_names(values)
        found = cls._class_for(source, names) or (cls._of_config(config) if config is not None else None)
        if found is None:
            said = f"names the class {' or '.join(names)}, which is not here" if names else "names no class"
            raise ConfigError(
                f"{source.where} {said}, and its model_type has no image processor.{_near(names)} These have one: "
                f"{cls._having()}."
            )
        return found.from_pretrained(name, **kwargs)

    @classmethod
    def register(
        cls,
        config_class: type[PretrainedConfig],
        image_processor_class: type[BaseImageProcessor] | None = None,
        slow_image_processor_class: type[BaseImageProcessor] | None = None,
        fast_image_processor_class: type[BaseImageProcessor] | None = None,
        exist_ok: bool = False,
        *,
        image_processor_classes: dict[str, type[BaseImageProcessor]] | None = None,
    ) -> None:
        """Make `from_pretrained` use an image processor for a `config_class`, and where a file names it."""
        several = [*(image_processor_classes or {}).values()]
        given = [image_processor_class, fast_image_processor_class, slow_image_processor_class, *several]
        cls._register(config_class, next((c for c in given if c is not None), None), exist_ok)


class _Sounds(_Auto):
    KIND = SequenceFeatureExtractor
    OF_FAMILY = "FEATURE_EXTRACTOR"


class AutoFeatureExtractor(AutoImageProcessor):
    """Finds what sounds of a checkpoint go through; or the image processor, by its older name."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Name, **kwargs: Any) -> Any:
        """Load a feature extractor of sound, or an image processor, from a folder, a hub name or a file; keywords are
        settings that override the file's.

        The class is the one that the file names, or else the one of the checkpoint's family.

        Errors: NotFoundError; ConfigError for a class that is not here.
        """
        name = pretrained_model_name_or_path
        folder = os.path.dirname(os.path.abspath(name)) if os.path.isfile(name) else name
        source = hub.locate(folder, **hub.hub_arguments(kwargs.copy()))
        if os.path.isfile(name):
            values = read_json(Path(name))
            values = values["feature_extractor"] if isinstance(values.get("feature_extractor"), dict) else values
            found = values if is_sound(values) else None
        else:
            found = (sound_values(source) or (None, None))[0]
        if found is None:
            return super().from_pretrained(name, **kwargs)
        config = kwargs.pop("config", None)
        for one in ("trust_remote_code", "use_fast"):
            kwargs.pop(one, None)
        names = class_names(found)
        kind = _Sounds._class_for(source, names) or (_Sounds._of_config(config) if config is not None else None)
        if kind is None:
            said = f"names the class {names[0]}, which is not here" if names else "names no class"
            raise ConfigError(
                f"{source.where} {said}, and its model_type has no feature extractor of sound.{_near(names)} These "
                f"have one: {_Sounds._having()}."
            )
        return kind.from_pretrained(name, **kwargs)

    @classmethod
    def register(  # type: ignore[override]  # the reference's arguments
        cls,
        config_class: type[PretrainedConfig],
        feature_extractor_class: type[BaseImageProcessor] | type[SequenceFeatureExtractor],
        exist_ok: bool = False,
    ) -> None:
        """Make `from_pretrained` use an extractor for checkpoints of `config_class`, and where a file names it."""
        sound = isinstance(feature_extractor_class, type) and issubclass(
            feature_extractor_class, SequenceFeatureExtractor
        )
        (_Sounds if sound else cls)._register(config_class, feature_extractor_class, exist_ok)


class AutoProcessor(_Auto):
    """Finds what prepares a checkpoint's inputs: a processor of images or sounds with texts, or else the image
    processor, the feature extractor or the tokenizer."""

    KIND = ProcessorMixin
    OF_FAMILY = "PROCESSOR"

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Name, **kwargs: Any) -> Any:
        """Load a processor from a folder or a hub name; a model of texts alone gives its tokenizer, one of images or
        sounds alone its image processor or feature extractor."""
        name = pretrained_model_name_or_path
        kwargs.pop("trust_remote_code", None)
        if (file := gguf.given(name, kwargs)) is not None:
            return AutoTokenizer.from_pretrained(file, **kwargs)
        source = hub.locate(name, **hub.hub_arguments(kwargs.copy()))
        named = processor_class(source)
        found = cls._class_for(source, [named] if named else [])
        if found is not None:
            return found.from_pretrained(name, **kwargs)
        if not any(source.file(file) for file in (PROCESSOR, PREPROCESSOR)):
            return AutoTokenizer.from_pretrained(name, **kwargs)
        if named is not None:
            raise ConfigError(
                f"{source.where} is prepared by {named}, which is not here.{_near([named])} Its parts may be: "
                "AutoTokenizer, AutoImageProcessor and AutoFeatureExtractor.from_pretrained(…)."
            )
        return AutoFeatureExtractor.from_pretrained(name, **kwargs)

    @classmethod
    def register(
        cls, config_class: type[PretrainedConfig], processor_class: type[ProcessorMixin], exist_ok: bool = False
    ) -> None:
        """Make `from_pretrained` use a processor for checkpoints of `config_class`, and wherever a file names it."""
        cls._register(config_class, processor_class, exist_ok)


def _image_values(source: hub.Source) -> dict[str, Any]:
    """The settings of images in a checkpoint."""
    if (found := image_values(source)) is not None:
        return found[0]
    path = source.require(PREPROCESSOR, PROCESSOR)
    kind = "of sound: AutoFeatureExtractor reads it" if sound_values(source) else "of no images"
    raise ConfigError(f"{path} is {kind}. A tokenizer is had by AutoTokenizer.from_pretrained(…).")


def _near(names: Sequence[str]) -> str:
    known = [
        found.__name__
        for family in map(registry.load, registry.families())
        for key in ("IMAGE_PROCESSOR", "FEATURE_EXTRACTOR", "PROCESSOR")
        if (found := getattr(family, key, None)) is not None
    ]
    return near(names[0], known) if names else ""
