"""The state of a tokenizer, and what it knows of its vocabulary."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer

from ..logging import logger
from .backend import Views, added_tokens


class Vocabulary:
    """The attributes that every part of a tokenizer works on."""

    model_input_names: list[str] = ["input_ids", "token_type_ids", "attention_mask"]
    padding_side: str = "right"
    truncation_side: str = "right"
    is_fast = True
    slow_tokenizer_class = None
    pad_token_type_id = 0
    max_model_input_sizes: dict[str, int] = {}

    name_or_path: str
    model_max_length: int
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    init_inputs: tuple[Any, ...]
    init_kwargs: dict[str, Any]
    deprecation_warnings: dict[str, bool]
    _tokenizer: Tokenizer
    _views: Views
    _known_added: tuple[int, dict[int, AddedToken]] = (0, {})
    _said: set[str]

    def _say_once(self, topic: str, message: str) -> None:
        if topic not in self._said:
            self._said.add(topic)
            logger.warning(message)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The `tokenizers.Tokenizer`. Parts put into it (`backend_tokenizer.normalizer = …`) take effect."""
        return self._tokenizer

    @property
    def decoder(self) -> Any:
        """The backend's decoder."""
        return self._tokenizer.decoder

    @property
    def vocab_size(self) -> int:
        """Tokens in the vocabulary, without added ones."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """{token: id}, with added tokens."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    @property
    def vocab(self) -> dict[str, int]:
        """{token: id}, with added tokens."""
        return self.get_vocab()

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """{id: token} of the vocabulary, without added tokens, in the order of the ids."""
        vocab = self._tokenizer.get_vocab(with_added_tokens=False)
        return {number: token for token, number in sorted(vocab.items(), key=lambda entry: entry[1])}

    def get_added_vocab(self) -> dict[str, int]:
        """{token: id} of the tokens that are not in the vocabulary itself."""
        own = self._tokenizer.get_vocab(with_added_tokens=False)
        added = added_tokens(self._tokenizer)
        return {token.content: number for number, token in sorted(added.items()) if token.content not in own}

    def _added(self) -> dict[int, AddedToken]:
        """The added tokens by id, asked for anew when there are more."""
        size = self._tokenizer.get_vocab_size()
        if self._known_added[0] != size:
            self._known_added = size, added_tokens(self._tokenizer)
        return self._known_added[1]

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """{id: AddedToken} of every token that is found before the text is split, special ones included."""
        return dict(sorted(added_tokens(self._tokenizer).items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """{token: id} of `added_tokens_decoder`."""
        return {token.content: number for number, token in self.added_tokens_decoder.items()}

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit the model beside the special ones."""
        return int(self.model_max_length) - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of two texts that fit the model beside the special ones."""
        return int(self.model_max_length) - self.num_special_tokens_to_add(pair=True)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair, gets."""
        return self._tokenizer.num_special_tokens_to_add(pair)
