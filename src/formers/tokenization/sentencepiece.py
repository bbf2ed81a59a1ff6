"""The recipe of SentencePiece: a .model file with pieces and their scores, and how text is normalised.

Kudo and Richardson 2018 (arXiv 1808.06226); the file is a protobuf message, described in
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ..errors import ArgumentError, TokenizerError
from . import arguments, backend
from .base import PreTrainedTokenizerFast
from .frames import BERT_FRAME, frame, taken
from .loading import Loading, read_object

SPACE = "▁"  # what stands for a space in pieces
_MOST_BYTES = 50_000_000
_LAST = 1000.0  # so much less likely than any piece
_UNIGRAM, _BPE = 1, 2
_CONTROL, _USER_DEFINED = 3, 4

Scores = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class SentencePieceModel:
    """What a .model file holds.

    Attributes:
        pieces: (piece, score) in the order of their ids.
        added: pieces that are found in a text before anything else, and whether they are control tokens.
        kind: 1 Unigram, 2 BPE.
        unknown: the id of the unknown piece.
        charsmap: how characters are replaced, as the `tokenizers` library reads it; empty for not at all.
        byte_fallback: whether characters that no piece has become pieces for their bytes.
    """

    pieces: list[tuple[str, float]]
    added: dict[str, bool]
    kind: int
    unknown: int
    charsmap: bytes
    byte_fallback: bool

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SentencePieceModel:
        """Read a file. Errors: TokenizerError naming it."""
        name = repr(os.fspath(path))
        try:
            if (size := Path(path).stat().st_size) > _MOST_BYTES:
                raise ValueError(f"it has {size:,} bytes, and at most {_MOST_BYTES:,} are read")
            return cls._of(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise TokenizerError(f"{name} is no SentencePiece model that can be read: {error}.") from error

    @classmethod
    def _of(cls, data: bytes) -> SentencePieceModel:
        pieces: list[tuple[str, float]] = []
        added: dict[str, bool] = {}
        trainer: dict[int, Any] = {}
        normalizer: dict[int, Any] = {}
        for number, value in _fields(data):
            if number == 1:
                piece = dict(_fields(_bytes(value)))
                text = _bytes(piece.get(1, b"")).decode()
                pieces.append((text, struct.unpack("<f", piece.get(2, bytes(4)))[0]))
                if piece.get(3) in (_CONTROL, _USER_DEFINED):
                    added[text] = piece[3] == _CONTROL
            elif number in (2, 3):
                (trainer if number == 2 else normalizer).update(_fields(_bytes(value)))
        kind, unknown = trainer.get(3, _UNIGRAM), trainer.get(40, 0)
        if kind not in (_UNIGRAM, _BPE):
            raise ValueError(f"its model_type is {kind}; {_UNIGRAM} (Unigram) and {_BPE} (BPE) are known")
        if not 0 <= unknown < len(pieces):
            raise ValueError(f"its unknown piece is number {unknown} of {len(pieces):,}")
        if charsmap := _bytes(normalizer.get(2, b"")):
            backend.check_charsmap(charsmap)
        return cls(pieces, added, kind, unknown, charsmap, bool(trainer.get(35)))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message: an int, or bytes.

    Source: https://protobuf.dev/programming-guides/encoding/
    """
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        kind = tag % 8
        if kind == 0:
            value, place = _varint(message, place)
            yield tag // 8, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"byte {place} starts a field of the unknown wire type {kind}")
        if size > end - place:
            raise ValueError(f"it is cut short: {size:,} more bytes are needed, and {end - place:,} are there")
        yield tag // 8, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, seven of them in each byte, and the place after it."""
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("it is cut short in a number")


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("it has a number where a text or a message should be")
    return value


def merges(pieces: Scores) -> list[tuple[str, str]]:
    """The merges of a BPE model, which says only how early each piece came to be: by its score, or its place."""
    ranks = {piece: (-score, place) for place, (piece, score) in enumerate(pieces)}
    found = []
    for piece in sorted(ranks, key=ranks.__getitem__):
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [(left, right) for left, right in halves if left in ranks and right in ranks]
        found += sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return found


def of_vocabulary(file: SentencePieceModel, path: Any, unknown: str) -> tuple[list[tuple[str, float]], int]:
    """The tokens of a vocab.json in the order of their ids, with the file's scores, and the id of the unknown one.

    Tokens that are no pieces of the file are found where nothing else fits: when the file knows no character of theirs,
    as sentencepiece leaves these as they are. Pieces that are no tokens are never found.
    """
    ids, scores = read_object(Path(path), _MOST_BYTES), dict(file.pieces)
    if sorted(ids.values(), key=str) != sorted(range(len(ids)), key=str):
        raise TokenizerError(
            f"{os.fspath(path)!r} is no vocabulary: its {len(ids):,} tokens should have the ids from 0."
        )
    if unknown not in ids:
        raise TokenizerError(f"{os.fspath(path)!r} has no unknown token, {unknown!r}.")
    least, known = min(scores.values()) - _LAST, set("".join(scores))
    unlikely = {token: least if known.isdisjoint(token) else _LAST * least for token in ids}
    return [(token, scores.get(token, unlikely[token])) for token in sorted(ids, key=ids.__getitem__)], ids[unknown]


class SentencePieceTokenizer(PreTrainedTokenizerFast):
    """A tokenizer made from a SentencePiece model, or a tokenizer.json.

    `vocab`, its name in Transformers 5, may also be a list of (piece, score) in the order of ids. `add_prefix_space`
    (default True) puts a space before the first word, so that it has the pieces that it has elsewhere.
    `sp_model_kwargs={"enable_sampling": True, "alpha": 0.1, "nbest_size": -1}` draws pieces at random, as for training:
    of the `nbest_size` best ways to cut a word (-1: of all), those with score s by exp(alpha · s); in a BPE model,
    each merge is left out with probability alpha.

    A family says what its special tokens are (TOKENS), whether white space of any kind splits (WHITESPACE; else several
    spaces are one), how the ids of the file become those of the model (`numbered`),
    what is done to characters (`normalizing`) and what is put around texts (FRAME).
    """

    FRAME: ClassVar[tuple[str, str]] = BERT_FRAME
    TOKENS: ClassVar[Mapping[str, str | AddedToken]] = {}
    WHITESPACE: ClassVar[bool] = True
    vocab_files_names = {"vocab_file": "spiece.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    _options = (
        *Loading._options, "vocab_file", "tokenizer_file", "tokenizer_object", "vocab", "add_prefix_space",
        "sp_model_kwargs",
    )  # fmt: skip

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | None = None,
        *,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        vocab: str | os.PathLike[str] | Scores | None = None,
        add_prefix_space: bool = True,
        sp_model_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_names(kwargs)
        kwargs.setdefault("clean_up_tokenization_spaces", False)  # spaces are part of tokens
        self.sp_model_kwargs = dict(sp_model_kwargs or {})
        special = taken(self.TOKENS, kwargs)
        if vocab_file is None and isinstance(vocab, (str, os.PathLike)):
            vocab_file, vocab = vocab, None
        self.vocab_file = None if vocab_file is None else os.fspath(vocab_file)
        self.add_prefix_space = add_prefix_space
        made = backend.given(tokenizer_object, tokenizer_file)
        framed = made is not None
        sampling = _sampling(self.sp_model_kwargs)
        if made is None:
            made = self._made(vocab_file, vocab, {name: str(token) for name, token in special.items()})
        if sampling is not None:
            _sample(made.model, *sampling)
        self._start(made, {"add_prefix_space": add_prefix_space, **special, **kwargs})
        if sp_model_kwargs:
            self.init_kwargs["sp_model_kwargs"] = self.sp_model_kwargs
        if not framed:
            self._tokenizer.post_processor = self.frame()

    def _made(self, vocab_file: Any, vocab: Any, special: dict[str, str]) -> Tokenizer:
        if vocab_file is None and vocab is None:
            raise ArgumentError(
                f"A vocabulary is needed: vocab_file={self.vocab_files_names['vocab_file']!r} or "
                "tokenizer_file='tokenizer.json'. To load one by name or folder, use from_pretrained()."
            )
        if vocab_file is None:
            pieces = [(str(piece), float(score)) for piece, score in vocab]
            ids = [piece for piece, _ in pieces]
            unknown = ids.index(special["unk_token"]) if special["unk_token"] in ids else 0
            file = SentencePieceModel(pieces, {}, _UNIGRAM, unknown, b"", byte_fallback=False)
        else:
            file = SentencePieceModel.read(vocab_file)
            pieces, unknown = self.numbered(file, special)
        with backend.translated(f"A tokenizer cannot be made of {vocab_file or 'the vocabulary'}"):
            made = Tokenizer(_model(file, pieces, unknown))
            known = {piece for piece, _ in pieces}
            made.add_tokens(
                [
                    AddedToken(piece, normalized=False, special=control)
                    for piece, control in file.added.items()
                    if piece in known
                ]
            )
            made.normalizer = self.normalizing([normalizers.Precompiled(file.charsmap)] if file.charsmap else [])
            scheme = "always" if self.add_prefix_space else "never"
            made.pre_tokenizer = self.splitting(pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme))
            spaces = decoders.Metaspace(SPACE, prepend_scheme=scheme)
            made.decoder = decoders.Sequence([decoders.ByteFallback(), spaces]) if file.byte_fallback else spaces
        return made

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """Pieces with their scores in the order of the model's ids, and the id of the unknown one."""
        return file.pieces, file.unknown

    def normalizing(self, charsmap: list[Any]) -> Any:
        """What is done to a text before it is split; `charsmap`: as the file says."""
        once = [] if self.WHITESPACE else [normalizers.Replace(Regex(r" {2,}"), " ")]
        return normalizers.Sequence([*charsmap, *once])

    def splitting(self, pieces: Any) -> Any:
        """How a text is split before pieces are looked for; `pieces`: at spaces, which become SPACE."""
        return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pieces]) if self.WHITESPACE else pieces

    def frame(self) -> Any:
        """What is put around a text or a pair."""
        return frame(self, *self.FRAME)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the files as they were read; nothing where there was none."""
        written = []
        for argument, file in self._files().items():
            if file is not None and Path(file).is_file():
                name = self.vocab_files_names[argument]
                path = Path(save_directory) / (f"{filename_prefix}-{name}" if filename_prefix else name)
                path.write_bytes(Path(file).read_bytes())
                written.append(str(path))
        return tuple(written)

    def _files(self) -> dict[str, str | None]:
        """The files that the tokenizer was made of, by their arguments."""
        return {"vocab_file": self.vocab_file}


def at_spaces(pieces: Any) -> Any:
    """Split as sentencepiece itself does: at no other white space than the space."""
    return pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "removed"), pieces])


def _sampling(given: Mapping[str, Any]) -> tuple[float, int] | None:
    """`alpha` and `nbest_size` of sentencepiece's options; None for no sampling."""
    known = ("enable_sampling", "alpha", "nbest_size")
    arguments.refuse("sp_model_kwargs", {key: value for key, value in given.items() if key not in known}, known)
    alpha, best = given.get("alpha", 0.1), given.get("nbest_size", -1)
    if not isinstance(alpha, (int, float)) or not 0 <= alpha <= 1:
        raise ArgumentError(f"sp_model_kwargs: alpha={alpha!r} should be a number from 0 to 1.")
    best = arguments.whole_number("sp_model_kwargs: nbest_size", best, at_least=-1)
    wanted = given.get("enable_sampling") and best not in (0, 1)
    return (float(alpha), -1 if best is None else best) if wanted else None


def _sample(model: Any, alpha: float, best: int) -> None:
    if isinstance(model, models.BPE):
        model.dropout = alpha
    else:
        model.alpha, model.nbest_size = alpha, best if best > 0 else None


def _model(file: SentencePieceModel, pieces: list[tuple[str, float]], unknown: int) -> Any:
    if file.kind == _UNIGRAM:
        return models.Unigram(pieces, unk_id=unknown, byte_fallback=file.byte_fallback)
    return models.BPE(
        vocab={piece: number for number, (piece, _) in enumerate(pieces)},
        merges=merges(pieces),
        unk_token=pieces[unknown][0],
        fuse_unk=True,
        byte_fallback=file.byte_fallback,
    )
