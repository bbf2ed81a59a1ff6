"""Configured: settings that are class attributes, keywords and lines of a file; what prepares inputs has them."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from .. import hub
from ..atomic import replacing
from ..config import refuse_push
from ..errors import ArgumentError, FormersError, near
from .files import KINDS, PREPROCESSOR, as_json, in_file

P = TypeVar("P", bound="Configured")
IGNORED = ("use_fast", "trust_remote_code", "_from_auto")  # keywords that older code gives and that change nothing
NOT_SETTINGS = (*KINDS, "processor_class", "auto_map", "_valid_processor_keys", "_processor_class")


@cache
def _keys(cls: type[Any]) -> dict[str, str]:
    kinds = {name: kind for c in reversed(cls.__mro__) for name, kind in vars(c).get("__annotations__", {}).items()}
    return {name: str(kind) for name, kind in kinds.items() if "ClassVar" not in str(kind)}


class Configured:
    """The annotated attributes of a class, as its settings; a family's class has other values of them.

    old_names: of settings, in older files. ignored: keywords that change nothing. first: the setting that others need.
    """

    old_names: ClassVar[dict[str, str]] = {}
    ignored: ClassVar[tuple[str, ...]] = ()
    first: ClassVar[str | None] = None

    @classmethod
    def keys(cls) -> list[str]:
        """The names of all settings."""
        return list(_keys(cls))  # type: ignore[arg-type]  # mypy takes __eq__ of instances for the class

    def __init__(self) -> None:
        self._unknown: dict[str, Any] = {}  # keys of a file that are no settings: they are written back

    def __getattr__(self, name: str) -> Any:  # reached only when the usual look-up failed
        unknown = self.__dict__.get("_unknown", {})
        if name in unknown:
            return unknown[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}.{near(name, self.keys())}")

    def _take(self, given: dict[str, Any]) -> None:
        """Set settings, as they are given."""
        given = {self.old_names.get(name, name): value for name, value in given.items()}
        known = self.keys()
        for name in sorted(given, key=lambda name: name != self.first):
            if name in known:
                if given[name] is not None:
                    setattr(self, name, given[name])
            elif name not in (*IGNORED, *self.ignored) and name not in NOT_SETTINGS:
                raise ArgumentError(
                    f"{type(self).__name__} has no setting {name!r}.{near(name, known)} It has {', '.join(known)}."
                )

    def with_settings(self: P, overrides: dict[str, Any]) -> P:
        """This one, or a copy of it with other settings."""
        if not overrides:
            return self
        own = copy.copy(self)
        own._take(overrides)
        return own

    # ---- files

    def to_dict(self) -> dict[str, Any]:
        """The settings in the form of a file of Transformers 5."""
        raise NotImplementedError

    def file_dict(self) -> dict[str, Any]:
        """The same in a form that older releases read too."""
        return self.to_dict()

    def to_json_string(self) -> str:
        """The settings as JSON."""
        return as_json(self.to_dict())

    @classmethod
    def from_dict(cls: type[P], values: dict[str, Any], /, **kwargs: Any) -> P:
        """One of a file's values, which keywords override. Values that are no settings are kept."""
        raise NotImplementedError

    @classmethod
    def file_values(cls, name: str | os.PathLike[str], where: dict[str, Any]) -> tuple[dict[str, Any], Path]:
        """The settings in a folder, under a hub name or in a file, and the file that says them."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(
        cls: type[P],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load from a folder, a hub name or a file: preprocessor_config.json, or processor_config.json around it.

        Keywords are settings that override the file's, and the hub's: `revision`, `subfolder`, `cache_dir`, `token`,
        `local_files_only`, `force_download`. `return_unused_kwargs`: give those that are neither beside it.

        Errors: NotFoundError where there is no such name or file; ConfigError for a value that cannot be.
        """
        values, path = cls.file_values(pretrained_model_name_or_path, hub.hub_arguments(kwargs))
        try:
            own = cls.from_dict(values)
        except FormersError as error:
            raise in_file(path, error) from error
        known = {*cls.keys(), *cls.old_names, *IGNORED, *cls.ignored}
        unused = {name: kwargs.pop(name) for name in list(kwargs) if return_unused_kwargs and name not in known}
        own._take(kwargs)
        return (own, unused) if return_unused_kwargs else own

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **_: Any) -> list[str]:
        """Write preprocessor_config.json, which this package and Transformers, old and new, read; gives its path."""
        refuse_push(push_to_hub)
        with replacing(save_directory) as stage:
            (stage / PREPROCESSOR).write_text(as_json(self.file_dict()), encoding="utf-8")
        return [os.path.join(os.path.expanduser(save_directory), PREPROCESSOR)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"
