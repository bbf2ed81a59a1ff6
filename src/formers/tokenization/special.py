"""Special tokens as attributes: `pad_token`, `pad_token_id`, `additional_special_tokens`…"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, overload

from tokenizers import AddedToken

from ..errors import ArgumentError, near
from .vocabulary import Vocabulary

Token = str | AddedToken
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE = "additional_special_tokens"


class _Name:
    """`tokenizer.pad_token`: the string, None when not set; may be set to a string, an AddedToken or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, owner: None, kind: type) -> _Name: ...
    @overload
    def __get__(self, owner: SpecialTokens, kind: type) -> str | None: ...
    def __get__(self, owner: SpecialTokens | None, kind: type) -> _Name | str | None:
        if owner is None:
            return self
        token = owner._special.get(self.name)
        return None if token is None else str(token)

    def __set__(self, owner: SpecialTokens, token: Token | None) -> None:
        owner._set_special(self.name, token)


class _Id:
    """`tokenizer.pad_token_id`: the id, None when the token is not set; setting it sets the token of that id."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    @overload
    def __get__(self, owner: None, kind: type) -> _Id: ...
    @overload
    def __get__(self, owner: SpecialTokens, kind: type) -> int | None: ...
    def __get__(self, owner: SpecialTokens | None, kind: type) -> _Id | int | None:
        if owner is None:
            return self
        token = owner._special.get(self.name)
        return None if token is None else owner._id(str(token))

    def __set__(self, owner: SpecialTokens, number: int | None) -> None:
        owner._set_special(self.name, None if number is None else owner._token_of(number))


class SpecialTokens(Vocabulary):
    """The part of a tokenizer that holds its special tokens, over a `tokenizers.Tokenizer`."""

    SPECIAL_TOKENS_ATTRIBUTES = [*NAMES, MORE]

    _special: dict[str, Token]
    _more_special: list[Token] | None

    bos_token = _Name()
    eos_token = _Name()
    unk_token = _Name()
    sep_token = _Name()
    pad_token = _Name()
    cls_token = _Name()
    mask_token = _Name()
    bos_token_id = _Id()
    eos_token_id = _Id()
    unk_token_id = _Id()
    sep_token_id = _Id()
    pad_token_id = _Id()
    cls_token_id = _Id()
    mask_token_id = _Id()

    def __getattr__(self, name: str) -> Any:
        """Special tokens of a model's own, as `image_token` and `image_token_id`."""
        special = self.__dict__.get("_special", {})
        if name in special:
            return str(special[name])
        if name.endswith("_id") and name[:-3] in special:
            return self._id(str(special[name[:-3]]))
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.{near(name, dir(type(self)))}")

    def _id(self, token: str) -> int | None:
        number = self._tokenizer.token_to_id(token)
        return self.unk_token_id if number is None and token != self.unk_token else number

    def _token_of(self, number: int) -> str:
        token = self._tokenizer.id_to_token(number)
        if token is None:
            raise ArgumentError(
                f"There is no token of id {number}: ids go up to {len(self._tokenizer.get_vocab()) - 1}."
            )
        return token

    def _set_special(self, name: str, token: Token | None) -> None:
        if token is None:
            self._special.pop(name, None)
        elif isinstance(token, (str, AddedToken)):
            self._special[name] = token
        else:
            raise ArgumentError(f"{name} must be a string or an AddedToken, not {type(token).__name__}: {token!r}.")

    @property
    def additional_special_tokens(self) -> list[str] | None:
        """Special tokens that have no name of their own; None after they were set to None."""
        return None if self._more_special is None else [str(token) for token in self._more_special]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Iterable[Token] | None) -> None:
        if isinstance(tokens, str):
            raise ArgumentError(f"additional_special_tokens must be a list of tokens, not the string {tokens!r}.")
        self._more_special = None if tokens is None else list(tokens)

    @property
    def additional_special_tokens_ids(self) -> list[int | None] | None:
        """Their ids."""
        tokens = self.additional_special_tokens
        return None if tokens is None else [self._id(token) for token in tokens]

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, numbers: Iterable[int]) -> None:
        self._more_special = [self._token_of(number) for number in numbers]

    @property
    def extra_special_tokens(self) -> list[str]:
        """The name of `additional_special_tokens` in Transformers 5."""
        return self.additional_special_tokens or []

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Iterable[Token] | None) -> None:
        self.additional_special_tokens = tokens

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """{"pad_token": "[PAD]", …} of the tokens that are set."""
        return {
            name: [str(one) for one in value] if isinstance(value, list) else str(value)
            for name, value in self.special_tokens_map_extended.items()
        }

    @property
    def special_tokens_map_extended(self) -> dict[str, Token | list[Token]]:
        """The same with AddedToken objects where they were given."""
        order = [*NAMES, *(name for name in self._special if name not in NAMES)]
        named: dict[str, Token | list[Token]] = {name: self._special[name] for name in order if name in self._special}
        return {**named, MORE: list(self._more_special)} if self._more_special else named

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """Every special token once, as AddedToken where it was given so."""
        found: dict[str, Token] = {}
        for value in self.special_tokens_map_extended.values():
            for token in value if isinstance(value, list) else [value]:
                found.setdefault(str(token), token)
        return list(found.values())

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int | None]:
        """The ids of `all_special_tokens`."""
        return [self._id(token) for token in self.all_special_tokens]

    def sanitize_special_tokens(self) -> int:
        """Add the special tokens that the vocabulary does not have; gives how many."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)

    def add_tokens(self, new_tokens: Token | Iterable[Token], special_tokens: bool = False) -> int:
        """Add tokens that are never split; gives how many were new.

        A token that the vocabulary already has is left as it is, unless it is to be special. Afterwards the model's
        embeddings need `resize_token_embeddings(len(tokenizer))`.
        """
        tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens)
        for index, token in enumerate(tokens):
            if not isinstance(token, (str, AddedToken)):
                raise ArgumentError(f"new_tokens[{index}] is {token!r}; tokens are strings or AddedToken objects.")
        self._known_added = 0, {}
        before = self._tokenizer.get_vocab_size()
        if special_tokens:
            self._tokenizer.add_special_tokens([as_special(token) for token in tokens])
        else:
            self._tokenizer.add_tokens([token for token in tokens if self._tokenizer.token_to_id(str(token)) is None])
        return self._tokenizer.get_vocab_size() - before

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Token | Iterable[Token]],
        replace_additional_special_tokens: bool = True,
        replace_extra_special_tokens: bool = True,
    ) -> int:
        """Set special tokens, `{"pad_token": "<pad>", "additional_special_tokens": ["<a>"]}`.

        Gives how many were new to the vocabulary.
        """
        count = 0
        for name, value in special_tokens_dict.items():
            if name in (MORE, "extra_special_tokens"):
                tokens = list(value) if not isinstance(value, (str, AddedToken)) else value
                if isinstance(tokens, (str, AddedToken)):
                    raise ArgumentError(f"{name} must be a list of tokens, not {value!r}.")
                known = set(self.additional_special_tokens or [])
                keep = not (replace_additional_special_tokens and replace_extra_special_tokens)
                self._more_special = [
                    *((self._more_special or []) if keep else []),
                    *(token for token in tokens if not keep or str(token) not in known),
                ]
                count += self.add_tokens(tokens, special_tokens=True)
            elif name in NAMES:
                if not isinstance(value, (str, AddedToken)):
                    raise ArgumentError(f"{name} must be a string or an AddedToken, not {value!r}.")
                self._set_special(name, value)
                count += self.add_tokens(value, special_tokens=True)
            else:
                known_names = [*NAMES, MORE]
                raise ArgumentError(
                    f"{name!r} is not a special token's name. Known: {known_names}.{near(name, known_names)}"
                )
        return count


def as_special(token: Token) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, special=True, normalized=False)
    return AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=True,
    )
