"""How models hear sounds, whole or in pieces: those for CTC, which spell frame by frame, and those that write.

    sound ─ pieces of some seconds, which overlap ─ model ─▶ frames ─ without what overlaps ─▶ letters, words, times

Letters: N samples, T frames, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..processing.hearing import Sound, resampled, windows
from ..processing.transforms import Array

PIECE = 30.0  # seconds of the pieces of a long sound where nobody says
LONG = 120.0  # seconds from which a sound is cut into pieces by itself, as attention grows with their square
STEP = 60.0  # seconds that go through the model together


class Take:
    """A sound to be heard: its samples, or what they are still to be read from.

    beside: what the caller's dictionary holds beside the sound, for the result. stride: samples at its ends that are
    not written, at the sound's own rate.
    """

    def __init__(self, sound: Sound, rate: int, beside: Mapping[str, Any], stride: Any = None) -> None:
        self.name, self.rate, self.beside, self.total = sound.name, rate, beside, sound.seconds
        self.blocks: Iterator[Array] = resampled(sound, rate)
        self.wave: Array | None = None
        self.stride = None if stride is None else tuple(round(one * rate / sound.rate) for one in stride)

    @property
    def seconds(self) -> float:
        """How long it is; of what is not read yet, as far as that is known."""
        return len(self.wave) / self.rate if self.wave is not None else (self.total or 0.0)

    def read(self, most: float) -> None:
        """Read all of it, if it has no more than so many seconds."""
        kept, count = list[Array](), 0
        for block in self.blocks:
            kept.append(block)
            count += len(block)
            if count > most * self.rate:
                self.blocks = chain(kept, self.blocks)
                return
        self.wave = np.concatenate(kept)

    def parts(self, seconds: float) -> Iterator[Array]:
        """The samples, so many seconds at a time."""
        if self.wave is not None:
            yield self.wave
        else:
            yield from windows(self.blocks, int(seconds * self.rate))


class Recognizer(ABC):
    """How the model of a pipeline hears."""

    def __init__(self, pipe: Any) -> None:
        self.pipe, self.model, self.tokenizer = pipe, pipe.model, pipe.tokenizer
        self.extractor, self.rate = pipe.feature_extractor, pipe.sampling_rate

    @abstractmethod
    def heard(self, takes: Sequence[Take], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The results of several sounds, in their order."""

    @abstractmethod
    def stream(self, take: Take, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks of one sound, as they are heard."""

    def prepared(self, waves: list[Array], **options: Any) -> dict[str, Any]:
        """The model's inputs of waves, on its device and in its type."""
        made = self.extractor(waves, sampling_rate=self.rate, return_tensors="pt", **options)
        device, dtype = self.pipe.device, self.pipe.dtype
        return {
            name: x.to(device, dtype) if x.is_floating_point() and dtype is not None else x.to(device)
            for name, x in made.items()
        }


@dataclass(frozen=True)
class Piece:
    """Samples, of which some at either end are heard for what is between, and are not written."""

    wave: Array
    left: int = 0
    right: int = 0


def strides(options: Mapping[str, Any], take: Take, rate: int, align: int) -> tuple[int, int, int] | None:
    """Samples of a piece and of its ends that are heard twice; None for a sound that is heard whole.

    align: samples a frame, of which all are multiples. Errors: InputError for ends that leave nothing of a piece.
    """
    length = options.get("chunk_length_s")
    if not length:
        if take.wave is not None and (take.seconds <= LONG or take.stride is not None):
            return None
        length = PIECE
    both = options.get("stride_length_s")
    both = length / 6 if both is None else both
    left, right = both if isinstance(both, (list, tuple)) else (both, both)
    found = tuple(int(round(one * rate / align) * align) for one in (length, left, right))
    if found[0] <= found[1] + found[2] or min(found) < 0:
        raise InputError(
            f"chunk_length_s={length} has to be more than the ends that are heard twice, stride_length_s=({left}, "
            f"{right})."
        )
    return found[0], found[1], found[2]


def pieces(take: Take, sizes: tuple[int, int, int] | None) -> Iterator[Piece]:
    """A sound in pieces that overlap."""
    if sizes is None:
        assert take.wave is not None  # what is longer is cut
        yield Piece(take.wave, *(take.stride or (0, 0)))
        return
    length, left, right = sizes
    step, before, ahead = length - left - right, np.zeros(0, np.float32), iter(take.parts(60.0))
    kept, more = before, True
    start = 0  # of the next piece in what is kept
    first = True
    while True:
        while more and len(kept) - start <= length:
            block = next(ahead, None)
            more = block is not None
            kept = np.concatenate([kept[start:], block]) if block is not None else kept[start:]
            start = 0
        last = not more and len(kept) - start <= length
        wave = kept[start : start + length]
        if len(wave) > (0 if first else left):
            yield Piece(wave, 0 if first else left, 0 if last else right)
        if last:
            return
        start, first = start + step, False


class CTC(Recognizer):
    """A model that gives each frame a letter, or none."""

    def heard(self, takes: Sequence[Take], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        align = self.model.config.inputs_to_logits_ratio
        cut = [[*pieces(take, strides(options, take, self.rate, align))] for take in takes]
        every = [piece for own in cut for piece in own]
        logits = dict[int, Tensor]()
        for batch in self._batches(every):
            logits.update(zip(batch, self._logits([every[i].wave for i in batch]), strict=True))
        start = 0
        for take, own in zip(takes, cut, strict=True):
            rows = [self._kept(logits[start + i], piece) for i, piece in enumerate(own)]
            start += len(own)
            yield {**self._result(torch.cat(rows), options), **take.beside}

    def _batches(self, every: list[Piece]) -> Iterator[list[int]]:
        """Pieces that go through the model together: of one length where the model sees padding."""
        masked = bool(getattr(self.extractor, "return_attention_mask", False))
        order = sorted(range(len(every)), key=lambda i: len(every[i].wave))
        batch: list[int] = []
        for i in order:
            longest = len(every[i].wave)
            full = batch and longest * (len(batch) + 1) > STEP * self.rate
            if full or (batch and not masked and len(every[batch[0]].wave) != longest):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _logits(self, waves: list[Array]) -> list[Tensor]:
        """(T, V) of each wave."""
        inputs = self.prepared(waves, padding=True, return_attention_mask=True)
        if len({len(wave) for wave in waves}) == 1:
            inputs.pop("attention_mask", None)
        found = self.model(**inputs).logits.float().cpu()
        lengths = self.model._get_feat_extract_output_lengths(torch.tensor([len(wave) for wave in waves]))
        return [row[: int(length)] for row, length in zip(found, lengths, strict=True)]

    def _kept(self, logits: Tensor, piece: Piece) -> Tensor:
        samples = len(piece.wave)
        frames = round(samples / self.model.config.inputs_to_logits_ratio)  # one more than there are, as ends overlap
        left, right = (round(one / samples * frames) for one in (piece.left, piece.right))
        return logits[left : frames - right]

    def _result(self, logits: Tensor, options: Mapping[str, Any]) -> dict[str, Any]:
        times = options.get("return_timestamps")
        if self.pipe.type == "ctc_with_lm":
            beams = self.pipe.decoder.decode_beams(logits.numpy(), **options.get("decoder_kwargs", {}))
            words = [{"word": w, "start_offset": a, "end_offset": b} for w, (a, b) in beams[0][2]] if times else []
            return {"text": beams[0][0], **self._chunks(words, "word", times)}
        ids = logits.argmax(-1)
        if not times:
            return {"text": self.tokenizer.decode(ids)}
        found = self.tokenizer.decode(ids, output_char_offsets=times == "char", output_word_offsets=times == "word")
        return {"text": found["text"], **self._chunks(found[f"{times}_offsets"], times, times)}

    def _chunks(self, offsets: Sequence[Mapping[str, Any]], key: str, times: Any) -> dict[str, Any]:
        if not times:
            return {}
        by = self.model.config.inputs_to_logits_ratio / self.rate
        chunks = [
            {"text": one[key], "timestamp": (float(one["start_offset"] * by), float(one["end_offset"] * by))}
            for one in offsets
        ]
        return {"chunks": chunks}

    def stream(self, take: Take, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        align = self.model.config.inputs_to_logits_ratio
        sizes = strides({"chunk_length_s": PIECE, **options}, take, self.rate, align)
        delimiter = getattr(self.tokenizer, "word_delimiter_token_id", None)
        held, start, done = torch.zeros(0, self.model.config.vocab_size), 0, 0
        report = options.get("progress")
        times = options.get("return_timestamps") or "word"
        own = {**options, "return_timestamps": times}
        for piece, following in pairwise(chain(pieces(take, sizes), [None])):
            assert piece is not None  # the last is what follows
            held = torch.cat([held, self._kept(self._logits([piece.wave])[0], piece)])
            cut = len(held) if following is None or delimiter is None else _last(held.argmax(-1).tolist(), delimiter)
            for chunk in self._result(held[:cut], own)["chunks"]:
                begin, end = (at + start * align / self.rate for at in chunk["timestamp"])
                yield {**chunk, "timestamp": (begin, end)}
            held, start = held[cut:], start + cut
            done += len(piece.wave) - piece.left - piece.right
            if report is not None:
                report(done / self.rate, take.total)


def _last(ids: list[int], delimiter: int) -> int:
    """Where the last word begins: after the last delimiter, or at 0."""
    return next((i + 1 for i in reversed(range(len(ids))) if ids[i] == delimiter), 0)


class Seq2Seq(Recognizer):
    """A model with a decoder that writes what its encoder hears, in pieces where it is asked to."""

    def heard(self, takes: Sequence[Take], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for take in takes:
            if take.wave is None or options.get("chunk_length_s"):
                cut = [*pieces(take, strides(options, take, self.rate, 1))]
            else:
                cut = [Piece(take.wave)]
            rows = [self._written(piece.wave, options) for piece in cut]
            text = self.tokenizer.decode(joined(rows, self.tokenizer.all_special_ids), skip_special_tokens=True)
            yield {"text": text, **take.beside}

    def _written(self, wave: Array, options: Mapping[str, Any]) -> list[int]:
        takes = self.model.inputs()
        inputs = {k: v for k, v in self.prepared([wave], return_attention_mask=True).items() if k in takes}
        found: list[int] = self.model.generate(**inputs, **options.get("generate", {}))[0].tolist()
        return found

    def stream(self, take: Take, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        done = 0.0
        for wave in windows(chain.from_iterable([part] for part in take.parts(PIECE)), int(PIECE * self.rate)):
            text = self.tokenizer.decode(self._written(wave, options), skip_special_tokens=True)
            begin, done = done, done + len(wave) / self.rate
            yield {"text": text, "timestamp": (begin, done)}
            if (report := options.get("progress")) is not None:
                report(done, take.total)


def joined(rows: Sequence[list[int]], special: Sequence[int]) -> list[int]:
    """Tokens of pieces that overlap as those of one text: where the end of what there is and the beginning of the next
    agree in the largest share, one goes over into the other."""
    found = [token for token in rows[0] if token not in special]
    for row in rows[1:]:
        new = [token for token in row if token not in special]
        best, at = 0.0, 0
        for length in range(1, len(new)):
            alike = sum(a == b for a, b in zip(found[-length:], new[:length], strict=False))
            share = alike / length + length / 10000
            if alike > 1 and share > best:
                best, at = share, length
        found += new[at:]
    return found
