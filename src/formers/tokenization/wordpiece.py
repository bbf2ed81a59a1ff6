"""The recipe of BERT's tokenizers: a vocab.txt, BERT's word splitting, WordPiece.

Devlin et al. 2018, https://github.com/google-research/bert/blob/master/tokenization.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import (
    NormalizedString,
    PreTokenizedString,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from ..errors import ArgumentError, TokenizerError
from ..logging import logger
from . import backend
from .base import PreTrainedTokenizerFast
from .basic import BasicTokenizer, WordpieceTokenizer
from .frames import BERT_FRAME, frame
from .loading import Loading

_MOST_LINES = 1_000_000  # twice as many as the largest that was published
_PUNCTUATION = Regex(r"[!-/:-@\[-`{-~]|\p{P}")


class WordPieceTokenizer(PreTrainedTokenizerFast):
    """A tokenizer made from a vocab.txt (one token a line, its id the line's number from 0), or a tokenizer.json.

    `vocab_file` may also be a dictionary {token: id}, as may `vocab`, its name in Transformers 5. `do_lower_case`
    (default: what a tokenizer.json says, else True) also strips accents unless `strip_accents` says otherwise.
    `tokenize_chinese_chars` makes every Chinese character a word. Words in `never_split` (lower-case ones, if the text
    is lower-cased) keep their accents and punctuation. `do_basic_tokenize=False` splits at white space only and leaves
    the text as it is.
    """

    # a family's special tokens
    FRAME: ClassVar[tuple[str, str]] = BERT_FRAME  # what is put around a text or a pair
    TOKENS: ClassVar[dict[str, Any]] = {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    _options = (
        *Loading._options, "do_lower_case", "do_basic_tokenize", "never_split", "tokenize_chinese_chars",
        "strip_accents", "vocab_file", "tokenizer_file", "tokenizer_object", "vocab",
    )  # fmt: skip

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | None = None,
        do_lower_case: bool | None = None,
        do_basic_tokenize: bool = True,
        never_split: Sequence[str] | None = None,
        *,
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        vocab: str | os.PathLike[str] | Mapping[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_names(kwargs)
        if not isinstance(do_lower_case, (bool, type(None))):
            raise ArgumentError(f"do_lower_case must be True or False, not {do_lower_case!r}.")
        special = {name: kwargs.pop(name, default) for name, default in self.TOKENS.items()}
        vocab_file = vocab if vocab_file is None else vocab_file
        made = self._open(vocab_file, tokenizer_file, tokenizer_object, special)
        basic = _basic(made, do_lower_case, tokenize_chinese_chars, strip_accents)
        self.do_lower_case: bool = basic.lowercase
        self.do_basic_tokenize = do_basic_tokenize
        self.never_split = [never_split] if isinstance(never_split, str) else list(never_split or [])
        self.tokenize_chinese_chars: bool = basic.handle_chinese_chars
        self.strip_accents: bool | None = basic.strip_accents
        if _has_basic(made) or _has_nothing(made):
            made.normalizer = basic if do_basic_tokenize else normalizers.Sequence([])
            made.pre_tokenizer = (
                pre_tokenizers.BertPreTokenizer() if do_basic_tokenize else pre_tokenizers.WhitespaceSplit()
            )
        options = {
            "do_lower_case": self.do_lower_case,
            "do_basic_tokenize": do_basic_tokenize,
            "never_split": self.never_split or None,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
            "strip_accents": self.strip_accents,
        }
        self._start(made, {**options, **special, **kwargs})
        if tokenizer_file is None and tokenizer_object is None:
            self._tokenizer.post_processor = self.frame()
        self._tokenizer = self._dressed(self._tokenizer)

    @staticmethod
    def _open(vocab_file: Any, tokenizer_file: Any, tokenizer_object: Any, special: dict[str, Any]) -> Tokenizer:
        if (made := backend.given(tokenizer_object, tokenizer_file)) is not None:
            return made
        if vocab_file is None:
            raise ArgumentError(
                "A vocabulary is needed: vocab_file='vocab.txt' or tokenizer_file='tokenizer.json'. "
                "To load one by name or folder, use from_pretrained()."
            )
        unknown = str(special["unk_token"])
        vocab = dict(vocab_file) if isinstance(vocab_file, Mapping) else read_vocabulary(vocab_file)
        if unknown not in vocab:
            where = "The vocabulary" if isinstance(vocab_file, Mapping) else f"{os.fspath(vocab_file)!r}"
            raise TokenizerError(
                f"{where} has no {unknown!r}, the token for words that it does not know. "
                "Add it as a line, or name the one it uses with unk_token=."
            )
        made = Tokenizer(models.WordPiece(vocab, unk_token=unknown, max_input_chars_per_word=100))
        made.decoder = decoders.WordPiece(prefix="##")
        return made

    @property
    def basic_tokenizer(self) -> BasicTokenizer:
        """The first step, which splits words, in plain Python: made of the options, to look at."""
        never_split = {*self.never_split, *self.all_special_tokens}
        return BasicTokenizer(self.do_lower_case, never_split, self.tokenize_chinese_chars, self.strip_accents)

    @property
    def wordpiece_tokenizer(self) -> WordpieceTokenizer:
        """The second step, which cuts words into pieces, in plain Python."""

        def make() -> WordpieceTokenizer:
            return WordpieceTokenizer(self.get_vocab(), self.unk_token or "[UNK]")

        return self._views.once(self._tokenizer, ("in Python",), make)

    def frame(self) -> Any:
        """What is put around a text or a pair."""
        return frame(self, *self.FRAME)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.txt: the tokens in the order of their ids."""
        name = f"{filename_prefix}-vocab.txt" if filename_prefix else "vocab.txt"
        path = Path(save_directory) / name
        ids = self._tokenizer.get_vocab(with_added_tokens=False)
        lines = [token for token, _ in sorted(ids.items(), key=lambda entry: entry[1])]
        path.write_text("".join(f"{token}\n" for token in lines), encoding="utf-8", newline="\n")
        return (str(path),)

    # never_split works on words between spaces: a pre-tokenizer in Python, which cannot be written to a tokenizer.json,
    # so it is put on after loading and taken off before saving. As in Transformers 4, the text is lower-cased before
    # these words are looked for.

    def _dressed(self, plain: Tokenizer) -> Tokenizer:
        if not self.never_split or not self.do_basic_tokenize:
            return plain
        dressed = backend.view(plain)
        whole = plain.normalizer
        dressed.normalizer = normalizers.BertNormalizer(
            clean_text=whole.clean_text,
            handle_chinese_chars=whole.handle_chinese_chars,
            strip_accents=False,
            lowercase=whole.lowercase,
        )
        accents = self.do_lower_case if self.strip_accents is None else self.strip_accents
        dressed.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(
            _NeverSplit(self.never_split, plain.get_vocab(), normalizers.BertNormalizer(False, False, accents, False))
        )
        return dressed

    def _plain(self) -> Tokenizer:
        if not self.never_split or not self.do_basic_tokenize:
            return self._tokenizer
        plain = backend.view(self._tokenizer)
        plain.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=self.tokenize_chinese_chars,
            strip_accents=self.strip_accents,
            lowercase=self.do_lower_case,
        )
        plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return plain


class _NeverSplit:
    """BERT's word splitting with words that are left as they are; one that the vocabulary lacks is unknown whole."""

    def __init__(self, words: Sequence[str], vocabulary: Mapping[str, int], rest: normalizers.Normalizer) -> None:
        self.words = set(words)
        self.unknown = {word for word in words if word not in vocabulary}
        self.rest = rest  # what is still to do for the other words

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        text.split(lambda _, part: part.split(" ", "removed"))
        text.normalize(self._normalize)
        text.split(self._split)

    def _normalize(self, word: NormalizedString) -> None:
        if word.normalized in self.unknown:
            word.map(lambda _: "\0")  # no vocabulary has it: the text was cleaned of it
        elif word.normalized not in self.words:
            self.rest.normalize(word)

    def _split(self, _: int, word: NormalizedString) -> list[NormalizedString]:
        if word.normalized in self.words or "\0" in word.normalized:
            return [word]
        return list(word.split(_PUNCTUATION, "isolated"))


def _basic(
    made: Tokenizer, lower: bool | None, chinese: bool | None, accents: bool | None
) -> normalizers.BertNormalizer:
    """BERT's normalizer with the options given, and for the others those of the file."""
    now = made.normalizer if _has_basic(made) else normalizers.BertNormalizer()
    return normalizers.BertNormalizer(
        clean_text=now.clean_text,
        handle_chinese_chars=now.handle_chinese_chars if chinese is None else chinese,
        strip_accents=now.strip_accents if accents is None else accents,
        lowercase=now.lowercase if lower is None else lower,
    )


def _has_basic(made: Tokenizer) -> bool:
    return isinstance(made.normalizer, normalizers.BertNormalizer)


def _has_nothing(made: Tokenizer) -> bool:
    """Without a normalizer, or with the empty one of `do_basic_tokenize=False`."""
    return made.normalizer is None or (isinstance(made.normalizer, normalizers.Sequence) and not len(made.normalizer))


def read_vocabulary(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read a vocab.txt: {token: line number from 0}.

    Of a token that stands on two lines, the last counts, and a blank line has none, as in Transformers; one warning
    names the first such line. The ids that are left over get tokens that no text can contain, so that added tokens do
    not take ids in use. Errors: TokenizerError when the file is empty or no text.
    """
    name = repr(os.fspath(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # a byte order mark is no part of the first token
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"The vocabulary {name} cannot be read: {error}.") from error
    if not text.strip():
        raise TokenizerError(f"The vocabulary {name} is empty; one token a line is needed.")
    if (count := text.count("\n")) > _MOST_LINES:
        raise TokenizerError(f"The vocabulary {name} has {count:,} lines; at most {_MOST_LINES:,} are read.")
    lines = text.rstrip("\n").split("\n")
    vocab = {token: number for number, token in enumerate(lines) if token}
    if len(vocab) < len(lines):
        unused = [number for number, token in enumerate(lines) if not token or vocab[token] != number]
        logger.warning("%s: %s. Is the file whole?", name, _about_unused(lines, vocab, unused))
        vocab |= {f"[unused line {number + 1}]": number for number in unused}
    return vocab


def _about_unused(lines: list[str], vocab: Mapping[str, int], unused: list[int]) -> str:
    first = unused[0]
    token = lines[first]
    what = f"repeats on line {vocab[token] + 1}, which counts" if token else "is blank"
    rest = f", and {len(unused) - 1} more like it" if len(unused) > 1 else ""
    return f"line {first + 1} {f'({token!r}) ' if token else ''}{what}{rest}; ids are line numbers, so none moves"
