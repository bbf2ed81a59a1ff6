"""From a tokenizer to files that this package and Transformers, old and new, read back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tokenizers import AddedToken

from ..atomic import replacing
from ..errors import ArgumentError
from .loading import ADDED, CONFIG, SPECIAL, kept

if TYPE_CHECKING:
    from .base import PreTrainedTokenizerFast

TOKENIZER = "tokenizer.json"


class Saving:
    """The part of a tokenizer that writes files."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the tokenizer's files to a folder, all at once; gives their paths.

        These are tokenizer_config.json, special_tokens_map.json, the vocabulary (vocab.txt…), added_tokens.json when
        tokens were added, and tokenizer.json. `legacy_format`: True leaves tokenizer.json out, False writes no other
        vocabulary. `filename_prefix` goes before each name, with a "-".
        """
        if push_to_hub:
            raise ArgumentError(
                "push_to_hub=True is not available. Save to a folder, then huggingface_hub.upload_folder() it."
            )
        before = f"{filename_prefix}-" if filename_prefix else ""
        with replacing(save_directory, stale=[before + ADDED, "chat_template.jinja", "chat_template.json"]) as stage:
            names = self._write(stage, before, legacy_format)
        return tuple(str(Path(os.path.expanduser(save_directory)) / name) for name in names)

    def _write(self, stage: Path, before: str, legacy_format: bool | None) -> list[str]:
        own = cast("PreTrainedTokenizerFast", self)
        names = [_write_json(stage / f"{before}{CONFIG}", self._config())]
        special = {key: _plain(value) for key, value in own.special_tokens_map_extended.items()}
        names.append(_write_json(stage / f"{before}{SPECIAL}", special))
        if legacy_format is not False:
            names += [Path(path).name for path in self.save_vocabulary(str(stage), before.removesuffix("-") or None)]
            added = own.get_added_vocab()
            if added:
                names.append(_write_json(stage / f"{before}{ADDED}", added))
        if legacy_format is not True or len(names) == 2:
            name = f"{before}{TOKENIZER}"
            (stage / name).write_text(own._plain().to_str(pretty=True), encoding="utf-8")
            names.append(name)
        return names

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the vocabulary in the recipe's own form; gives the paths. A tokenizer without a recipe has none."""
        return ()

    def _config(self) -> dict[str, Any]:
        """What tokenizer_config.json says."""
        own = cast("PreTrainedTokenizerFast", self)
        extra = {key: value for key, value in kept(own.init_kwargs).items() if _writable(value)}
        config = {
            **extra,
            **{key: _plain(value, "AddedToken") for key, value in own.special_tokens_map_extended.items()},
            "clean_up_tokenization_spaces": own.clean_up_tokenization_spaces,
            "model_max_length": own.model_max_length,
            "model_input_names": own.model_input_names,
            "padding_side": own.padding_side,
            "truncation_side": own.truncation_side,
            "tokenizer_class": type(own).__name__,
            "added_tokens_decoder": {str(number): _plain(token) for number, token in own.added_tokens_decoder.items()},
        }
        if isinstance(own.chat_template, dict):  # in no files of their own: a name from a file chooses no path
            config["chat_template"] = [{"name": name, "template": text} for name, text in own.chat_template.items()]
        elif own.chat_template is not None:
            config["chat_template"] = own.chat_template
        if own.split_special_tokens:
            config["split_special_tokens"] = True
        return config


def _plain(value: Any, kind: str | None = None) -> Any:
    """AddedToken objects as the JSON objects that stand for them in the files."""
    if isinstance(value, list):
        return [_plain(one, kind) for one in value]
    if not isinstance(value, AddedToken):
        return value
    flags = {flag: getattr(value, flag) for flag in ("lstrip", "normalized", "rstrip", "single_word", "special")}
    return {**({"__type": kind} if kind else {}), "content": value.content, **flags}


def _writable(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _write_json(path: Path, value: dict[str, Any]) -> str:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return path.name
