"""The files of processors: preprocessor_config.json, and processor_config.json around it since Transformers 5."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import hub
from ..config import read_json
from ..errors import ConfigError, FormersError, visible_json

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
KINDS = ("image_processor_type", "feature_extractor_type")  # the keys that name a class, new and old
_OF_SOUND = ("sampling_rate", "feature_size")
_CLASSES = ("AST", "Clap", "Wav2Vec2", "Whisper")  # of sound, whose files may say nothing else


def image_values(source: hub.Source) -> tuple[dict[str, Any], Path] | None:
    """The settings of a model's image processor, and the file that says them; None where there are none.

    Those within processor_config.json come first, as with Transformers 5.
    """
    if (path := source.file(PROCESSOR)) is not None:
        within = read_json(path)
        for key in ("image_processor", "feature_extractor"):
            if isinstance(within.get(key), dict) and not is_sound(within[key]):
                return within[key], path
    if (path := source.file(PREPROCESSOR)) is not None:
        values = read_json(path)
        return None if is_sound(values) else (values, path)
    return None


def sound_values(source: hub.Source) -> tuple[dict[str, Any], Path] | None:
    """The settings of a model's feature extractor of sound, and the file that says them; None where there are none."""
    if (path := source.file(PROCESSOR)) is not None:
        within = read_json(path).get("feature_extractor")
        if isinstance(within, dict) and is_sound(within):
            return within, path
    if (path := source.file(PREPROCESSOR)) is not None and is_sound(values := read_json(path)):
        return values, path
    return None


def is_sound(values: Mapping[str, Any]) -> bool:
    """Whether settings are those of sound."""
    named = str(values.get("feature_extractor_type", "")).removesuffix("FeatureExtractor")
    return "image_processor_type" not in values and (named in _CLASSES or any(key in values for key in _OF_SOUND))


def required_image_values(name: str | os.PathLike[str], where: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """The settings of images in a folder, under a hub name, or in a file. Errors: NotFoundError, ConfigError."""
    return _required(name, where, image_values, "image_processor", "images: an image processor")


def required_sound_values(name: str | os.PathLike[str], where: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """The settings of sound in a folder, under a hub name, or in a file. Errors: NotFoundError, ConfigError."""
    return _required(name, where, sound_values, "feature_extractor", "sound: a feature extractor")


def _required(
    name: str | os.PathLike[str], where: dict[str, Any], read: Callable[[hub.Source], Any], key: str, what: str
) -> tuple[dict[str, Any], Path]:
    if isinstance(name, (str, os.PathLike)) and os.path.isfile(name):
        values = read_json(Path(name))
        inner = values.get(key, values)
        return (inner if isinstance(inner, dict) else values), Path(name)
    source = hub.locate(name, **where)
    found = read(source)
    if found is not None:
        return found
    path = source.require(PREPROCESSOR, PROCESSOR)
    raise ConfigError(f"{path} has no settings of {what} cannot be made of it.")


def class_names(values: Mapping[str, Any]) -> list[str]:
    """The classes that settings name, the newer key's first."""
    return [str(values[key]) for key in KINDS if isinstance(values.get(key), str)]


def processor_class(source: hub.Source) -> str | None:
    """The class of processor that a model's files name, the newest file's first; None where they name none."""
    for file in (PROCESSOR, PREPROCESSOR, "tokenizer_config.json"):
        if (path := source.file(file)) is not None and isinstance(found := read_json(path).get("processor_class"), str):
            return found
    return None


def in_file(path: Path, error: FormersError) -> ConfigError:
    """An error about a setting, as one about the file that says it."""
    return ConfigError(f"{path}: {error}")


def as_json(values: Mapping[str, Any]) -> str:
    """The text of a settings file."""
    return visible_json(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)) + "\n"
