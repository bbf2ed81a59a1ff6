"""Processors of speech: Whisper's and Wav2Vec2's, alone and with a language model over words.

logits (T, V) ─ the best of each frame ─▶ Wav2Vec2Processor.batch_decode(ids)
              ─ beams of words, scored by a language model ─▶ Wav2Vec2ProcessorWithLM.batch_decode(logits)
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from .. import hub
from ..atomic import replacing
from ..errors import ArgumentError, CheckpointError, InputError, NotFoundError
from ..extra import library
from ..tokenization.ctc import Fields, Wav2Vec2CTCTokenizer
from ..tokenization.whisper import WhisperTokenizer
from .of_sound import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from .sound_processor import SoundProcessorMixin
from .transforms import Array

W = TypeVar("W", bound="Wav2Vec2ProcessorWithLM")
_ALPHABET, _MODEL = "alphabet.json", "language_model"
_OF_MODEL = ("alpha", "beta", "unk_score_offset", "score_boundary")  # attributes of a language model
_PADDING = -100.0  # what rows of logits hold beyond the end of a sound
_BLANK, _UNKNOWN = re.compile(r"[<\[]pad[>\]]", re.IGNORECASE), re.compile(r"[<\[]unk[>\]]", re.IGNORECASE)


class WhisperProcessor(SoundProcessorMixin):
    """A WhisperFeatureExtractor and a WhisperTokenizer."""

    feature_extractor_class = WhisperFeatureExtractor
    tokenizer_class = WhisperTokenizer

    def get_decoder_prompt_ids(
        self, task: str | None = None, language: str | None = None, no_timestamps: bool = True
    ) -> list[tuple[int, int]]:
        """As the tokenizer's: what the decoder is made to begin with."""
        found: list[tuple[int, int]] = self.tokenizer.get_decoder_prompt_ids(task, language, no_timestamps)
        return found

    def get_prompt_ids(self, text: str, return_tensors: Any = "np") -> Any:
        """As the tokenizer's: the ids of what was said before."""
        return self.tokenizer.get_prompt_ids(text, return_tensors=return_tensors)


class Wav2Vec2Processor(SoundProcessorMixin):
    """A Wav2Vec2FeatureExtractor and a Wav2Vec2CTCTokenizer."""

    feature_extractor_class = Wav2Vec2FeatureExtractor
    tokenizer_class = Wav2Vec2CTCTokenizer


class Wav2Vec2DecoderWithLMOutput(Fields):
    """text, logit_score, lm_score, and word_offsets, [{"word", "start_offset", "end_offset"}, …] in frames, where they
    were asked for: of one sound or of each; with n_best above 1, of each a list, the best first."""

    NAMES = ("text", "logit_score", "lm_score", "word_offsets")


class Wav2Vec2ProcessorWithLM(Wav2Vec2Processor):
    """A Wav2Vec2Processor whose decoder looks for likely words: `pyctcdecode.BeamSearchDecoderCTC`.

    decoder: `pyctcdecode.build_ctcdecoder(labels, "model.arpa")`, or what has its methods. Its labels are the
    tokenizer's tokens, with "" for <pad>, " " for the token between words, and "⁇" for <unk>.

    Errors: ArgumentError for what is no decoder, and one whose labels lack tokens of the tokenizer.
    """

    attributes: ClassVar[list[str]] = ["feature_extractor", "tokenizer", "decoder"]

    def __init__(self, feature_extractor: Any = None, tokenizer: Any = None, decoder: Any = None) -> None:
        super().__init__(feature_extractor, tokenizer)
        if not hasattr(decoder, "decode_beams") or not hasattr(decoder, "decode_beams_batch"):
            raise ArgumentError(
                f"{type(self).__name__}(feature_extractor, tokenizer, decoder) needs a decoder, such as "
                f"pyctcdecode.build_ctcdecoder(labels), got {type(decoder).__name__}."
            )
        if missing := self.get_missing_alphabet_tokens(decoder, tokenizer):
            raise ArgumentError(
                f"The decoder's alphabet lacks {', '.join(map(repr, sorted(missing)[:8]))} of the tokenizer's "
                "vocabulary. Make it from the tokens in the order of their ids."
            )
        self.decoder = decoder

    @property
    def language_model(self) -> Any:
        """The decoder's."""
        return self.decoder.model_container[self.decoder._model_key]

    @staticmethod
    def get_missing_alphabet_tokens(decoder: Any, tokenizer: Any) -> set[str]:
        """Tokens of the tokenizer, as decoders write them, that the decoder's alphabet lacks."""
        labels = {" " if token == tokenizer.word_delimiter_token else _label(token) for token in tokenizer.get_vocab()}
        return labels - set(decoder._alphabet.labels)

    # ---- decoding

    def decode(
        self,
        logits: Any,
        beam_width: int | None = None,
        beam_prune_logp: float | None = None,
        token_min_logp: float | None = None,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
        output_word_offsets: bool = False,
        n_best: int = 1,
    ) -> Wav2Vec2DecoderWithLMOutput:
        """The most likely text of one sound.

        Args:
            logits: (T, V), of every frame and token.
            beam_width: beams that are kept a frame; beam_prune_logp: how much worse than the best they may be.
            token_min_logp: log-probability below which a token of a frame is passed over.
            hotwords: words to listen for, the language model's or not; hotword_weight: how much.
            alpha, beta: weight of the language model, and of the count of words; unk_score_offset: score of words that
                it does not know; lm_score_boundary: whether it scores beginnings and ends. They stay as they are set.
            output_word_offsets: where in the frames each word is.
            n_best: how many texts.
        """
        self._set(alpha, beta, unk_score_offset, lm_score_boundary)
        how = _given(beam_width, beam_prune_logp, token_min_logp, hotwords, hotword_weight)
        beams = self.decoder.decode_beams(_frames(logits), **how)
        return _best([[(b[0], b[2], *b[-2:]) for b in beams]], n_best, output_word_offsets, alone=True)

    def batch_decode(  # type: ignore[override]
        self,
        logits: Any,
        pool: Any = None,
        num_processes: int | None = None,
        beam_width: int | None = None,
        beam_prune_logp: float | None = None,
        token_min_logp: float | None = None,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
        output_word_offsets: bool = False,
        n_best: int = 1,
    ) -> Wav2Vec2DecoderWithLMOutput:
        """The most likely texts of sounds. logits: (B, T, V); frames that are all -100 are padding.

        pool: a `multiprocessing` pool made after this processor by forking; without one, one of `num_processes`, as
        many as there are cores if None, is made for the call. The rest as in `decode`.
        """
        self._set(alpha, beta, unk_score_offset, lm_score_boundary)
        how = _given(beam_width, beam_prune_logp, token_min_logp, hotwords, hotword_weight)
        rows = [_frames(row) for row in logits]
        rows = [row[(row != _PADDING).all(axis=-1)] for row in rows]
        with _pool(pool, num_processes, len(rows)) as workers:
            found = self.decoder.decode_beams_batch(pool=workers, logits_list=rows, **how)
        return _best([[(b[0], b[1], *b[-2:]) for b in beams] for beams in found], n_best, output_word_offsets)

    def _set(self, *of_model: Any) -> None:
        names = ("alpha", "beta", "unk_score_offset", "lm_score_boundary")
        self.decoder.reset_params(**dict(zip(names, of_model, strict=True)))

    # ---- files

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **_: Any) -> list[str]:
        """Write a Wav2Vec2Processor's files, and the decoder's: alphabet.json, and its model in language_model."""
        folder = Path(os.path.expanduser(save_directory))
        with tempfile.TemporaryDirectory() as made:
            self.decoder.save_to_dir(made)
            own = Path(made, _MODEL)
            if not own.is_dir() and (folder / _MODEL).exists():
                raise CheckpointError(
                    f"{str(folder / _MODEL)!r} holds a language model, and this decoder has none. Remove that folder, "
                    "or save to another."
                )
            written = super().save_pretrained(save_directory, push_to_hub)
            with replacing(folder) as stage:
                shutil.copy(Path(made, _ALPHABET), stage / _ALPHABET)
            if own.is_dir():
                with replacing(folder / _MODEL, stale=["*"]) as stage:
                    for path in own.iterdir():
                        shutil.copy(path, stage / path.name)
        models = [str(path) for path in sorted((folder / _MODEL).iterdir())] if (folder / _MODEL).is_dir() else []
        return [*written, str(folder / _ALPHABET), *models]

    @classmethod
    def from_pretrained(cls: type[W], pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> W:
        """Load the processor and its decoder from a folder or a hub name.

        Keywords: as a Wav2Vec2Processor's; alpha, beta, unk_score_offset and score_boundary of the language model;
        unigram_encoding, that of its list of words.

        Errors: MissingNameError, an ImportError, where pyctcdecode is not installed, or kenlm for a language model.
        """
        package = _pyctcdecode()
        of_model = {name: kwargs.pop(name) for name in _OF_MODEL if name in kwargs}
        encoding = kwargs.pop("unigram_encoding", "utf-8")
        where = hub.hub_arguments(dict(kwargs))
        sounds, tokenizer = cls.loaded_parts(pretrained_model_name_or_path, kwargs)
        source = hub.locate(pretrained_model_name_or_path, **where)
        alphabet = package.alphabet.Alphabet.loads(source.require(_ALPHABET).read_text(encoding="utf-8"))
        files = [source.file(name) for name in source.names() if name.startswith(f"{_MODEL}/")]
        model = None
        if folders := {path.parent for path in files if path is not None}:
            library("kenlm", "A decoder with a language model", "kenlm")
            model = package.language_model.LanguageModel.load_from_dir(str(min(folders)), unigram_encoding=encoding)
        for name, value in of_model.items():
            if value is not None and model is None:
                raise NotFoundError(f"{name}= is of a language model, and {source.where} has no {_MODEL}.")
            if value is not None:
                setattr(model, name, value)
        return cls(sounds, tokenizer, package.BeamSearchDecoderCTC(alphabet, language_model=model))


def _pyctcdecode() -> Any:
    return library("pyctcdecode", "Wav2Vec2ProcessorWithLM", "pyctcdecode")


def _label(token: str) -> str:
    """A token as decoders write it."""
    return "" if _BLANK.fullmatch(token) else "⁇" if _UNKNOWN.fullmatch(token) else token


def _frames(logits: Any) -> Array:
    """Logits (T, V) as an array. Errors: InputError for another shape."""
    found = np.asarray(logits.detach().float().cpu() if hasattr(logits, "detach") else logits)
    if found.ndim != 2:
        raise InputError(
            f"The logits of one sound are (frames, tokens), got {found.shape}. decode() takes one sound, "
            "batch_decode() the (sounds, frames, tokens) of several."
        )
    return found


def _given(
    beam_width: int | None,
    beam_prune_logp: float | None,
    token_min_logp: float | None,
    hotwords: Iterable[str] | None,
    hotword_weight: float | None,
) -> dict[str, Any]:
    """What is given of a search's settings; the decoder has defaults for the rest."""
    found = {
        "beam_width": beam_width,
        "beam_prune_logp": beam_prune_logp,
        "token_min_logp": token_min_logp,
        "hotwords": hotwords,
        "hotword_weight": hotword_weight,
    }
    return {name: value for name, value in found.items() if value is not None}


@contextlib.contextmanager
def _pool(given: Any, processes: int | None, rows: int) -> Iterator[Any]:
    """The pool that is given, or one for as many processes as rows need; None where one process does it all."""
    count = min(rows, processes or os.cpu_count() or 1)
    if given is not None or count < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield given
        return
    with multiprocessing.get_context("fork").Pool(count) as made:
        yield made


def _best(
    sounds: Sequence[Sequence[tuple[Any, ...]]], count: int, offsets: bool, alone: bool = False
) -> Wav2Vec2DecoderWithLMOutput:
    """The best of each sound's beams, (text, [(word, (start, end)), …], score of logits, that with the model's)."""
    if count < 1:
        raise InputError(f"n_best must be 1 or more, got {count}.")

    def each(part: Any) -> Any:
        found = [[part(beam) for beam in beams[:count]] for beams in sounds]
        picked = [row[0] for row in found] if count == 1 else found
        return picked[0] if alone else picked

    def words(beam: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [{"word": word, "start_offset": start, "end_offset": end} for word, (start, end) in beam[1]]

    scores = {"logit_score": each(lambda beam: beam[-2]), "lm_score": each(lambda beam: beam[-1])}
    found = {"text": each(lambda beam: beam[0]), **scores}
    return Wav2Vec2DecoderWithLMOutput(**found, word_offsets=each(words) if offsets else None)
