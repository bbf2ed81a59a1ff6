"""The recipe of byte-level BPE: a vocab.json and a merges.txt. Every byte has a token, so no text is unknown.

Radford et al. 2019 (GPT-2), https://github.com/openai/gpt-2/blob/master/src/encoder.py; BPE: Sennrich et al. 2016
(arXiv 1508.07909).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import RobertaProcessing

from ..errors import ArgumentError, InputError, TokenizerError
from . import backend
from .arguments import Texts
from .base import PreTrainedTokenizerFast
from .frames import frame, taken
from .loading import Loading, read_object

_MOST_BYTES = 50_000_000
Vocabulary = str | os.PathLike[str] | Mapping[str, int]
Merges = str | os.PathLike[str] | Sequence[str] | Sequence[tuple[str, str]]


class ByteLevelTokenizer(PreTrainedTokenizerFast):
    """A tokenizer made from a vocab.json and a merges.txt (a pair a line, the first one first), or a tokenizer.json.

    `vocab_file` may also be a dictionary {token: id}, and `merges_file` a list; `vocab` and `merges` are their names in
    Transformers 5. A word's tokens include the space before it: `add_prefix_space` puts one before the first word too.
    `trim_offsets` leaves that space out of offsets. Texts that come split into words need `add_prefix_space`, by which
    each word is what it is inside of a text: without it, an InputError. `errors` says what decoding does with bytes
    that are no text, see `bytes.decode`; "replace" is the only one. `add_bos_token` and `add_eos_token` put these
    around texts, where no tokenizer.json says what is put there.
    """

    NORMALIZER: ClassVar[Any] = None  # what a tokenizer made from a vocab.json does with a text first
    TOKENS: ClassVar[Mapping[str, str | AddedToken]] = {}  # a family's special tokens
    MODEL: ClassVar[Mapping[str, Any]] = {}  # options of its BPE model
    vocab_files_names = {"vocab_file": "vocab.json", "merges_file": "merges.txt", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    _options = (
        *Loading._options, "vocab_file", "merges_file", "tokenizer_file", "tokenizer_object", "vocab", "merges",
        "errors", "add_prefix_space", "trim_offsets", "add_bos_token", "add_eos_token",
    )  # fmt: skip

    def __init__(
        self,
        vocab_file: Vocabulary | None = None,
        merges_file: Merges | None = None,
        errors: str = "replace",
        *,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        vocab: Vocabulary | None = None,
        merges: Merges | None = None,
        add_prefix_space: bool | None = None,
        trim_offsets: bool | None = None,
        add_bos_token: bool = False,
        add_eos_token: bool = False,
        **kwargs: Any,
    ) -> None:
        self._check_names(kwargs)
        kwargs.setdefault("clean_up_tokenization_spaces", False)  # spaces are part of tokens
        if errors != "replace":
            raise ArgumentError(f"errors={errors!r} is not available: bytes that are no text are replaced, '�'.")
        special = taken(self.TOKENS, kwargs)
        vocab_file = vocab if vocab_file is None else vocab_file
        merges_file = merges if merges_file is None else merges_file
        made = self._open(vocab_file, merges_file, tokenizer_file, tokenizer_object)
        backend.set_spaces(made, add_prefix_space, trim_offsets)
        parts = backend.byte_level(made)
        self.add_prefix_space = bool(parts and parts[0].add_prefix_space)
        known = parts[-1].trim_offsets if made.post_processor is not None and parts else True
        self.trim_offsets = bool(known if trim_offsets is None else trim_offsets)
        options = {"errors": errors, "add_prefix_space": self.add_prefix_space, "trim_offsets": self.trim_offsets}
        self.add_bos_token, self.add_eos_token = add_bos_token, add_eos_token
        around = {"add_bos_token": add_bos_token, "add_eos_token": add_eos_token}
        self._start(made, {**options, **{name: True for name, asked in around.items() if asked}, **special, **kwargs})
        if tokenizer_file is None and tokenizer_object is None:
            self._around()

    def _around(self) -> None:
        """Put special tokens around texts."""
        sep, cls = (self.sep_token, self.sep_token_id), (self.cls_token, self.cls_token_id)
        if self.add_bos_token or self.add_eos_token:
            before, after = ("bos:{} " if self.add_bos_token else ""), (" eos:{}" if self.add_eos_token else "")
            single, second = (f"{before}${text}:{{}}{after}" for text in "AB")
            single, second = single.replace("{}", "0"), second.replace("{}", "1")
            self._tokenizer.post_processor = frame(self, single, f"{single} {second}")
        elif None not in (*sep, *cls):
            self._tokenizer.post_processor = RobertaProcessing(
                sep,  # type: ignore[arg-type]
                cls,  # type: ignore[arg-type]
                trim_offsets=self.trim_offsets,
                add_prefix_space=self.add_prefix_space,
            )

    @classmethod
    def _open(cls, vocab_file: Any, merges_file: Any, tokenizer_file: Any, tokenizer_object: Any) -> Tokenizer:
        if (made := backend.given(tokenizer_object, tokenizer_file)) is not None:
            return made
        if vocab_file is None or merges_file is None:
            raise ArgumentError(
                "A vocabulary and its merges are needed: vocab_file='vocab.json' and merges_file='merges.txt', or "
                "tokenizer_file='tokenizer.json'. To load one by name or folder, use from_pretrained()."
            )
        vocab = dict(vocab_file) if isinstance(vocab_file, Mapping) else read_vocabulary(vocab_file)
        is_file = isinstance(merges_file, (str, os.PathLike))
        pairs = read_merges(merges_file) if is_file else merge_pairs(merges_file, "merges")
        with backend.translated("The vocabulary and the merges do not fit; are they of one model?"):
            made = Tokenizer(models.BPE(vocab=vocab, merges=pairs, **cls.MODEL))
        made.pre_tokenizer = cls.splitting(pre_tokenizers.ByteLevel(add_prefix_space=False))
        made.decoder = decoders.ByteLevel()
        if cls.NORMALIZER is not None:
            made.normalizer = cls.NORMALIZER
        return made

    @classmethod
    def splitting(cls, words: Any) -> Any:
        """How a text is split before merges; `words`: at spaces, punctuation and digits, each byte as its character."""
        return words

    @property
    def byte_encoder(self) -> dict[int, str]:
        """{byte: the character that stands for it in tokens}."""
        return dict(zip(range(256), _characters(), strict=True))

    @property
    def byte_decoder(self) -> dict[str, int]:
        """The reverse of `byte_encoder`."""
        return {character: byte for byte, character in self.byte_encoder.items()}

    @property
    def encoder(self) -> dict[str, int]:
        """{token: id}, without added tokens."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=False))

    def _texts(self, text: Any, pair: Any, words: bool, name: str = "text") -> Texts:
        if words and not self.add_prefix_space:
            raise InputError(
                f"{name} is split into words, and the tokens of a word hold the space before it, which is lost. "
                "Load the tokenizer with add_prefix_space=True: from_pretrained(…, add_prefix_space=True)."
            )
        return super()._texts(text, pair, words, name)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json and merges.txt."""
        model = self._tokenizer.model
        return tuple(model.save(save_directory, filename_prefix)) if isinstance(model, models.BPE) else ()


def _characters() -> list[str]:
    """Of each byte: itself where it can be seen, else the next character from 256 on."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte if byte in seen else 256 + hidden.index(byte)) for byte in range(256)]


def read_vocabulary(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read a vocab.json: {token: id}. Errors: TokenizerError naming the file."""
    found = read_object(Path(path), _MOST_BYTES)
    wrong = next((token for token, number in found.items() if type(number) is not int or not 0 <= number < 2**31), None)
    if wrong is not None:
        raise TokenizerError(
            f"{os.fspath(path)!r}: the token {wrong[:80]!r} has no id, but {str(found[wrong])[:80]!r}."
        )
    return found


def read_merges(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Read a merges.txt: a pair a line; a first line "#version: …" is left out. Errors: TokenizerError."""
    name = repr(os.fspath(path))
    try:
        if (size := Path(path).stat().st_size) > _MOST_BYTES:
            raise TokenizerError(f"The merges {name} have {size:,} bytes; at most {_MOST_BYTES:,} are read.")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, TokenizerError):
            raise
        raise TokenizerError(f"The merges {name} cannot be read: {error}.") from error
    lines = text.split("\n")  # no other line end: some are tokens
    return merge_pairs([line for line in lines[lines[0].startswith("#version") :] if line], name)


def merge_pairs(merges: Sequence[Any], name: str) -> list[tuple[str, str]]:
    """The pairs of tokens, each given as two texts or as one with a space. Errors: TokenizerError naming `name`."""
    pairs = []
    for number, merge in enumerate(merges, start=1):
        pair = tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)
        if len(pair) != 2:
            raise TokenizerError(f"{name}: merge {number} is {str(merge)[:80]!r}; two tokens with a space are needed.")
        pairs.append(pair)
    return pairs
