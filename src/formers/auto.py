"""The Auto classes: the family is found from the checkpoint's model_type, the class from the family's dictionaries."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from . import classes, gguf, hub, registry
from .classes import config_class, model_class, read_config
from .config import PretrainedConfig, base_of_adapter, config_values, read_json
from .errors import ArgumentError, ConfigError, near
from .hub.reading import unchanged
from .tokenization import PreTrainedTokenizer


def _not_to_be_made(cls: type) -> ArgumentError:
    return ArgumentError(f"{cls.__name__} is not made directly: use {cls.__name__}.from_pretrained(name or folder).")


class AutoConfig:
    """Finds the configuration class of a checkpoint."""

    def __init__(self) -> None:
        raise _not_to_be_made(type(self))

    @classmethod
    def for_model(cls, model_type: str, *args: Any, **kwargs: Any) -> PretrainedConfig:
        """A configuration of that model_type with the given keys."""
        return config_class(model_type, "for_model")(*args, **kwargs)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """Load a configuration from a folder, a file or a hub name; keywords that are keys override it.

        The file may be a GGUF file, and `gguf_file` its name in the folder or on the hub.
        """
        kwargs.pop("trust_remote_code", None)  # nothing here runs code from a checkpoint
        found, unused = read_config(pretrained_model_name_or_path, **kwargs)
        return (found, unused) if return_unused_kwargs else found

    @staticmethod
    def register(model_type: str, config: type[PretrainedConfig], exist_ok: bool = False) -> None:
        """Make `from_pretrained` use `config` for a model_type that this package does not have."""
        if config.model_type and config.model_type != model_type:
            raise ArgumentError(
                f"{config.__name__}.model_type is {config.model_type!r}; it cannot be registered as {model_type!r}."
            )
        if not exist_ok and (model_type in classes.configs or registry.family_of(model_type)):
            raise ArgumentError(
                f"model_type {model_type!r} has a configuration already; pass exist_ok=True to replace it."
            )
        classes.configs[model_type] = config


class _AutoModel:
    """Finds the class of a checkpoint's family that has the head of this Auto class, or else one of ELSE."""

    HEAD: ClassVar[str]
    ELSE: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        raise _not_to_be_made(type(self))

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> Any:
        """A model with drawn weights."""
        return cls._class_for(config)._from_config(config, **kwargs)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *model_args: Any, **kwargs: Any
    ) -> Any:
        """Load a model from a folder or a hub name; arguments as those of PreTrainedModel.from_pretrained."""
        name = pretrained_model_name_or_path
        return unchanged(name, lambda: cls._load(name, model_args, dict(kwargs)))

    @classmethod
    def _load(cls, name: str | os.PathLike[str], model_args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from .checkpoints import file_given  # loads torch, which configurations and tokenizers do without

        config = kwargs.pop("config", None)
        weights = gguf.given(name, kwargs)
        name = weights or name
        if not isinstance(config, PretrainedConfig):
            where = hub.hub_arguments(kwargs.copy())
            labels = {k: kwargs.pop(k) for k in ("num_labels", "id2label", "label2id") if k in kwargs}
            file = file_given(name)
            beside = config is None
            place = file.parent if file and file != weights else name
            config = AutoConfig.from_pretrained(config or place, **where, **labels)
            own = config.name_or_path == str(place)  # and not the model that an adapter is for
            if beside and own and config._commit_hash:  # the branch may move before the weights are asked for
                kwargs["revision"] = config._commit_hash
        return cls._class_for(config).from_pretrained(name, *model_args, config=config, **kwargs)

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[Any]:
        if not isinstance(config, PretrainedConfig):
            raise ArgumentError(
                f"{cls.__name__}.from_config takes a configuration, got {type(config).__name__}: "
                "make one, BertConfig(…), or load one, AutoConfig.from_pretrained(name)."
            )
        heads = (cls.HEAD, *cls.ELSE)
        found = [model for head in heads if (model := model_class(head, type(config))) is not None]
        if not found:
            families = map(registry.load, registry.families())
            having = [t for f in families if {*heads} & f.HEADS.keys() for t in f.MODEL_TYPES]
            raise ConfigError(
                f"{cls.__name__}: {type(config).__name__} has no model with this head ({' or '.join(heads)}); "
                f"these have one: {', '.join(having) or 'none'}."
            )
        named = config.architectures if isinstance(config.architectures, list) else ()
        return next((model for model in found if model.__name__ in named), found[0])

    @classmethod
    def register(cls, config_class: type[PretrainedConfig], model_class: type[Any], exist_ok: bool = False) -> None:
        """Make this Auto class use `model_class` for configurations of `config_class`."""
        theirs = getattr(model_class, "config_class", None)
        if theirs is not None and theirs is not config_class and theirs is not PretrainedConfig:
            raise ArgumentError(
                f"{model_class.__name__}.config_class is {theirs.__name__}, not {config_class.__name__}."
            )
        if not exist_ok and (cls.HEAD, config_class) in classes.models:
            raise ArgumentError(
                f"{cls.__name__} has a model for {config_class.__name__} already; pass exist_ok=True to replace it."
            )
        classes.models[cls.HEAD, config_class] = model_class


class AutoModel(_AutoModel):
    """The model without a head."""

    HEAD = "base"


class AutoModelForPreTraining(_AutoModel):
    """With the heads it was pretrained with."""

    HEAD = "pretraining"


class AutoModelForMaskedLM(_AutoModel):
    """With a head that fills in tokens."""

    HEAD = "masked-lm"


class AutoModelForCausalLM(_AutoModel):
    """With a head that predicts the next token."""

    HEAD = "causal-lm"


class AutoModelForSeq2SeqLM(_AutoModel):
    """With an encoder that reads a text and a decoder that writes another."""

    HEAD = "seq2seq-lm"


class AutoModelWithLMHead(_AutoModel):
    """With the head that scores the vocabulary, whichever the family has."""

    HEAD = "masked-lm"
    ELSE = ("seq2seq-lm", "causal-lm")


class AutoModelForTextEncoding(_AutoModel):
    """The part that reads, of models that write too."""

    HEAD = "text-encoding"


class AutoModelForSequenceClassification(_AutoModel):
    """With a head that labels texts."""

    HEAD = "sequence-classification"


class AutoModelForTokenClassification(_AutoModel):
    """With a head that labels tokens."""

    HEAD = "token-classification"


class AutoModelForQuestionAnswering(_AutoModel):
    """With a head that finds answer spans."""

    HEAD = "question-answering"


class AutoModelForDocumentQuestionAnswering(_AutoModel):
    """With a head that finds answer spans among the words of a page."""

    HEAD = "document-question-answering"


class AutoModelForTableQuestionAnswering(_AutoModel):
    """With a head that selects cells of a table, and what to do with them."""

    HEAD = "table-question-answering"


class AutoModelForMultipleChoice(_AutoModel):
    """With a head that scores choices."""

    HEAD = "multiple-choice"


class AutoModelForNextSentencePrediction(_AutoModel):
    """With a head that says whether one text follows another."""

    HEAD = "next-sentence-prediction"


class AutoModelForImageClassification(_AutoModel):
    """With a head that labels pictures."""

    HEAD = "image-classification"
    ELSE = ("image-classification-with-teacher",)


class AutoModelForMaskedImageModeling(_AutoModel):
    """With a head that paints hidden patches."""

    HEAD = "masked-image-modeling"


class AutoModelForSemanticSegmentation(_AutoModel):
    """With a head that labels pixels."""

    HEAD = "semantic-segmentation"


class AutoModelForZeroShotImageClassification(_AutoModel):
    """Compares pictures with texts."""

    HEAD = "zero-shot-image-classification"


class AutoModelForImageTextToText(_AutoModel):
    """Writes a text from pictures and texts."""

    HEAD = "image-text-to-text"


class AutoModelForMultimodalLM(AutoModelForImageTextToText):
    """As AutoModelForImageTextToText."""


class AutoModelForVision2Seq(_AutoModel):
    """Writes a text from a picture, as Transformers 4 called it."""

    HEAD = "image-text-to-text"


class AutoModelForVisualQuestionAnswering(_AutoModel):
    """Answers a question about a picture."""

    HEAD = "visual-question-answering"


class AutoModelForCTC(_AutoModel):
    """With a head that spells out speech frame by frame (connectionist temporal classification)."""

    HEAD = "ctc"


class AutoModelForSpeechSeq2Seq(_AutoModel):
    """Writes a text from speech."""

    HEAD = "speech-seq2seq"


class AutoModelForAudioClassification(_AutoModel):
    """With a head that labels sounds."""

    HEAD = "audio-classification"


class AutoModelForAudioFrameClassification(_AutoModel):
    """With a head that labels frames of sound."""

    HEAD = "audio-frame-classification"


class AutoModelForAudioXVector(_AutoModel):
    """With a head that makes one vector of a speaker's voice."""

    HEAD = "audio-xvector"


class AutoBackbone(_AutoModel):
    """Gives maps of a picture's features, of some of its layers."""

    HEAD = "backbone"


class AutoTokenizer:
    """Finds the tokenizer class of a checkpoint."""

    def __init__(self) -> None:
        raise _not_to_be_made(type(self))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *inputs: Any, **kwargs: Any
    ) -> PreTrainedTokenizer:
        """Load a tokenizer from a folder, a hub name or a GGUF file, which `gguf_file` may name in the former two.

        The class is the one that tokenizer_config.json or the model's configuration names; any other folder with a
        tokenizer.json gives a PreTrainedTokenizer.
        """
        kwargs.pop("trust_remote_code", None)  # nothing here runs code from a checkpoint
        kwargs.pop("use_fast", None)  # there is one kind, and it is fast
        wanted, config = kwargs.pop("tokenizer_type", None), kwargs.pop("config", None)
        if (file := gguf.given(pretrained_model_name_or_path, kwargs)) is not None:
            return PreTrainedTokenizer.from_pretrained(file, **kwargs)
        found: type[Any] | None
        if wanted is not None:
            family = registry.family_of(wanted)
            if family is None:
                known = registry.model_types()
                raise ArgumentError(f"tokenizer_type {wanted!r} is not one of {', '.join(known)}.{near(wanted, known)}")
            found = getattr(family, "TOKENIZER", None)
        else:
            found = _named_class(pretrained_model_name_or_path, config, hub.hub_arguments(kwargs.copy()))
        return (found or PreTrainedTokenizer).from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)

    @staticmethod
    def register(
        config_class: type[PretrainedConfig],
        slow_tokenizer_class: type[PreTrainedTokenizer] | None = None,
        fast_tokenizer_class: type[PreTrainedTokenizer] | None = None,
        exist_ok: bool = False,
    ) -> None:
        """Make `from_pretrained` use a tokenizer class for checkpoints of `config_class`."""
        found = fast_tokenizer_class or slow_tokenizer_class
        if found is None:
            raise ArgumentError("AutoTokenizer.register needs a tokenizer class.")
        if not exist_ok and config_class in classes.tokenizers:
            raise ArgumentError(f"{config_class.__name__} has a tokenizer already; pass exist_ok=True to replace it.")
        classes.tokenizers[config_class] = found


def _named_class(name: Any, config: PretrainedConfig | None, where: dict[str, Any]) -> type[Any] | None:
    """The tokenizer class that a checkpoint's files name, or None."""
    source = hub.locate(name, **where)
    path = source.file("tokenizer_config.json")
    named = read_json(path).get("tokenizer_class") if path else None
    if config is None and named is None and (base := base_of_adapter(source, where)) is not None:
        return _named_class(base.name, None, {**where, "revision": base.commit, "subfolder": None})
    if config is None and (values := config_values(source)) is not None:
        named = named or values.get("tokenizer_class")
        model_type = values.get("model_type")
    else:
        model_type = type(config).model_type if config else None
    by_name = registry.find_class(str(named)) if named else None
    if by_name is not None and issubclass(by_name, PreTrainedTokenizer):
        return by_name
    registered = [
        classes.tokenizers[c] for c in (classes.configs.get(str(model_type)), type(config)) if c in classes.tokenizers
    ]
    if registered:
        return registered[0]
    family = registry.family_of(str(model_type)) if model_type and not named else None
    return getattr(family, "TOKENIZER", None) if family else None
