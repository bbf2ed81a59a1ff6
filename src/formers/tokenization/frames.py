"""The special tokens of a recipe, and how they are put around a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing

from ..errors import TokenizerError
from .patterns import objects, parts

# what stands around a text and around a pair, and the types of token that it gives
BERT_FRAME = ("cls:0 $A:0 sep:0", "cls:0 $A:0 sep:0 $B:1 sep:1")
ROBERTA_FRAME = ("cls:0 $A:0 sep:0", "cls:0 $A:0 sep:0 sep:0 $B:0 sep:0")


def taken(tokens: Mapping[str, str | AddedToken], options: dict[str, Any]) -> dict[str, Any]:
    """The special tokens, by their names, taken out of `options` or else as in `tokens`.

    A mask takes the space before it, as the words that it stands for do.
    """
    special: dict[str, Any] = {name: options.pop(name, default) for name, default in tokens.items()}
    if isinstance(special.get("mask_token"), str):
        special["mask_token"] = AddedToken(special["mask_token"], lstrip=True, special=True)
    return special


def frame(tokenizer: Any, single: str, pair: str) -> TemplateProcessing:
    """From words with the type they give, "cls:0 $A:0 sep:0": $A and $B are the texts, the others special tokens.

    Of a tokenizer that lacks one of these, nothing but the texts is left.
    """
    names = sorted({word.split(":")[0] for word in pair.split()} - {"$A", "$B"})
    ids = {name: (getattr(tokenizer, f"{name}_token"), getattr(tokenizer, f"{name}_token_id")) for name in names}
    whole = None not in (number for _, number in ids.values())

    def written(words: str) -> list[str]:
        parts = [word.split(":") for word in words.split()]
        return [f"{ids[what][0] if what in ids else what}:{kind}" for what, kind in parts if whole or what not in ids]

    return TemplateProcessing(written(single), written(pair), special_tokens=[*ids.values()] if whole else [])


def check_frame(tokenizer: Tokenizer) -> None:
    """Raise TokenizerError for an id that is put around texts and that no token has."""
    for part in objects(parts(tokenizer.post_processor)):
        pairs = [part[key] for key in ("cls", "sep") if isinstance(part.get(key), list)]  # BERT's and RoBERTa's own
        if "tokens" in part:
            pairs += zip(part["tokens"], part.get("ids", ()), strict=False)
        for token, number in pairs:
            if tokenizer.id_to_token(number) is None:
                raise TokenizerError(
                    f"The post-processor puts {str(token)[:80]!r} around texts with the id {number}, and no token of "
                    f"the vocabulary has it: there are {tokenizer.get_vocab_size():,}. Correct tokenizer.json."
                )
