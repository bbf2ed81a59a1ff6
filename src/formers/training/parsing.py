"""HfArgumentParser: the fields of dataclasses as options of a command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import types
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import ArgumentError
from ..extra import library

_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def string_to_bool(v: Any) -> bool:
    """What a word means: yes, true, t, y or 1, and their opposites, however written."""
    if isinstance(v, bool):
        return v
    if v.lower() in (*_TRUE, *_FALSE):
        return v.lower() in _TRUE
    raise argparse.ArgumentTypeError(f"{v!r} is none of {', '.join((*_TRUE, *_FALSE))}.")


def HfArg(
    *,
    aliases: str | list[str] | None = None,
    help: str | None = None,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    metadata: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """A field of a dataclass with a help text and other names for its option."""
    given = {name: value for name, value in (("aliases", aliases), ("help", help)) if value is not None}
    return dataclasses.field(
        metadata={**(metadata or {}), **given}, default=default, default_factory=default_factory, **kwargs
    )


class HfArgumentParser(argparse.ArgumentParser):
    """A parser with an option for each field of one or several dataclasses, of the field's type.

    A field of type bool is a switch; with the default True it has an option --no_… too. Lists take several words.
    Options may be written with "-" for "_". Others that are added are given back in a namespace.
    """

    def __init__(self, dataclass_types: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        super().__init__(**kwargs)
        one = dataclass_types is not None and not isinstance(dataclass_types, (list, tuple, set))
        if one and isinstance(dataclass_types, Iterable) and not isinstance(dataclass_types, type):
            one = False
        self.dataclass_types: list[Any] = [dataclass_types] if one else list(dataclass_types or ())
        for kind in self.dataclass_types:
            self._add_dataclass_arguments(kind)

    def _add_dataclass_arguments(self, dtype: Any) -> None:
        name = getattr(dtype, "_argument_group_name", None)
        group: Any = self.add_argument_group(name) if name else self
        hints = get_type_hints(dtype)
        for field in dataclasses.fields(dtype):
            if field.init:
                _add(group, field, hints[field.name])
        for name in getattr(dtype, "OLD_ARGUMENTS", ()):
            words: Any = {"type": _value, "nargs": "?", "const": True, "default": argparse.SUPPRESS}
            group.add_argument(*_options(name), help=argparse.SUPPRESS, **words)

    def parse_args_into_dataclasses(
        self,
        args: list[str] | None = None,
        return_remaining_strings: bool = False,
        look_for_args_file: bool = True,
        args_filename: str | None = None,
        args_file_flag: str | None = None,
    ) -> tuple[Any, ...]:
        """An object of each dataclass, then a namespace if there are other options, then with
        `return_remaining_strings` the words that are no options.

        look_for_args_file: read words from the script's name with the ending .args before, where that is there;
        args_filename: or from this file; args_file_flag: or from the files that this option names.
        """
        words = sys.argv[1:] if args is None else list(args)
        files: list[Path] = []
        if args_filename:
            files.append(Path(args_filename))
        elif look_for_args_file and sys.argv:
            files.append(Path(sys.argv[0]).with_suffix(".args"))
        if args_file_flag:
            flags = argparse.ArgumentParser(add_help=False)
            flags.add_argument(args_file_flag, dest="files", action="append", default=[])
            found, words = flags.parse_known_args(words)
            files += map(Path, found.files)
        before = [word for file in files if file.is_file() for word in file.read_text(encoding="utf-8").split()]
        namespace, rest = self.parse_known_args(before + words)
        values, made = vars(namespace), []
        for kind in self.dataclass_types:
            made.append(kind(**{name: values.pop(name) for name in _names(kind) if name in values}))
        if values:
            made.append(namespace)
        if return_remaining_strings:
            return (*made, rest)
        if rest:
            raise ArgumentError(f"These words are no options: {' '.join(rest)}. --help lists all.")
        return tuple(made)

    def parse_dict(self, args: dict[str, Any], allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """An object of each dataclass from {field: value}. Errors: ArgumentError for a key that is no field."""
        known = {name for kind in self.dataclass_types for name in _names(kind)}
        if (unknown := sorted(args.keys() - known)) and not allow_extra_keys:
            raise ArgumentError(f"No field is called {', '.join(map(repr, unknown))}.")
        return tuple(
            kind(**{name: args[name] for name in _names(kind) if name in args}) for kind in self.dataclass_types
        )

    def parse_json_file(self, json_file: Any, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """The same from a file of JSON."""
        return self.parse_dict(json.loads(Path(json_file).read_text(encoding="utf-8")), allow_extra_keys)

    def parse_yaml_file(self, yaml_file: Any, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """The same from a file of YAML."""
        yaml: Any = library("yaml", "parse_yaml_file", '"formers[train]"')
        return self.parse_dict(yaml.safe_load(Path(yaml_file).read_text(encoding="utf-8")), allow_extra_keys)


def _names(kind: Any) -> list[str]:
    return [*(f.name for f in dataclasses.fields(kind) if f.init), *getattr(kind, "OLD_ARGUMENTS", ())]


def _options(name: str) -> list[str]:
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))


def _value(word: str) -> Any:
    """A word of an option whose type is not known: a bool or a number, if it looks like one."""
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def _add(group: Any, field: Any, hint: Any) -> None:
    """The option of one field."""
    options: dict[str, Any] = dict(field.metadata)
    aliases = options.pop("aliases", [])
    names = [*_options(field.name), *([aliases] if isinstance(aliases, str) else aliases)]
    kind, default = _type(field.name, hint), field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    absent = default is dataclasses.MISSING
    if kind is bool:
        switch = hint is bool or (not absent and default is not None)
        more = {"nargs": "?", "const": True, "default": False if absent else default} if switch else {"default": None}
        group.add_argument(*names, **options, type=string_to_bool, **more)
        if default is True:
            off = [f"--no_{field.name}", f"--no-{field.name.replace('_', '-')}"]
            group.add_argument(*off, dest=field.name, action="store_false", default=default, **options)
        return
    choices = _choices(kind)
    if choices is not None:
        options["choices"], options["type"] = choices, _choice(choices)
    elif get_origin(kind) is list or kind is list:
        options["nargs"], options["type"] = "+", (get_args(kind) or (str,))[0]
    else:
        options["type"] = kind if isinstance(kind, type) and kind not in (dict,) and callable(kind) else str
    options["required" if absent else "default"] = True if absent else default
    group.add_argument(*names, **options)


def _type(name: str, hint: Any) -> Any:
    """The one type that a word is read as: str where it is one of several, else the one that is not None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if len(kinds) == 1:
        return kinds[0]
    if bool in kinds and str not in kinds:
        return bool
    if str not in kinds:
        raise ArgumentError(f"The field {name!r} has several types, {hint}, and a word could be any of them: give one.")
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)), str)


def _choices(kind: Any) -> list[Any] | None:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return None


def _choice(choices: list[Any]) -> Callable[[str], Any]:
    by_text = {str(choice): choice for choice in choices}
    return lambda word: by_text.get(word, word)
