"""A new vocabulary for the same kind of tokenizer, learned from texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from tokenizers import AddedToken, Tokenizer, trainers

from ..errors import ArgumentError
from . import arguments
from .backend import translated
from .loading import kept
from .saving import Saving
from .special import MORE, SpecialTokens, Token

T = TypeVar("T", bound="Training")
_FEW = 3
_NO_PIECE = re.compile(r"<[^<>]{1,20}>[A-Z]{1,20}$")


class Training(SpecialTokens, Saving):
    """The part of a tokenizer that makes another one."""

    def train_new_from_iterator(
        self: T,
        text_iterator: Iterable[str] | Iterable[list[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: list[Token] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> T:
        """A tokenizer with this one's steps and options, and a vocabulary of `vocab_size` learned from the texts.

        `text_iterator` gives texts, or lists of them (faster); `length`, how many, is for the progress bar.
        `special_tokens_map` renames special tokens, `{"[CLS]": "<s>"}`; `new_special_tokens` are put in besides.
        Further keywords are the trainer's of the `tokenizers` library (`min_frequency`, `show_progress`…).
        """
        size = arguments.whole_number("vocab_size", vocab_size, at_least=1)
        renamed = dict(special_tokens_map or {})
        description = json.loads(self._plain().to_str())
        more = [str(token) for token in new_special_tokens or []]
        empty = _Emptied(description, renamed)
        added = [{**token, "content": renamed.get(token["content"], token["content"])} for token in empty.added]
        kept_ids = _with_fillers([token for token in added if token["special"]], self._plain())
        special = [*map(_added_token, kept_ids), *(new_special_tokens or [])]
        trainer = _trainer(empty.tokenizer.model, description["model"], renamed, kwargs)
        options = {"vocab_size": size, "special_tokens": special, **_kept(description["model"]), **kwargs}
        for name, value in options.items():
            if not hasattr(trainer, name):
                known = [known for known in dir(trainer) if not known.startswith("_")]
                arguments.refuse("train_new_from_iterator", {name: value}, known)
            setattr(trainer, name, value)
        with translated("Training the tokenizer failed"):
            empty.tokenizer.train_from_iterator(text_iterator, trainer=trainer, length=length)
        learned = json.loads(empty.tokenizer.to_str())
        learned["post_processor"] = _renumbered(description["post_processor"], empty.tokenizer, renamed)
        return self._like(Tokenizer.from_str(json.dumps(learned)), renamed, more)

    def _like(self: T, learned: Tokenizer, renamed: Mapping[str, str], more: list[str]) -> T:
        special: dict[str, Any] = {
            name: [_renamed(token, renamed) for token in value] if isinstance(value, list) else _renamed(value, renamed)
            for name, value in self.special_tokens_map_extended.items()
        }
        if more:
            special[MORE] = [*special.get(MORE, []), *more]
        options = {
            name: getattr(self, name)
            for name in (
                "model_max_length",
                "padding_side",
                "truncation_side",
                "clean_up_tokenization_spaces",
                "chat_template",
            )
        }
        return type(self)(tokenizer_object=learned, **{**kept(self.init_kwargs), **options, **special})  # type: ignore[call-arg]


class _Emptied:
    """The same tokenizer without vocabulary, and the added tokens it had."""

    def __init__(self, description: dict[str, Any], renamed: Mapping[str, str]) -> None:
        self.added: list[dict[str, Any]] = description["added_tokens"]
        model = dict(description["model"])
        unknown = model.get("unk_token")
        if model["type"] == "Unigram":
            kept = [model["vocab"][model["unk_id"]]] if model.get("unk_id") is not None else []
            model.update(vocab=kept, unk_id=0 if kept else None)
        else:
            model.update(vocab={}, **({"merges": []} if "merges" in model else {}))
        if unknown is not None and unknown in renamed:
            model["unk_token"] = renamed[unknown]
        bare = {**description, "model": model, "added_tokens": [], "post_processor": None}
        self.tokenizer = Tokenizer.from_str(json.dumps(bare))


def _trainer(empty: Any, model: Mapping[str, Any], renamed: Mapping[str, str], options: dict[str, Any]) -> Any:
    """The trainer of a model; one for Unigram must be made with its unknown token, and forgets it otherwise."""
    if model["type"] != "Unigram":
        return empty.get_trainer()
    unknown = None if model.get("unk_id") is None else str(model["vocab"][model["unk_id"]][0])
    return trainers.UnigramTrainer(unk_token=options.pop("unk_token", unknown and renamed.get(unknown, unknown)))


def _kept(model: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's file says of the pieces, which the trainer must be told again."""
    names = ("continuing_subword_prefix", "end_of_word_suffix")
    return {name: model[name] for name in names if model.get(name) is not None}


def _with_fillers(special: list[dict[str, Any]], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The special tokens, and where few ids are free before one, what stood there: "<s>NOTUSED", no piece of a text.

    So a configuration's pad_token_id stays right.
    """
    found: list[dict[str, Any]] = []
    for token in special:
        between = [tokenizer.id_to_token(number) for number in range(len(found), token["id"])][: _FEW + 1]
        if len(between) <= _FEW and all(name and _NO_PIECE.match(name) for name in between):
            found += [{**token, "content": name, "lstrip": False} for name in between]
        found.append(token)
    return found


def _added_token(token: Mapping[str, Any]) -> AddedToken:
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(token["content"], **{flag: token[flag] for flag in flags})


def _renamed(token: Token, renamed: Mapping[str, str]) -> Token:
    if isinstance(token, str):
        return renamed.get(token, token)
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(renamed.get(token.content, token.content), **{flag: getattr(token, flag) for flag in flags})


def _renumbered(processor: Any, learned: Tokenizer, renamed: Mapping[str, str]) -> Any:
    """The post-processor with the new names and ids of its special tokens."""
    if not isinstance(processor, dict):
        return processor
    made: dict[str, Any] = dict(processor)
    if "processors" in made:
        made["processors"] = [_renumbered(one, learned, renamed) for one in made["processors"]]
    for key in ("cls", "sep"):
        if key in made:
            token = renamed.get(made[key][0], made[key][0])
            made[key] = [token, _id(learned, token)]
    for name, entry in made.get("special_tokens", {}).items():
        tokens = [renamed.get(token, token) for token in entry["tokens"]]
        made["special_tokens"][name] = {**entry, "tokens": tokens, "ids": [_id(learned, token) for token in tokens]}
    return made


def _id(learned: Tokenizer, token: str) -> int:
    number = learned.token_to_id(token)
    if number is None:
        raise ArgumentError(
            f"The special token {token!r} is not in the new vocabulary. Add it with new_special_tokens=[{token!r}]."
        )
    return number
