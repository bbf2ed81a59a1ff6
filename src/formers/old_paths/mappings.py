"""`MODEL_FOR_…_MAPPING` and its kind: what the Auto classes choose from, as mappings that load what is asked of them.

`MODEL_FOR_MASKED_LM_MAPPING[BertConfig]` loads one family; to list the keys loads all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import auto, classes, registry
from ..config import PretrainedConfig
from ..errors import MissingAttributeError, near

# the heads of Transformers' mappings; those that no family has are empty
_HEADS = """
audio-classification audio-frame-classification audio-tokenization audio-xvector backbone causal-image-modeling
causal-lm ctc depth-estimation document-question-answering image image-classification image-segmentation
image-text-to-text image-to-image instance-segmentation keypoint-detection keypoint-matching mask-generation
masked-image-modeling masked-lm multimodal-lm multiple-choice next-sentence-prediction object-detection pretraining
question-answering retrieval semantic-segmentation sequence-classification
speech-seq-2-seq table-question-answering text-encoding text-to-spectrogram text-to-waveform
time-series-classification time-series-prediction time-series-regression token-classification universal-segmentation
video-classification vision-2-seq visual-question-answering zero-shot-image-classification
zero-shot-object-detection
"""
_OTHER_NAMES = {
    "MODEL": "base",
    "MODEL_WITH_LM_HEAD": "masked-lm",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM": "seq2seq-lm",
}


class LazyMapping(Mapping[Any, Any]):
    """Configuration class -> class of a model or tokenizer.

    find: the value of a configuration class, or None; rows: all rows, in the order of model types.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[Any], Any],
        rows: Callable[[], Iterator[tuple[Any, Any]]],
        register: Callable[..., None],
    ) -> None:
        self._name, self._find, self._rows, self.register = name, find, rows, register

    def __getitem__(self, key: Any) -> Any:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not None

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._rows())

    def __len__(self) -> int:
        return sum(1 for _ in self._rows())

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(getattr(key, '__name__', key) for key in self)}>"


def _configs() -> Iterator[tuple[str, type[PretrainedConfig]]]:
    own = {t: c for family in registry.families() for t, c in registry.load(family).MODEL_TYPES.items()}
    yield from sorted(own.items())
    yield from ((t, c) for t, c in classes.registered_configs().items() if t not in own)


def _config_of(model_type: Any) -> type[PretrainedConfig] | None:
    if not isinstance(model_type, str):
        return None
    registered = classes.registered_configs().get(model_type)
    family = None if registered else registry.family_of(model_type)
    return family.MODEL_TYPES[model_type] if family else registered


def _config_classes() -> list[type[PretrainedConfig]]:
    """Each once: those of the families, then those of registered models."""
    return list(dict.fromkeys([*(config for _, config in _configs()), *(c for _, c in classes.registered_models())]))


def _known(config: Any) -> bool:
    """Whether it is the configuration class of its model_type, not one that a program made from it."""
    return isinstance(config, type) and _config_of(getattr(config, "model_type", None)) is config


def _models(name: str, auto_class: type[auto.AutoModel]) -> LazyMapping:
    """The mapping that an Auto class chooses from."""
    heads = (auto_class.HEAD, *auto_class.ELSE)

    def find(config: Any) -> Any:
        theirs = classes.registered_models()
        asked = (head for head in heads if (head, config) in theirs or _known(config))
        return next((found for head in asked if (found := classes.model_class(head, config)) is not None), None)

    return LazyMapping(name, find, lambda: _rows(find), auto_class.register)


def _rows(find: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    return ((config, found) for config in _config_classes() if (found := find(config)) is not None)


def _tokenizers(config: Any) -> Any:
    found = classes.tokenizer_class(config) if _known(config) else None
    return None if found is None else (found, found)  # the slow one and the fast one, which here are one


CONFIG_MAPPING = LazyMapping("CONFIG_MAPPING", _config_of, _configs, auto.AutoConfig.register)
TOKENIZER_MAPPING = LazyMapping(
    "TOKENIZER_MAPPING", _tokenizers, lambda: _rows(_tokenizers), auto.AutoTokenizer.register
)


def __getattr__(name: str) -> Any:
    if name.endswith("_MAPPING_NAMES"):
        return _names(__getattr__(name.removesuffix("_NAMES")))
    if name in ("CONFIG_MAPPING", "TOKENIZER_MAPPING"):
        return globals()[name]
    stem = name.removesuffix("_MAPPING")
    head = _OTHER_NAMES.get(stem) or stem.removeprefix("MODEL_FOR_").lower().replace("_", "-")
    if name != stem and (stem in _OTHER_NAMES or (stem.startswith("MODEL_FOR_") and head in _heads())):
        kind: Any = auto.AutoModelWithLMHead if stem == "MODEL_WITH_LM_HEAD" else _heads().get(head)
        auto_class = kind or type(f"AutoModel ({head})", (auto.AutoModel,), {"HEAD": head})
        return globals().setdefault(name, _models(name, auto_class))  # one object, whoever asks
    raise MissingAttributeError(lambda: f"formers has no {name}.{near(name, __dir__())}")


def _heads() -> dict[str, Any]:
    """Head -> its Auto class; None for those of Transformers that are not here."""
    kinds = (cls for cls in vars(auto).values() if isinstance(getattr(cls, "HEAD", None), str))
    here = {cls.HEAD: cls for cls in kinds if not cls.ELSE}
    return {**dict.fromkeys(_HEADS.split()), **here}


def __dir__() -> list[str]:
    heads = [
        f"MODEL_FOR_{head.upper().replace('-', '_')}_MAPPING" for head in _heads() if head not in ("base", "seq2seq-lm")
    ]
    names = ["CONFIG_MAPPING", "TOKENIZER_MAPPING", *(f"{name}_MAPPING" for name in _OTHER_NAMES), *heads]
    return sorted([*names, *(f"{name}_NAMES" for name in names), "get_values"])


def _names(mapping: LazyMapping) -> OrderedDict[str, Any]:
    """model_type -> names of its classes."""

    def named(value: Any) -> Any:
        return tuple(map(named, value)) if isinstance(value, tuple) else value.__name__

    rows = ((key if isinstance(key, str) else key.model_type, value) for key, value in mapping.items())
    return OrderedDict((model_type, named(value)) for model_type, value in rows)


def get_values(model_mapping: Mapping[Any, Any]) -> list[Any]:
    """All classes of a mapping, those in tuples too."""
    values = model_mapping.values()
    return [one for value in values for one in (value if isinstance(value, (list, tuple)) else [value])]
