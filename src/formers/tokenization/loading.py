"""From a hub name or a folder to a tokenizer: which files, and what they say."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from tokenizers import AddedToken

from .. import gguf, hub
from ..config import base_of_adapter, config_values
from ..errors import ArgumentError, ConfigError, NotFoundError, TokenizerError, near
from .chat import as_templates
from .special import MORE, NAMES, Token
from .types import LARGE_INTEGER

T = TypeVar("T", bound="Loading")

CONFIG = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"
# Keywords of from_pretrained that choose a class or a file elsewhere, and keys of tokenizer_config.json that name files
# and classes: none of them is for the tokenizer.
_NOT_OURS = ("use_fast", "from_slow", "trust_remote_code", "tokenizer_type", "config", "backend", "_from_pipeline")
_NOT_KEPT = (
    "tokenizer_class", "auto_map", "special_tokens_map_file", "tokenizer_file", "vocab_file", "init_inputs",
    "name_or_path", "backend", "is_local", "local_files_only", "processor_class", "tokenizer_object", "vocab", "self",
    "normalizer_file",
)  # fmt: skip


def kept(options: dict[str, Any]) -> dict[str, Any]:
    """Those of a tokenizer's `init_kwargs` that make another one like it: no files, names, and special tokens."""
    special = (*NAMES, MORE, "extra_special_tokens", "model_specific_special_tokens")
    leave = {*_NOT_KEPT, *special, "merges_file", "verbose", "max_len", "chat_template"}
    return {name: value for name, value in options.items() if name not in leave}


class Loading:
    """The part of a tokenizer class that reads files."""

    init_kwargs: dict[str, Any]
    _template_file: str
    vocab_files_names: dict[str, str]
    _options: tuple[str, ...] = (
        *NAMES, MORE, "model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces",
        "split_special_tokens", "model_input_names", "chat_template",
    )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls: type[T], pretrained_model_name_or_path: str | os.PathLike[str], *init_inputs: Any, **kwargs: Any
    ) -> T:
        """Load from a hub name, a folder, or a vocabulary or tokenizer.json file.

        The file may be a GGUF file, and `gguf_file` its name in the folder or on the hub.

        Keywords override what the files say (`do_lower_case=False`, `pad_token="<pad>"`). Where the files name no
        longest input, the model's own limit is used: `max_position_embeddings` of the config.json beside them.
        Hub keywords: `revision`, `subfolder`, `cache_dir`, `token`, `local_files_only`, `force_download`, `proxies`.

        Errors: NotFoundError when there is no such name, folder or file; TokenizerError for a broken file.
        """
        packed = gguf.given(pretrained_model_name_or_path, kwargs)
        where = hub.hub_arguments(kwargs)
        for name in _NOT_OURS:
            kwargs.pop(name, None)
        cls._check_names(kwargs)
        if "max_len" in kwargs:
            kwargs.setdefault("model_max_length", kwargs.pop("max_len"))
        if packed is not None:
            return cls._from_gguf(packed, **kwargs)
        if isinstance(pretrained_model_name_or_path, (str, os.PathLike)) and os.path.isfile(
            pretrained_model_name_or_path
        ):
            return cls._from_file(Path(pretrained_model_name_or_path), *init_inputs, **kwargs)
        source = hub.locate(pretrained_model_name_or_path, **where)
        found = {argument: source.file(name) for argument, name in cls.vocab_files_names.items()}
        files = {argument: str(path) for argument, path in found.items() if path is not None}
        if not files and (base := base_of_adapter(source, where)) is not None:
            own = {**where, "revision": base.commit, "subfolder": None}
            return cls.from_pretrained(base.name, *init_inputs, **own, **kwargs)
        if not files:
            source.require(*sorted(cls.vocab_files_names.values(), key=lambda name: name != "tokenizer.json"))
        config = read_object(source.file(CONFIG))
        options = {k: _token(v) for k, v in config.items() if k not in _NOT_KEPT and k not in cls.vocab_files_names}
        options["added_tokens_decoder"] = _added(options.get("added_tokens_decoder"), source.file(CONFIG))
        cls._check_options(options, source.file(CONFIG))
        special = {k: v for k, v in read_object(source.file(SPECIAL)).items() if k == MORE or k.endswith("_token")}
        for key, value in special.items():
            options[key] = [_token(one) for one in value] if isinstance(value, list) else _token(value)
        cls._check_options({key: options[key] for key in special}, source.file(SPECIAL))
        if "extra_special_tokens" in config and MORE in options:
            del options["extra_special_tokens"]  # one list under its old and its new name
        for number, token in _added_by_name(source.file(ADDED)).items():
            options["added_tokens_decoder"].setdefault(number, token)
        place, templates = _templates(source)
        if place is not None:
            options["chat_template"] = templates
        if not _is_limit(options.get("model_max_length", options.get("max_len"))):
            options.pop("max_len", None)
            options["model_max_length"] = cls.longest_input(_of_the_model(source, where))
        made = cls(*init_inputs, **{**files, "name_or_path": source.name, **options, **kwargs})
        made.init_kwargs.update(files)
        made._template_file = repr(str(place or source.file(CONFIG)))
        return made

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The tokens that a model with this configuration can take; None when it does not say."""
        limit = config.get("max_position_embeddings")
        return limit if isinstance(limit, int) and limit > 0 else None

    @classmethod
    def _from_file(cls: type[T], path: Path, *init_inputs: Any, **kwargs: Any) -> T:
        as_json = path.suffix == ".json"
        wanted = [name for name in cls.vocab_files_names if (name == "tokenizer_file") == as_json]
        if not wanted:
            raise TokenizerError(
                f"{str(path)!r} is not a file that {cls.__name__} reads: it needs "
                f"{' or '.join(cls.vocab_files_names.values())}. Give the folder, or use AutoTokenizer."
            )
        return cls(*init_inputs, **{wanted[0]: str(path), "name_or_path": str(path), **kwargs})

    @classmethod
    def _from_gguf(cls: type[T], path: Path, **kwargs: Any) -> T:
        from .gguf import from_metadata  # which makes tokenizers of this class

        return from_metadata(gguf.metadata(path), str(path), cls, **kwargs)

    @classmethod
    def _check_options(cls, options: dict[str, Any], path: Path | None) -> None:
        try:
            cls._check_names(options)
        except ArgumentError as error:
            raise TokenizerError(f"{str(path)!r}: {error}") from error
        _check_kinds(options, path)

    @classmethod
    def _check_names(cls, given: Iterable[str]) -> None:
        """Refuse a keyword that is almost one of ours; others are kept, as files of other libraries hold many."""
        for name in given:
            if name not in cls._options and difflib.get_close_matches(name, cls._options, n=1, cutoff=0.9):
                raise ArgumentError(f"{cls.__name__} has no option {name!r}.{near(name, cls._options)}")


def _templates(source: hub.Source) -> tuple[Path | None, str | dict[str, str] | None]:
    """The chat templates in files of their own, which count more than those of the configuration, and the first one."""
    if (path := source.file("chat_template.jinja")) is not None:
        named = [name for name in source.names() if name.startswith(_MORE_TEMPLATES) and name.endswith(".jinja")]
        files = {name[len(_MORE_TEMPLATES) : -len(".jinja")]: source.file(name) for name in named}
        more = {name: _text(file) for name, file in files.items() if file is not None}
        return path, {"default": _text(path), **more} if more else _text(path)
    if (path := source.file("chat_template.json")) is not None:
        value = read_object(path).get("chat_template")
        _check_kinds({"chat_template": value}, path)
        return (None, None) if value is None else (path, value)
    return None, None


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than the {_MOST_BYTES:,} that such a file may have")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{str(path)!r} cannot be read: {error}. Download it again, or remove it.") from error


def _is_template(value: Any) -> bool:
    try:
        as_templates(value)
    except ArgumentError:
        return False
    return True


def _of_the_model(source: hub.Source, where: dict[str, Any]) -> dict[str, Any]:
    """What the configuration says that is beside a tokenizer, or beside the model of an adapter; {} without any."""
    try:
        return config_values(base_of_adapter(source, where) or source) or {}
    except (NotFoundError, ConfigError):  # a tokenizer alone is of use, too
        return {}


def _is_limit(value: Any) -> bool:
    return isinstance(value, (int, float)) and 1 <= value <= LARGE_INTEGER


def read_object(path: Path | None, most: int | None = None) -> dict[str, Any]:
    """The JSON object in a file of `most` bytes; empty when there is no file."""
    if path is None:
        return {}
    most = most or _MOST_BYTES
    try:
        if (size := path.stat().st_size) > most:  # as Python objects it could be twenty times as large
            raise ValueError(f"it has {size:,} bytes, more than the {most:,} that such a file may have")
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # fails for half a character, which no token can have
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{str(path)!r} cannot be read: {error}. Download it again, or remove it.") from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{str(path)!r} must hold a JSON object, {{…}}, and holds a {type(value).__name__}.")
    return value


def _token(value: Any) -> Any:
    """AddedToken for the object that stands for one in the files; anything else as it is."""
    if not isinstance(value, dict) or "content" not in value:
        return value
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(str(value["content"]), **{flag: bool(value[flag]) for flag in flags if flag in value})


def _added(value: Any, path: Path | None) -> dict[int, Token]:
    if not isinstance(value, (dict, type(None))) or not all(
        isinstance(token, dict) for token in (value or {}).values()
    ):
        raise TokenizerError(f"added_tokens_decoder in {str(path)!r} must be {{id: token}}.")
    return _numbered([(number, _token(token)) for number, token in (value or {}).items()], path)


def _added_by_name(path: Path | None) -> dict[int, Token]:
    return _numbered([(number, token) for token, number in read_object(path).items()], path)


def _numbered(tokens: list[tuple[Any, Any]], path: Path | None) -> dict[int, Token]:
    if len(tokens) > _MOST_ADDED:
        raise TokenizerError(f"{str(path)!r} adds {len(tokens):,} tokens; at most {_MOST_ADDED:,} can be.")
    for number, token in tokens:
        if not isinstance(token, (str, AddedToken)) or not str(number).isdecimal() or int(number) >= 2**31:
            raise TokenizerError(
                f"{str(path)!r}: the added token {str(token)[:80]!r} has no id, but {str(number)[:80]!r}."
            )
    return {int(number): token for number, token in tokens}


def _check_kinds(options: dict[str, Any], path: Path | None) -> None:
    """Raise TokenizerError for an option of another kind than a tokenizer takes."""
    for key, value in options.items():
        fits, rule = _KINDS.get("token" if key in NAMES else key, (None, ""))
        if value is not None and fits is not None and not fits(value):
            raise TokenizerError(f"{str(path)!r}: {key} is {str(value)[:80]!r}; it must be {rule}.")


def _is_length(value: Any) -> bool:
    return type(value) in (int, float) and not value < 1  # what is no finite number says that there is no limit


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(_token(one), (str, AddedToken)) for one in value)


_MOST_BYTES = 10_000_000
_MORE_TEMPLATES = "additional_chat_templates/"
_MOST_ADDED = 50_000  # each makes looking for all of them in a text slower
_SIDE = (lambda x: x in ("left", "right"), "left or right")
_FLAG = (lambda x: x in (True, False), "true or false")
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "token": (lambda x: isinstance(x, (str, AddedToken)), "a token"),
    MORE: (_is_tokens, "a list of tokens"),
    "extra_special_tokens": (lambda x: _is_tokens(x) or isinstance(x, dict), "a list of tokens"),
    "chat_template": (_is_template, "a template, or a list of {name, template}"),
    "model_input_names": (_is_strings, "a list of strings"),
    "never_split": (lambda x: isinstance(x, str) or _is_strings(x), "a list of strings"),
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    **dict.fromkeys(("model_max_length", "max_len"), (_is_length, "a number of tokens, 1 or more")),
    **dict.fromkeys(("do_lower_case", "do_basic_tokenize", "tokenize_chinese_chars", "strip_accents"), _FLAG),
}
