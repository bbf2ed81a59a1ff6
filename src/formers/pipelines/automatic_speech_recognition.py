"""automatic-speech-recognition: what is said in a sound, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import auto
from ..errors import ArgumentError, HeadError, InputError
from ..extra import library
from ..processing.hearing import open_sound
from ..processing.silence import NAMES
from .base import Task
from .images import in_turn
from .recognizing import CTC, Recognizer, Seq2Seq, Take
from .sounds import SoundPipeline
from .whispered import Whispered
from .writing import check_names, not_none

LONGEST = 20 * 60  # seconds of a file that are read at once: longer ones are read in parts of that length


class AutomaticSpeechRecognitionPipeline(SoundPipeline):
    """What is said in sounds; see SoundPipeline for what a sound is. A dictionary may have "stride" too, (left, right):
    samples at its ends that are heard, but not written, by a model for CTC.

    Args:
        decoder: of pyctcdecode, a language model for models for CTC; that of a processor that has one is taken.
        return_timestamps: times of segments (True; Whisper), of words ("word"), or of letters ("char"; CTC).
        return_language: which language is spoken, beside each chunk; Whisper.
        chunk_length_s: seconds of pieces that a long sound is cut into, which are heard side by side. Whisper needs
            none for long sounds, and hears window after window.
        stride_length_s: seconds at both ends of a piece that are heard twice, or (left, right); a sixth of a piece.
        skip_silence: leave out what is silent: True or "energy", by how loud it is; "silero-vad", by the package of
            that name; False, nothing. Of sounds of up to 30 s, those that are silent all over; of longer ones, pauses
            of 2 s at the beginning of a window too.
        generate_kwargs: a dictionary of the arguments of `generate`, such as language and task; they may be given one
            by one too.
        max_new_tokens: how many tokens a window has at most.
        decoder_kwargs: arguments of the decoder's search.
        progress: called with (seconds heard, seconds there are, None where that is not known).
        timeout: seconds to wait for a URL.
    """

    def __init__(
        self, model: Any, tokenizer: Any = None, feature_extractor: Any = None, decoder: Any = None, **kwargs: Any
    ) -> None:
        processor = kwargs.get("processor")
        self.decoder = decoder if decoder is not None else getattr(processor, "decoder", None)
        self.type = _kind_of(model, self.decoder)
        kwargs.pop("ignore_warning", None)
        super().__init__(model, tokenizer, feature_extractor, **kwargs)
        if not hasattr(self.tokenizer, "decode"):
            raise ArgumentError(f"{type(self).__name__} needs a tokenizer, got {self.tokenizer!r}. Pass tokenizer=….")

    @property
    def recognizer(self) -> Recognizer:
        """How a model of this kind hears."""
        made: Any = {"seq2seq_whisper": Whispered, "seq2seq": Seq2Seq}.get(self.type, CTC)
        return made(self)

    def _sanitize_parameters(
        self,
        chunk_length_s: float | None = None,
        stride_length_s: Any = None,
        ignore_warning: bool | None = None,
        decoder_kwargs: Mapping[str, Any] | None = None,
        return_timestamps: bool | str | None = None,
        return_language: bool | None = None,
        skip_silence: bool | str | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
        progress: Callable[[float, float | None], None] | None = None,
        timeout: float | None = None,
        **more: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        written = self.type.startswith("seq2seq")
        if written:
            check_names(self, more)
        elif unknown := {*more} | ({"max_new_tokens"} if max_new_tokens is not None else set()):
            self.reject(unknown)
        if twice := {*more} & {*(generate_kwargs or {})}:
            raise ArgumentError(f"{min(twice)} is given twice: in the call and in generate_kwargs.")
        self._check_times(return_timestamps, return_language)
        if skip_silence not in (None, True, False, *NAMES):
            raise ArgumentError(
                f"skip_silence is True, False, or one of {', '.join(map(repr, NAMES))}, got {skip_silence!r}."
            )
        said = {**(generate_kwargs or {}), **more, **not_none({"max_new_tokens": max_new_tokens})}
        times = said.pop("return_timestamps", return_timestamps)  # where older code has it
        inside = {"chunk_length_s": chunk_length_s, "stride_length_s": stride_length_s, "progress": progress}
        inside |= {"return_timestamps": times, "return_language": return_language, "skip_silence": skip_silence}
        inside |= {"decoder_kwargs": decoder_kwargs, "generate": said or None}
        return not_none({"timeout": timeout}), not_none(inside), {}

    def _check_times(self, times: Any, language: Any) -> None:
        kinds = {
            "ctc": ("char", "word"),
            "ctc_with_lm": ("word",),
            "seq2seq": (),
            "seq2seq_whisper": (True, "word"),
        }[self.type]
        if times not in (None, False, *kinds):
            known = " or ".join(f"return_timestamps={kind!r}" for kind in kinds) or "no times"
            raise InputError(f"return_timestamps={times!r}: {type(self.model).__name__} gives {known}.")
        if language and self.type != "seq2seq_whisper":
            raise InputError(f"return_language: {type(self.model).__name__} does not tell languages; Whisper does.")

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Hear.

        Returns:
            For a sound {"text": str}, and with return_timestamps or return_language {"chunks": [{"text": str,
            "timestamp": (begin, end) in seconds, "language": str}, …]}; a list of these for a list of sounds.
        """
        language = {**(kwargs.get("generate_kwargs") or {}), **kwargs}.get("language")
        if isinstance(language, (list, tuple)) and self.type == "seq2seq_whisper":
            return self._by_language(inputs, [*language], args, kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def _by_language(self, inputs: Any, languages: list[Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """The results of sounds that have a language each: those of one language are heard together."""
        several = self._kind(inputs) == "list"
        sounds = [*inputs] if several else [inputs]
        if len(languages) != len(sounds):
            raise InputError(
                f"language has {len(languages)} entries, and there are {len(sounds)} sounds in a list: give one, or "
                f"{len(sounds)}."
            )
        found = dict[int, Any]()
        rest = {name: value for name, value in kwargs.items() if name != "language"}
        for language in dict.fromkeys(languages):
            own = [i for i, one in enumerate(languages) if one == language]
            said = {**(rest.get("generate_kwargs") or {}), "language": language}
            results = super().__call__([sounds[i] for i in own], *args, **{**rest, "generate_kwargs": said})
            found.update(zip(own, results, strict=True))
        return [found[i] for i in range(len(sounds))] if several else found[0]

    def stream(self, inputs: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
        """The chunks of one sound, however long, as they are heard: {"text": str, "timestamp": (begin, end)}.

        Only a window of it, or where it is a file some minutes, are in memory. The arguments are those of a call.
        """
        given = self._sanitize_parameters(**kwargs)
        before, inside = self._over(self._preprocess_params, given[0]), self._over(self._forward_params, given[1])
        take = self._take(inputs, whole=False, **before)
        with self.device_placement(), self.get_inference_context()():
            yield from self.recognizer.stream(take, inside)

    # ---- hooks

    def preprocess(self, inputs: Any, timeout: float | None = None) -> Mapping[str, Any]:
        """One sound, read; a file that is longer than 20 minutes is read while it is heard."""
        return {"take": self._take(inputs, whole=True, timeout=timeout)}

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, in threads."""
        return in_turn(lambda item: self.preprocess(item, **parameters), inputs, first)

    def _take(self, item: Any, whole: bool, timeout: float | None = None) -> Take:
        stride, beside = None, {}
        if isinstance(item, Mapping):
            if (stride := item.get("stride")) is not None and self.type.startswith("seq2seq"):
                raise InputError("'stride' is for models for CTC; leave it out.")
            beside = {name: value for name, value in item.items() if name not in _OF_SOUND}
        found = open_sound(item, self.sampling_rate, timeout=timeout, any_scale=self._any_scale())
        take = Take(found, self.sampling_rate, beside, stride)
        if whole and (found.seconds is None or found.seconds <= LONGEST):
            take.read(LONGEST)
        return take

    def length(self, model_inputs: Mapping[str, Any]) -> int:
        """How much the model computes for one sound: hundredths of a second."""
        return max(1, int(model_inputs["take"].seconds * 100))

    def _step_tokens(self) -> int:
        return 4 * 3000  # four windows

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        with self.device_placement(), self.get_inference_context()():
            yield from self.recognizer.heard([item["take"] for item in items], parameters)

    def postprocess(self, model_outputs: Any) -> dict[str, Any]:
        """The result of one sound."""
        found: dict[str, Any] = model_outputs
        return found


_OF_SOUND = ("raw", "array", "sampling_rate", "bytes", "path", "stride")


def _kind_of(model: Any, decoder: Any) -> str:
    if callable(getattr(model, "dictation", None)):
        return "seq2seq_whisper"
    if callable(getattr(model, "generate", None)):
        return "seq2seq"
    if "ctc" in type(model).__name__.lower():
        if decoder is not None:
            library("pyctcdecode", "A language model for CTC", "pyctcdecode")
        return "ctc" if decoder is None else "ctc_with_lm"
    raise HeadError(
        f"{type(model).__name__} writes nothing that it hears. automatic-speech-recognition needs a model that does: "
        "AutoModelForSpeechSeq2Seq or AutoModelForCTC loads one."
    )


class AutoRecognizer(auto._AutoModel):
    """Loads what writes speech: an encoder and a decoder, or else a model for CTC."""

    HEAD, ELSE = "speech-seq2seq", ("ctc",)


_MOONSHINE = "MoonshineForConditionalGeneration"
TASK = Task(
    name="automatic-speech-recognition",
    pipeline=AutomaticSpeechRecognitionPipeline,
    auto=AutoRecognizer,
    aliases=("asr",),
    architectures=("ForCTC", "WhisperForConditionalGeneration", "SpeechEncoderDecoderModel", _MOONSHINE),
    default=("facebook/wav2vec2-base-960h", "22aad52"),
    reads=("feature_extractor", "tokenizer"),
    may_read=(),
)
