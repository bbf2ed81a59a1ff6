"""PreTrainedTokenizer: text to ids and back, on one `tokenizers.Tokenizer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer

from ..errors import ArgumentError, TokenizerError
from ..logging import logger
from . import arguments, backend
from .chat import as_templates
from .decoding import Decoding
from .frames import check_frame
from .loading import Loading
from .packing import Packing
from .special import MORE, NAMES, Token, as_special
from .training import Training
from .types import VERY_LARGE_INTEGER


class PreTrainedTokenizerFast(Packing, Decoding, Training, Loading):
    """A tokenizer on top of the `tokenizers` library; also called PreTrainedTokenizer.

    `from_pretrained` reads it from files; the constructor takes `tokenizer_file`, the path of a tokenizer.json, or
    `tokenizer_object`, a `tokenizers.Tokenizer` (which is copied). Further keywords: the special tokens (`pad_token`…),
    `model_max_length` (tokens that the model can take), `padding_side`, `truncation_side`, `model_input_names`,
    `clean_up_tokenization_spaces`; others are kept in `init_kwargs` and saved.

    One object may be used by many threads at once with different settings: no call changes it.
    """

    vocab_files_names: dict[str, str] = {"tokenizer_file": "tokenizer.json"}

    def __init__(
        self, tokenizer_object: Tokenizer | None = None, tokenizer_file: str | None = None, **kwargs: Any
    ) -> None:
        made = backend.given(tokenizer_object, tokenizer_file)
        if made is None:
            raise ArgumentError(
                f"{type(self).__name__} needs tokenizer_file= or tokenizer_object=. "
                "To load one by name or folder, use from_pretrained()."
            )
        backend.set_spaces(made, kwargs.get("add_prefix_space"), kwargs.get("trim_offsets"))
        self._start(made, kwargs)

    def _start(self, made: Tokenizer, options: dict[str, Any]) -> None:
        """Take over `made` and the keywords that every tokenizer has."""
        made.no_truncation()
        made.no_padding()
        self._tokenizer = made
        self._views = backend.Views()
        self._said = set()
        self._special = {}
        self._more_special = []
        self.init_inputs = ()
        given = {name: value for name, value in options.items() if name != "added_tokens_decoder"}
        self.name_or_path = str(options.pop("name_or_path", ""))
        self.verbose = bool(options.pop("verbose", True))
        old_limit, limit = options.pop("max_len", None), options.pop("model_max_length", None)
        limit = old_limit if limit is None else limit
        if limit is not None and not (type(limit) in (int, float) and 1 <= limit < float("inf")):
            raise ArgumentError(f"model_max_length={limit!r}: give a number of tokens, 1 or more.")
        self.model_max_length = VERY_LARGE_INTEGER if limit is None else int(limit)
        self.padding_side = arguments.side("padding_side", options.pop("padding_side", None) or self.padding_side)
        self.truncation_side = arguments.side(
            "truncation_side", options.pop("truncation_side", None) or self.truncation_side
        )
        self.model_input_names = list(options.pop("model_input_names", None) or self.model_input_names)
        self.clean_up_tokenization_spaces = bool(options.pop("clean_up_tokenization_spaces", True))
        self.split_special_tokens = bool(options.pop("split_special_tokens", False))
        self.deprecation_warnings = {}
        self.chat_template = as_templates(options.pop("chat_template", None))
        self._template_file = f"the tokenizer {self.name_or_path!r}"
        added = options.pop("added_tokens_decoder", None) or {}
        self._take_special(options)
        self.init_kwargs = given
        self._register(added)
        check_frame(made)

    def _take_special(self, options: dict[str, Any]) -> None:
        for name in (*NAMES, MORE, "extra_special_tokens", "model_specific_special_tokens"):
            value = options.pop(name, None)
            if isinstance(value, Mapping) and name not in NAMES:  # tokens with names of a model's own
                self._special.update(value)
            elif name in NAMES:
                self._set_special(name, value)
            elif value:
                self.additional_special_tokens = value

    def _register(self, added: Mapping[int, Token]) -> None:
        """Let the library know added and special tokens; those in its file it knows already."""
        known = {token.content for token in backend.added_tokens(self._tokenizer).values()}
        special = {str(token): token for token in self.all_special_tokens_extended}
        tokens = {number: _with_flags(token, special.get(str(token))) for number, token in sorted(added.items())}
        missing = {number: token for number, token in tokens.items() if token.content not in known}
        self._tokenizer.add_tokens(list(missing.values()))  # all at once: each call makes the search for them anew
        for number, token in missing.items():
            got = self._tokenizer.token_to_id(token.content)
            if got != number:
                raise TokenizerError(
                    f"The added token {token.content!r} has id {number} in the files of {self.name_or_path!r}, and "
                    f"{got} is the next free one: tokens between are missing. Is the vocabulary the right one?"
                )
        ours = backend.added_tokens(self._tokenizer).values()
        known = {token.content for token in ours if token.special}
        new = [token for token in self.all_special_tokens_extended if str(token) not in known]
        lacking = [str(token) for token in new if self._tokenizer.token_to_id(str(token)) is None]
        self.add_tokens(new, special_tokens=True)
        if lacking:
            logger.warning(
                "The vocabulary has no %s; added as id %s. A model whose embeddings end before that id needs "
                "resize_token_embeddings(len(tokenizer)).",
                ", ".join(lacking),
                ", ".join(str(self._tokenizer.token_to_id(token)) for token in lacking),
            )

    def __repr__(self) -> str:
        return (
            f"{PreTrainedTokenizerFast.__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_len={self.model_max_length}, is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )

    # Copies

    def _plain(self) -> Tokenizer:
        """The backend with nothing in it that cannot be written to a file."""
        return self._tokenizer

    def _dressed(self, plain: Tokenizer) -> Tokenizer:
        """The reverse of `_plain`."""
        return plain

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_tokenizer"] = self._plain().to_str()
        del state["_views"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._views = backend.Views()
        self._tokenizer = self._dressed(Tokenizer.from_str(state["_tokenizer"]))


def _with_flags(token: Token, special: Token | None) -> AddedToken:
    """An added token; of one that a file gives by name alone, the flags are those of the special token that it is."""
    if isinstance(token, str):
        return AddedToken(token, normalized=True) if special is None else as_special(special)
    token.special = token.special or special is not None
    return token
