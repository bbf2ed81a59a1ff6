"""Which class a checkpoint or a configuration asks for: a family's, or one that a program registered.

Classes are found by names alone, so that models made of others find their parts as the Auto classes do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import registry
from .config import PretrainedConfig
from .errors import ConfigError, near

if TYPE_CHECKING:
    from .tokenization import PreTrainedTokenizer

# what programs registered: by model_type; by head and configuration; by configuration; by kind and configuration
configs: dict[str, type[PretrainedConfig]] = {}
models: dict[tuple[str, type[PretrainedConfig]], type[Any]] = {}
tokenizers: dict[type[PretrainedConfig], type[PreTrainedTokenizer]] = {}
processors: dict[type[Any], dict[type[PretrainedConfig], type[Any]]] = {}


def config_class(model_type: str, where: str) -> type[PretrainedConfig]:
    """The configuration class of a model_type. Raises ConfigError naming `where` it was asked for."""
    if model_type in configs:
        return configs[model_type]
    family = registry.family_of(model_type)
    if family is None:
        known = sorted({*registry.model_types(), *configs})
        raise ConfigError(
            f"{where}: model_type {model_type!r} is not one of {', '.join(known)}.{near(model_type, known)}"
        )
    found: type[PretrainedConfig] = family.MODEL_TYPES[model_type]
    return found


def registered_configs() -> dict[str, type[PretrainedConfig]]:
    """The configuration classes that a program registered, by model_type."""
    return dict(configs)


def registered_models() -> list[tuple[str, type[PretrainedConfig]]]:
    """The head and the configuration class of each model that a program registered."""
    return list(models)


def model_class(head: str, config: type[PretrainedConfig]) -> type[Any] | None:
    """The model of a head that is made for a configuration class; None where there is none."""
    if (head, config) in models:
        return models[head, config]
    family = registry.family_of(config.model_type)
    if family is None:
        return None
    parts: dict[str, Any] = getattr(family, "PARTS", {})
    found: type[Any] | None = parts.get(config.model_type, family.HEADS).get(head)
    return found


def tokenizer_class(config: type[PretrainedConfig]) -> type[PreTrainedTokenizer] | None:
    """The tokenizer of checkpoints of a configuration class; None where there is none."""
    if config in tokenizers:
        return tokenizers[config]
    family = registry.family_of(config.model_type)
    found: type[PreTrainedTokenizer] | None = getattr(family, "TOKENIZER", None) if family else None
    return found


def _model_type(values: dict[str, Any], where: str) -> str:
    if isinstance(values.get("model_type"), str):
        return values["model_type"]
    # configurations written before model_type existed name the class
    architectures = values.get("architectures")
    for architecture in architectures if isinstance(architectures, list) else ():
        found = registry.find_class(str(architecture))
        if found is not None:
            return str(found.config_class.model_type)  # type: ignore[attr-defined]
    raise ConfigError(f'{where}: config.json has no "model_type"; add it, for instance "model_type": "bert".')


def read_config(name: str | os.PathLike[str], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """The configuration in a folder, a file or on the hub, and the keywords that are none of its keys."""
    values, kwargs = PretrainedConfig.get_config_dict(name, **kwargs)
    found = config_class(_model_type(values, str(name)), str(name))
    config, unused = found.from_dict(values, return_unused_kwargs=True, **kwargs)
    return config, unused
