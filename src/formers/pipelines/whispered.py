"""How Whisper hears: windows of 30 seconds one after the other, or pieces that overlap side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..generation.dictation import Dictation, Said
from ..logging import warn_once
from ..processing.silence import silent_frames
from ..processing.transforms import Array
from ..tokenization.transcript import transcript
from .recognizing import Recognizer, Take, pieces, strides

PART = 20 * 60.0  # seconds that are read at once of what is longer
AT_ONCE = 4  # windows that go through the model together


class Whispered(Recognizer):
    """A model whose tokens tell the language and the time."""

    # ---- whole results

    def heard(self, takes: Sequence[Take], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if options.get("chunk_length_s"):
            yield from self._in_pieces(takes, options)
            return
        results = dict[int, dict[str, Any]]()
        order = sorted(range(len(takes)), key=lambda i: takes[i].seconds)
        short = [i for i in order if takes[i].wave is not None and takes[i].seconds <= self.extractor.chunk_length]
        for start in range(0, len(short), AT_ONCE):
            batch = short[start : start + AT_ONCE]
            for i, said in zip(batch, self._short([takes[i] for i in batch], options), strict=True):
                results[i] = self._result(said, takes[i], options)
        for i in order:
            if i not in results:
                said = Said([], 0)
                for said in self._said(takes[i], options):  # noqa: B007  the last one is whole
                    pass
                results[i] = self._result(said, takes[i], options)
        yield from (results[i] for i in range(len(takes)))

    def _dictation(self, options: Mapping[str, Any]) -> Dictation:
        times = options.get("return_timestamps")
        asked = {**options.get("generate", {})}
        if times:
            asked["return_timestamps"] = True
        if times == "word":
            asked["return_token_timestamps"] = True
        made: Dictation = self.model.dictation(asked.pop("generation_config", None), **asked)
        return made

    def _short(self, takes: list[Take], options: Mapping[str, Any]) -> list[Said]:
        """What is said in sounds of at most a window."""
        waves = [take.wave for take in takes if take.wave is not None]
        heard = [not bool(self._silent(wave, options).all()) for wave in waves]
        loud = [wave for wave, is_heard in zip(waves, heard, strict=True) if is_heard]
        found: list[Said] = []
        if loud:
            inputs = self.prepared(loud, return_attention_mask=True)
            dictation = self._dictation(options)
            found = dictation.start(inputs["input_features"], inputs["attention_mask"])
            for _ in dictation.steps(found):
                pass
        rest = iter(found)
        return [next(rest) if is_heard else Said([], 0) for is_heard in heard]

    def _silent(self, wave: Array, options: Mapping[str, Any]) -> Array:
        """(T,) which frames are silent; none where nobody wants to know."""
        how, hop = options.get("skip_silence", True), self.extractor.hop_length
        return silent_frames(wave, self.rate, hop, how) if how else np.zeros(-(-len(wave) // hop), bool)

    def _said(self, take: Take, options: Mapping[str, Any]) -> Iterator[Said]:
        """What is said in a long sound, so far; after each window."""
        dictation, said, hop = self._dictation(options), None, self.extractor.hop_length
        report = options.get("progress")
        held, parts = np.zeros(0, np.float32), iter(take.parts(PART))
        part = next(parts, None)
        while part is not None:
            following = next(parts, None)
            wave = np.concatenate([held, part]) if len(held) else part
            features = self.prepared([wave], truncation=False, padding="longest")["input_features"]
            if said is None:
                (said,) = dictation.start(features, None)
            else:
                dictation.go_on(said, features)
            silent = torch.from_numpy(self._silent(wave, options)[: features.shape[2]])
            for _ in dictation.steps([said], [silent], last=following is None):
                if report is not None:
                    report((said.before + said.seek) * hop / self.rate, take.total or take.seconds)
                yield said
            held, part = wave[said.seek * hop :], following
        if report is not None and said is not None:
            report((said.before + said.frames) * hop / self.rate, take.total or take.seconds)

    def stream(self, take: Take, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        shown, asked = 0, {**options, "return_timestamps": options.get("return_timestamps") or True}
        for said in self._said(take, asked):
            fresh, shown = said.segments[shown:], len(said.segments)
            yield from self._chunks(fresh, said, asked)

    # ---- from tokens to text

    def _result(self, said: Said, take: Take, options: Mapping[str, Any]) -> dict[str, Any]:
        text = "".join(self._text(segment["tokens"]) for segment in said.segments)
        found: dict[str, Any] = {"text": text}
        if options.get("return_timestamps") or options.get("return_language"):
            found["chunks"] = self._chunks(said.segments, said, options)
        return {**found, **take.beside}

    def _chunks(self, segments: Sequence[Mapping[str, Any]], said: Said, options: Mapping[str, Any]) -> list[Any]:
        language = {"language": self._language(said)} if options.get("return_language") else {}
        if options.get("return_timestamps") == "word":
            return [chunk | language for segment in segments for chunk in self._words(segment)]
        times = bool(options.get("return_timestamps"))
        made = []
        for segment in segments:
            if text := self._text(segment["tokens"]):
                when = (
                    {"timestamp": (round(float(segment["start"]), 2), round(float(segment["end"]), 2))} if times else {}
                )
                made.append({**language, "text": text, **when} if language else {"text": text, **when})
        return made

    def _text(self, tokens: Tensor) -> str:
        text: str = self.tokenizer.decode(tokens.tolist(), skip_special_tokens=True)
        return text

    def _words(self, segment: Mapping[str, Any]) -> list[dict[str, Any]]:
        tokens, times = segment["tokens"][None].numpy(), segment["token_timestamps"][None].numpy()
        made = [{"tokens": tokens, "token_timestamps": times}]
        precision = self.extractor.chunk_length / self.model.config.max_source_positions
        _, found = transcript(
            self.tokenizer, made, return_timestamps="word", return_language=None, time_precision=precision
        )
        chunks: list[dict[str, Any]] = found.get("chunks", [])
        return chunks

    def _language(self, said: Said) -> str | None:
        """The name of the language that a sound was taken to be in."""
        known = getattr(self.model.generation_config, "lang_to_id", None) or {}
        if getattr(self.model.generation_config, "is_multilingual", None) is False:
            return "english"
        codes = {token: code.strip("<|>") for code, token in known.items()}
        names = {code: name for name, code in reversed([*self.model.LANGUAGES.items()])}
        code = next((codes[token] for token in said.begin if token in codes), None)
        return None if code is None else names.get(code, code)

    # ---- pieces

    def _in_pieces(self, takes: Sequence[Take], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        warn_once(
            "chunk_length_s: Whisper's pieces are put together by the words in which they agree, which may lose some. "
            "Without it long sounds are heard window after window."
        )
        cut = [[*pieces(take, strides(options, take, self.rate, 1))] for take in takes]
        every = [piece for own in cut for piece in own]
        said: list[Said] = []
        for start in range(0, len(every), AT_ONCE):
            inputs = self.prepared([p.wave for p in every[start : start + AT_ONCE]], return_attention_mask=True)
            dictation = self._dictation(options)
            batch = dictation.start(inputs["input_features"], inputs["attention_mask"])
            for _ in dictation.steps(batch):
                pass
            said += batch
        rest = zip(every, said, strict=True)
        for take, own in zip(takes, cut, strict=True):
            outputs = [self._output(piece, one) for piece, one in (next(rest) for _ in own)]
            text, more = transcript(
                self.tokenizer,
                outputs,
                return_timestamps=options.get("return_timestamps"),
                return_language=options.get("return_language"),
                time_precision=self.extractor.chunk_length / self.model.config.max_source_positions,
            )
            yield {"text": text, **more, **take.beside}

    def _output(self, piece: Any, said: Said) -> dict[str, Any]:
        tokens = [*said.begin[1:2], *(t for segment in said.segments for t in segment["tokens"].tolist())]
        made: dict[str, Any] = {
            "tokens": np.array([tokens]),
            "stride": tuple(n / self.rate for n in (len(piece.wave), piece.left, piece.right)),
        }
        if said.segments and "token_timestamps" in said.segments[0]:
            times = [torch.zeros(len(said.begin[1:2])), *(segment["token_timestamps"] for segment in said.segments)]
            made["token_timestamps"] = torch.cat(times)[None].numpy()
        return made
