"""Configurations: the numbers and names that a model is built from, as they are in config.json."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from . import gguf, hub, registry
from .atomic import replacing
from .errors import ArgumentError, ConfigError, InputError, NotFoundError, near
from .views.config import config_html

CONFIG_NAME, ADAPTER_NAME = "config.json", "adapter_config.json"


class _Dtype:
    """`config.dtype`: what was set, "float16" as a torch.dtype. Torch is loaded when it is asked for, never before."""

    def __get__(self, owner: PretrainedConfig | None, kind: type) -> Any:
        value = None if owner is None else owner.__dict__.get("dtype")
        if not isinstance(value, str):
            return value
        import torch

        found = vars(torch).get(value.removeprefix("torch."))  # not getattr, by which torch imports modules
        return found if isinstance(found, torch.dtype) else value

    def __set__(self, owner: PretrainedConfig, value: Any) -> None:
        owner.__dict__["dtype"] = value


class PretrainedConfig:
    """Base of all configurations.

    A family's configuration lists its keys as annotated class attributes with their defaults. Keys that nobody knows
    are kept and written back. `attribute_map` gives other names for keys: {"hidden_size": "dim"}.
    """

    model_type: ClassVar[str] = ""
    attribute_map: ClassVar[dict[str, str]] = {}
    sub_configs: ClassVar[dict[str, type]] = {}  # of models made of several, which libraries look for
    base_config_key: ClassVar[str] = ""  # where in the configuration of such a model one of this class is

    architectures: list[str] | None = None
    dtype: Any = _Dtype()
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    torchscript: bool = False
    is_encoder_decoder: bool = False
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    pruned_heads: dict[int, list[int]] = {}
    chunk_size_feed_forward: int = 0
    problem_type: str | None = None
    finetuning_task: str | None = None
    task_specific_params: dict[str, Any] | None = None
    tokenizer_class: str | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    sep_token_id: int | None = None
    decoder_start_token_id: int | None = None
    transformers_version: str | None = None
    id2label: dict[int, str]
    label2id: dict[str, int]

    # of this object, not of the file
    _name_or_path: str = ""
    _commit_hash: str | None = None
    _attn_implementation: str = "sdpa"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = self.keys()
        if len(args) > len(names):
            raise ArgumentError(
                f"{type(self).__name__} takes at most {len(names)} values by position, got {len(args)}."
            )
        values = self.defaults() | dict(zip(names, args, strict=False))
        num_labels, labels, ids = (kwargs.pop(k, None) for k in ("num_labels", "id2label", "label2id"))
        kwargs.pop("model_type", None)
        attention = kwargs.pop("attn_implementation", None)
        for name, value in (values | {self.attribute_map.get(k, k): v for k, v in kwargs.items()}).items():
            setattr(self, name, value)
        self._set_labels(num_labels, labels, ids)
        if attention is not None:
            self._attn_implementation = attention

    @classmethod
    def keys(cls) -> list[str]:
        """The family's own keys, in the order of its file."""
        owners = [c for c in reversed(cls.__mro__) if issubclass(c, PretrainedConfig) and c is not PretrainedConfig]
        kinds = {name: kind for c in owners for name, kind in vars(c).get("__annotations__", {}).items()}
        return [name for name, kind in kinds.items() if name not in _NOT_KEYS and "ClassVar" not in str(kind)]

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every key that has a default, with a copy of it."""
        names = [n for n in PretrainedConfig.__annotations__ if n not in _NOT_KEYS] + cls.keys()
        return {n: copy.deepcopy(getattr(cls, n)) for n in names if hasattr(cls, n)}

    # ---- other names of keys

    def __setattr__(self, name: str, value: Any) -> None:
        name = "dtype" if name == "torch_dtype" else type(self).attribute_map.get(name, name)
        super().__setattr__(name, _pruned(value) if name == "pruned_heads" else _python(value))

    def __getattr__(self, name: str) -> Any:  # reached only when the usual look-up failed
        other = "dtype" if name == "torch_dtype" else type(self).attribute_map.get(name)
        if other is not None:
            return getattr(self, other)
        raise _NoKeyError(f"{type(self).__name__} has no {name!r}.", name=name, obj=self)

    def __iter__(self) -> Iterator[str]:
        """The names of the keys that are set; so `"key" in config`."""
        return iter(self.__dict__)

    def __contains__(self, name: object) -> bool:
        return ("dtype" if name == "torch_dtype" else name) in self.__dict__

    @property
    def use_return_dict(self) -> bool:
        """Whether models return outputs with names rather than tuples, which `torchscript` asks for."""
        return self.return_dict and not self.torchscript

    @property
    def per_layer_config(self) -> list[PretrainedConfig]:
        """The configuration of each layer, which are all like this one: Transformers' caches ask for it."""
        return [self] * self.num_hidden_layers

    @property
    def name_or_path(self) -> str:
        """Where the configuration was loaded from; empty when it was made."""
        return self._name_or_path

    # ---- labels

    @property
    def num_labels(self) -> int:
        """How many labels a classifier has: the length of `id2label`."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if "id2label" not in self.__dict__ or len(self.id2label) != count:
            self._set_labels(count, None, None)

    def _set_labels(self, count: int | None, names: Any, ids: Any) -> None:
        count = _python(count)
        if count is not None and (type(count) is not int or not 0 <= count <= _MOST_LABELS):
            raise ConfigError(
                f"num_labels={count!r}: give the number of labels, an integer from 0 to {_MOST_LABELS:,}."
            )
        try:
            ids = {_label(label): int(i) for label, i in dict(ids or {}).items()}
            if names is not None:
                if None in (given := dict(names)).values():
                    raise TypeError
                table = {int(i): _label(label) for i, label in given.items()}
                numbers = {str(label): label for label in table.values()}  # JSON's keys are never numbers
                ids = {numbers.get(label, label): i for label, i in ids.items()}
            elif count is None and ids:
                table = {i: label for label, i in ids.items()}
            else:
                table = {i: f"LABEL_{i}" for i in range(2 if count is None else count)}
        except (TypeError, ValueError) as e:
            raise ConfigError(
                f"id2label={_shown(names)}, label2id={_shown(ids)}: "
                'give tables of ids to names, {0: "NO", 1: "YES"}, and back.'
            ) from e
        if names is not None and count is not None and count != len(table):
            raise ConfigError(f"num_labels={count}, but id2label has {len(table)} labels; give one of them only.")
        self.id2label = table
        self.label2id = ids if ids and count is None else {label: i for i, label in table.items()}

    def check(self) -> None:
        """Raise ConfigError if a value is not of its key's kind: models call it before they are built."""
        who = type(self).__name__ + (f" of {self.name_or_path!r}" if self.name_or_path else "")
        for key, default in self.defaults().items():
            value, kind = getattr(self, key), _kind(type(self), key)
            if value is None and kind.endswith("| None"):
                continue
            kind = "rate" if "drop" in key else kind.removesuffix(" | None")
            kind = "distance" if kind == "float" and key.endswith(("eps", "epsilon")) else kind
            if kind == "int" and default and not key.endswith("_id"):
                kind = "size" if default > 0 else "number"  # a negative one stands for none
            fits, rule = _KINDS.get(kind, (None, ""))
            if fits is not None and not fits(value):
                raise ConfigError(f"{who}: {key}={_shown(value)}; it should be {rule}.")
        if set(self.id2label) != set(range(len(self.id2label))):
            raise ConfigError(
                f"{who}: the ids in id2label are {_shown(sorted(self.id2label))}, and should be 0 to "
                f"{len(self.id2label) - 1}, as a model's outputs are numbered."
            )
        pad, vocabulary = self.pad_token_id, getattr(self, "vocab_size", None)
        if pad is not None and vocabulary is not None and pad >= vocabulary:
            raise ConfigError(f"{who}: pad_token_id={pad} is outside of vocab_size={vocabulary}.")
        if (layers := getattr(self, "num_hidden_layers", 0)) > _MOST_LAYERS:
            raise ConfigError(f"{who}: num_hidden_layers={layers}; at most {_MOST_LAYERS:,} are built.")

    def longest_text(self) -> int | None:
        """The longest text that there are positions for, in tokens; None where there is no limit."""
        limit = getattr(self, "max_position_embeddings", None)
        return limit if isinstance(limit, int) and limit > 0 else None

    def longest_written(self) -> int | None:
        """The longest text that can be written, in tokens, where a decoder has another limit than its encoder."""
        return self.longest_text()

    # ---- files

    @classmethod
    def get_config_dict(cls, name: str | os.PathLike[str], **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The contents of `name`'s config.json, and the keyword arguments that are not for finding it."""
        packed = gguf.given(name, kwargs)
        where = hub.hub_arguments(kwargs)
        if packed is not None:
            return gguf.config_values(packed), kwargs
        if isinstance(name, (str, os.PathLike)) and os.path.isfile(path := os.path.expanduser(name)):
            return _values(Path(path)) | {"_name_or_path": str(name)}, kwargs
        source = hub.locate(name, **where)
        if (base := base_of_adapter(source, where)) is not None:
            name, source = base.name, base
        return required_values(source) | {"_name_or_path": str(name), "_commit_hash": source.commit}, kwargs

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """Load from a folder, a config.json or a hub name; keywords that are keys of the configuration override it.

        The file may be a GGUF file, and `gguf_file` its name in the folder or on the hub.

        Raises NotFoundError when it is not there, ConfigError when it cannot be read. With `return_unused_kwargs`, also
        returns the keywords that are no key.
        """
        values, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        theirs = values.get("model_type")
        if theirs != cls.model_type and isinstance(values.get(cls.base_config_key), dict):
            beside = {key: values[key] for key in ("_name_or_path", "_commit_hash") if key in values}
            values, theirs = values[cls.base_config_key] | beside, cls.model_type
        if theirs and cls.model_type and theirs != cls.model_type:
            raise ConfigError(
                f"{pretrained_model_name_or_path}: model_type is {theirs!r}, "
                f"but {cls.__name__} is for {cls.model_type!r}. "
                "Load it with AutoConfig, or with the class of its own family."
            )
        return cls.from_dict(values, return_unused_kwargs=return_unused_kwargs, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], *, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make one from the contents of a config.json; keywords as in `from_pretrained`."""
        values = {k: v for k, v in config_dict.items() if k != "torch_dtype" and not _of_the_class(cls, k)}
        values.setdefault("dtype", config_dict.get("torch_dtype"))
        # which code runs is never the file's choice
        for key in ("_attn_implementation", "attn_implementation", "_attn_implementation_internal"):
            values.pop(key, None)
        labels = {k: kwargs.pop(k) for k in ("num_labels", "id2label", "label2id") if k in kwargs}
        if set(labels) == {"num_labels"} and labels["num_labels"] == len(values.get("id2label") or ()):
            labels = {}
        if labels:
            values = {k: v for k, v in values.items() if k not in ("num_labels", "id2label", "label2id")} | labels
        elif values.get("id2label") is not None:
            values.pop("num_labels", None)
        try:
            config = cls(**values)
        except ConfigError as e:
            where = values.get("_name_or_path")
            raise ConfigError(f"{where}: {e}" if where else str(e)) from e
        if "attn_implementation" in kwargs:
            config._attn_implementation = kwargs.pop("attn_implementation")
        for key in [k for k in kwargs if hasattr(config, k)]:
            setattr(config, key, kwargs.pop(key))
        return (config, kwargs) if return_unused_kwargs else config

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Any:
        """Make one from a JSON file."""
        return cls.from_dict(read_json(Path(json_file)))

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **_: Any) -> None:
        """Write config.json to the folder, which is made if needed; a reader sees the old file or the new one."""
        refuse_push(push_to_hub)
        with replacing(save_directory) as stage:
            self.to_json_file(stage / CONFIG_NAME)

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write the configuration as JSON."""
        Path(json_file_path).write_text(self.to_json_string(use_diff), encoding="utf-8")

    def to_json_string(self, use_diff: bool = True) -> str:
        """The configuration as JSON; with `use_diff`, without the common keys that have their default."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        if "label2id" in values:
            values["label2id"] = {str(label): i for label, i in values["label2id"].items()}
        return json.dumps(values, indent=2, sort_keys=True, default=_python) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """All keys and values, ready for JSON."""
        values = {k: v for k, v in self._copied({}).items() if k not in _OWN}
        values |= {k: v.to_dict() for k, v in values.items() if isinstance(v, PretrainedConfig)}
        dtype = values.pop("dtype", None)
        if dtype is not None:
            values["torch_dtype"] = str(dtype).removeprefix("torch.")  # the spelling that old and new readers know
        return values | {"model_type": type(self).model_type}

    def _copied(self, memo: dict[int, Any]) -> dict[str, Any]:
        labels = ("id2label", "label2id")  # flat, and of any length: a general copy takes seconds
        return {k: dict(v) if k in labels else copy.deepcopy(v, memo) for k, v in self.__dict__.items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> PretrainedConfig:
        new = type(self).__new__(type(self))
        new.__dict__.update(self._copied(memo))
        return new

    def to_diff_dict(self) -> dict[str, Any]:
        """The family's own keys, and the common keys that differ from their default."""
        own = set(self.keys())
        common = PretrainedConfig().__dict__
        return {k: v for k, v in self.to_dict().items() if k in own or k not in common or v != common[k]}

    def update(self, config_dict: dict[str, Any]) -> None:
        """Set several keys."""
        for key, value in config_dict.items():
            setattr(self, key, value)

    def update_from_string(self, update_str: str) -> None:
        """Set keys that are there from text, "hidden_size=8,use_cache=false"; each value is read as what it replaces.

        Errors: ArgumentError for a key that is not there, or a value that is none of its key's kind.
        """
        for pair in update_str.split(","):
            name, equals, text = pair.partition("=")
            if not equals or (name not in self and type(self).attribute_map.get(name) not in self):
                raise ArgumentError(
                    f"update_from_string: {pair!r} is not key=value with a key of {type(self).__name__}."
                    + near(name, self)
                )
            setattr(self, name, _read_as(getattr(self, name), name, text))

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """The configuration of the part that reads or writes text: the nested one, or this one where there is none."""
        ends = {"encoder": ("text_encoder",), "decoder": ("decoder", "generator", "text_config")}
        names = (
            (*ends["encoder"], *ends["decoder"]) if decoder == encoder else ends["decoder" if decoder else "encoder"]
        )
        found = [name for name in names if isinstance(getattr(self, name, None), PretrainedConfig)]
        if len(found) > 1:
            raise ConfigError(f"{type(self).__name__} has several configurations of text: {found}; take one by name.")
        return getattr(self, found[0]) if found else self

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    _repr_html_ = config_html


def longest_text(config: Any) -> int | None:
    """As `config.longest_text()`, also for configurations that are none of this package, or None."""
    own = getattr(type(config), "longest_text", PretrainedConfig.longest_text)
    longest: int | None = own(config)
    return longest


def longest_written(config: Any) -> int | None:
    """As `config.longest_written()`, also for configurations that are none of this package."""
    return config.longest_written() if isinstance(config, PretrainedConfig) else longest_text(config)


_OWN = {"_name_or_path", "_commit_hash", "_attn_implementation"}


class _NoKeyError(AttributeError):
    """Looks for near names when it is shown only: `getattr(config, key, default)` is asked often."""

    def __str__(self) -> str:
        return super().__str__() + near(self.name, vars(self.obj))


_NOT_KEYS = {"model_type", "attribute_map", "sub_configs", "base_config_key", "id2label", "label2id", *_OWN}
_MOST_LABELS, _MOST_LAYERS = 250_000, 1000  # a file that says more would fill memory before its weights are looked at
# Python objects take up to twenty times the room of their JSON, and are copied; tables of labels take and are less
_MOST_BYTES, _MOST_BYTES_WITH_LABELS, _MOST_BRACKETS, _MOST_KEYS = 5_000_000, 20_000_000, 200_000, 10_000
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (lambda x: type(x) is int and 0 <= x < 2**31, "an integer from 0 to 2³¹ - 1"),
    "size": (lambda x: type(x) is int and 1 <= x < 2**31, "an integer from 1 to 2³¹ - 1"),
    "number": (lambda x: type(x) is int and abs(x) < 2**31, "an integer"),
    "float": (lambda x: type(x) in (int, float) and math.isfinite(x), "a number"),
    "distance": (lambda x: type(x) in (int, float) and 0 <= x < math.inf, "a number of at least 0"),
    "rate": (lambda x: type(x) in (int, float) and 0 <= x <= 1, "a number from 0 to 1"),
    "str": (lambda x: isinstance(x, str), "a string"),
    "bool": (lambda x: x in (True, False), "true or false"),
}


def _kind(cls: type, key: str) -> str:
    return next(str(vars(c)["__annotations__"][key]) for c in cls.__mro__ if key in vars(c).get("__annotations__", ()))


def _of_the_class(cls: type, key: str) -> bool:
    """Whether a key has the name of a method or of something else that a configuration consists of."""
    found = getattr(cls, key, None)
    fixed = isinstance(found, property) and found.fset is None
    return key == "self" or key.startswith("__") or callable(found) or fixed


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _python(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; other values as they are."""
    return value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else value


def _label(value: Any) -> Any:
    value = _python(value)
    return value if isinstance(value, (int, float)) else str(value)


def _read_as(old: Any, name: str, text: str) -> Any:
    """The text as a value of the kind of `old`."""
    truths = {"true": True, "1": True, "y": True, "yes": True, "false": False, "0": False, "n": False, "no": False}
    kind = type(old)
    try:
        return truths[text.lower()] if kind is bool else {int: int, float: float, str: str}[kind](text)
    except (KeyError, ValueError) as e:
        raise ArgumentError(
            f"update_from_string: {name}={text[:80]!r} cannot replace {_shown(old)}; "
            "values are whole numbers, numbers, true or false, or text, as the one that they replace."
        ) from e


def _pruned(value: Any) -> dict[int, list[int]]:
    try:
        if len(value or ()) > _MOST_LAYERS:
            raise ValueError
        return {int(layer): [int(head) for head in heads] for layer, heads in dict(value or {}).items()}
    except (TypeError, ValueError) as e:
        raise ConfigError(f"pruned_heads={_shown(value)} is no table of layers to heads such as {{0: [1, 2]}}.") from e


def refuse_push(wanted: bool) -> None:
    """Raise ArgumentError for `push_to_hub=True`, which must not be passed over in silence."""
    if wanted:
        raise ArgumentError(
            "push_to_hub=True is not available. Save to a folder, then upload it: "
            "huggingface_hub.upload_folder(folder_path=…, repo_id=…)."
        )


def config_values(source: hub.Source) -> dict[str, Any] | None:
    """What a model's config.json says, or the bert_config.json of a TensorFlow 1 checkpoint; None without either."""
    for name in (CONFIG_NAME, *(f"{family}_{CONFIG_NAME}" for family in registry.families())):
        if (path := source.file(name)) is not None:
            return _values(path)
    return None


def base_of_adapter(source: hub.Source, where: Mapping[str, Any]) -> hub.Source | None:
    """The model that an adapter is for, as its adapter_config.json names it: a folder, or a name on the hub, looked for
    as `where` says. None for what is no adapter, and for a folder with a model beside the adapter.

    Errors: ConfigError where none is named, or one that is an adapter too; NotFoundError where it is not there.
    """
    path = source.file(ADAPTER_NAME)
    if path is None or (source.is_local and source.file(CONFIG_NAME) is not None):
        return None
    values = read_json(path)
    name, revision = values.get("base_model_name_or_path"), values.get("revision")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{path} names no base_model_name_or_path: load the model that the adapter is for, and then "
            "model.load_adapter(folder)."
        )
    kept = {key: value for key, value in where.items() if key not in ("revision", "subfolder")}
    try:
        base = hub.locate(name, **kept, revision=revision if isinstance(revision, str) and revision else None)
    except (NotFoundError, InputError, ArgumentError) as error:
        raise NotFoundError(f"{path} says that the adapter is for {name!r}, which cannot be had: {error}") from error
    if base.file(ADAPTER_NAME) is not None and base.file(CONFIG_NAME) is None:
        raise ConfigError(f"{path} says that the adapter is for {name!r}, which is an adapter itself and no model.")
    return base


def required_values(source: hub.Source) -> dict[str, Any]:
    """The same, but NotFoundError without either."""
    if (found := config_values(source)) is not None:
        return found
    if packed := [name for name in source.names() if name.endswith(".gguf")]:
        raise NotFoundError(
            f"{source.where} has no {CONFIG_NAME}. It has {', '.join(packed[:12])}, all of a model: load that "
            f"file by its path, or give gguf_file={packed[0]!r}."
        )
    return _values(source.require(CONFIG_NAME))


def _values(path: Path) -> dict[str, Any]:
    family = path.name.removesuffix(f"_{CONFIG_NAME}")
    return ({"model_type": family.replace("_", "-")} if family in registry.families() else {}) | read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises NotFoundError or ConfigError naming the file and the place."""
    try:
        if (size := path.stat().st_size) > _MOST_BYTES_WITH_LABELS:
            raise _too_large(path, f"{size:,} bytes", _MOST_BYTES_WITH_LABELS)
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise ConfigError(f"{path} is not text in UTF-8 (byte {e.start}); is it another file under this name?") from e
    except OSError as e:
        if isinstance(e, ConfigError):
            raise
        raise NotFoundError(f"{path} cannot be read: {e.strerror or e}.") from e
    if not text.strip():
        raise ConfigError(f"{path} is empty; it should hold a JSON object. Download or save it again.")
    if (brackets := text.count("[") + text.count("{")) > _MOST_BRACKETS:
        raise _too_large(path, f"{brackets:,} lists and objects", _MOST_BRACKETS)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as e:
        raise ConfigError(
            f"{path} is no valid JSON at line {e.lineno}, column {e.colno}: {e.msg}. Is it cut short?"
        ) from e
    except (RecursionError, ValueError) as e:
        raise ConfigError(f"{path} is no JSON that can be read: {e}.") from e
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a JSON {type(value).__name__}; it should hold an object: {{…}}.")
    if len(value) > _MOST_KEYS:
        raise _too_large(path, f"{len(value):,} keys", _MOST_KEYS)
    if size > _MOST_BYTES:
        labels = {key: value[key] for key in ("id2label", "label2id") if key in value}
        others = size - len(json.dumps(labels, indent=4))
        if others > _MOST_BYTES:
            raise _too_large(path, f"{others:,} bytes beside its labels", _MOST_BYTES)
    return value


def _too_large(path: Path, has: str, most: int) -> ConfigError:
    return ConfigError(f"{path} has {has}; at most {most:,} are read. Is it another file?")
