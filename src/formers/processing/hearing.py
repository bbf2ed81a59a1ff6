"""From what stands for a sound to its samples: one channel of float32, from -1 to 1, at the rate that is asked for.

    file, address, bytes ─ soundfile, or the program ffmpeg ─┐
    array, tensor, dictionary ───────────────────────────────┴─▶ blocks ─ mean of channels ─ soxr ─▶ samples

Everything goes in blocks, so that a file may be longer than memory.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import InputError
from ..extra import soundfile, soxr
from ..logging import warn_once
from .reading import as_numpy
from .sources import Kind, beginning, check_source, not_of_kind, opened
from .transforms import Array

SOUND = Kind("sound", "a sound", "an array, a tensor, or {'raw': array, 'sampling_rate': …}", 2**30, on_disk=None)
MOST_SECONDS = 12 * 3600  # of a sound that is read at once: what is longer is read in blocks
_BLOCK = 1 << 18  # samples a channel that are decoded together
_LOUDEST = 16.0  # of floats, which go to 1: what is beyond is no sound of floats
_MOST_CHANNELS = 64
_MOST_RATE = 10_000_000
_SCALES = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}
# what ffmpeg may take a file for: not the kinds of lists, which name other files
_CONTAINERS = "mov,matroska,webm,mp3,aac,asf,amr,flac,ogg,wav,w64,aiff,au,caf,avi,flv,mpegts,mpeg,ac3,eac3,dts,ape,tta"
_TAKEN = "Read are wav, flac, mp3, ogg, opus and aiff; and m4a, mp4, webm and others by the program ffmpeg."


class Sound(NamedTuple):
    """An opened sound: blocks (samples,) or (samples, channels) of float32, how many of them go into a second, and how
    many seconds there are, None where that is not known."""

    blocks: Iterator[Array]
    rate: float
    seconds: float | None
    name: str


def load_audio(audio: Any, sampling_rate: float = 16_000, timeout: float | None = None) -> Array:
    """The samples (N,) of a sound, of float32 from -1 to 1, its channels averaged, at `sampling_rate` samples a second.

    Args:
        audio: a path, an http(s) address, a data: address, base64, bytes, a binary file; an array or a tensor (N,),
            (N, channels) or (channels, N), whose rate is taken to be `sampling_rate`; `{"raw" or "array": …,
            "sampling_rate": …}`, `{"bytes" or "path": …}`, or what a column of datasets gives.
        timeout: seconds that an address may take, 60 where None; it may have 1 GiB.

    Errors: NotFoundError where there is no such file; InputError for what is no sound, is damaged, has no samples or
    some that are not finite.
    """
    return samples_of(audio, sampling_rate, timeout=timeout)


def samples_of(
    sound: Any, rate: float, own_rate: float | None = None, timeout: float | None = None, any_scale: bool = False
) -> Array:
    """As `load_audio`. own_rate: that of an array that does not say it; any_scale: take floats far beyond 1."""
    found = open_sound(sound, rate, own_rate, timeout, any_scale)
    if found.seconds is not None and found.seconds > MOST_SECONDS:
        raise _too_long(found.name)
    made, count = [], 0
    for block in resampled(found, rate):
        made.append(block)
        if (count := count + len(block)) > MOST_SECONDS * rate:
            raise _too_long(found.name)
    return made[0] if len(made) == 1 else np.concatenate(made)


def _too_long(name: str) -> InputError:
    return InputError(
        f"{name} is longer than {MOST_SECONDS // 3600} hours, the most that is read at once: the pipeline "
        "automatic-speech-recognition reads files of any length in windows."
    )


def open_sound(
    sound: Any, rate: float, own_rate: float | None = None, timeout: float | None = None, any_scale: bool = False
) -> Sound:
    """A sound whose blocks are still to be read. The arguments are those of `samples_of`."""
    checked_rate(rate)
    if hasattr(sound, "get_all_samples"):  # torchcodec's decoder, which datasets give since 4.0
        decoded = sound.get_all_samples()
        return _of_array(np.asarray(decoded.data), checked_rate(decoded.sample_rate), any_scale)
    if isinstance(sound, Mapping):
        return _of_mapping(sound, rate, own_rate, timeout, any_scale)
    if (numbers := as_numbers(sound)) is not None:
        return _of_array(numbers, rate if own_rate is None else checked_rate(own_rate), any_scale)
    if isinstance(sound, (list, tuple)) and not sound:
        raise InputError("A sound in a list has no samples: the list is empty.")
    source, name = opened(sound, SOUND, timeout)
    return _of_file(source, name, rate)


def check_sound(sound: Any) -> None:
    """Raise what reading would where there is no such file."""
    check_source(sound, SOUND)


def resampled(sound: Sound, rate: float) -> Iterator[Array]:
    """Blocks (samples,) at that rate, checked. Errors: InputError for no samples, and for those that are not finite."""
    count, last, stream = 0, sound.rate == rate, None
    if not last:
        stream = soxr().ResampleStream(sound.rate, rate, 1, dtype="float32", quality="HQ")
    for block in sound.blocks:
        mono = block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            at = (count + int(np.argmin(np.isfinite(mono)))) / sound.rate
            raise InputError(f"{sound.name} has samples that are NaN or infinite, the first at {at:.3f} s.")
        count += len(mono)
        made = mono if stream is None else stream.resample_chunk(np.ascontiguousarray(mono))
        if len(made):
            yield made
    if not count:
        raise InputError(f"{sound.name} has no samples: it is 0 s long.")
    if stream is not None and len(made := stream.resample_chunk(np.zeros(0, np.float32), last=True)):
        yield made


def windows(blocks: Iterable[Array], length: int) -> Iterator[Array]:
    """The same samples in pieces of that length, of which the last may be shorter."""
    kept: list[Array] = []
    count = 0
    for block in blocks:
        kept.append(block)
        count += len(block)
        if count >= length:
            joined = np.concatenate(kept)
            whole = count // length * length
            yield from joined[:whole].reshape(-1, length)
            kept, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(kept)


def checked_rate(rate: Any) -> float:
    """A rate of samples a second; InputError for what is none."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 1 <= rate <= _MOST_RATE:
        raise InputError(f"sampling_rate is samples a second, such as 16000, got {rate!r}.")
    return rate if isinstance(rate, int) else int(rate) if float(rate).is_integer() else float(rate)


# ---- arrays


def as_numbers(sound: Any) -> Array | None:
    """The array of an array, a tensor, or a list of numbers; None for anything else."""
    if (array := as_numpy(sound)) is not None:
        return array
    if isinstance(sound, Sequence) and not isinstance(sound, (str, bytes, bytearray, memoryview)):
        if not len(sound) or not isinstance(sound[0], (int, float, np.number)):
            return None
        try:
            return np.asarray(sound)
        except ValueError as error:
            raise InputError(
                "A sound in a list is of numbers, and this list has lists or arrays among them."
            ) from error
    return None


def _of_mapping(
    sound: Mapping[Any, Any], rate: float, own_rate: float | None, timeout: float | None, any_scale: bool
) -> Sound:
    key = next((name for name in ("raw", "array") if sound.get(name) is not None), None)
    if key is not None:
        said = sound.get("sampling_rate", own_rate)
        if said is None:
            raise InputError(f"A sound given as {{{key!r}: array}} needs 'sampling_rate' beside it: samples a second.")
        return open_sound(sound[key], rate, checked_rate(said), timeout, any_scale)
    source = next((sound[name] for name in ("bytes", "path") if sound.get(name) is not None), None)
    if source is None:
        raise InputError(
            "A sound given as a dictionary has 'raw' or 'array' beside 'sampling_rate', or 'bytes' or 'path', got "
            f"{list(sound)}."
        )
    return open_sound(source, rate, own_rate, timeout, any_scale)


def _of_array(array: Array, rate: float, any_scale: bool) -> Sound:
    array = _by_channels(array)
    name = "A sound in an array"
    floats = _floats(array, any_scale)
    return Sound(iter([floats]), rate, len(floats) / rate, name)


def _by_channels(array: Array) -> Array:
    """(N,) or (N, channels)."""
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise InputError(
            f"A sound is an array of 1 dimension, or of 2 with its channels, got the shape {array.shape}. Give several "
            "as a list."
        )
    if array.ndim == 2:
        array = array.T if array.shape[0] < array.shape[1] else array
        if array.shape[1] > _MOST_CHANNELS:
            raise InputError(f"An array of {array.shape} is no sound: it would have {array.shape[1]} channels.")
    return array


def _floats(array: Array, any_scale: bool) -> Array:
    """As float32 from -1 to 1: integers of a size that files have are divided by their largest."""
    if (scale := _SCALES.get(array.dtype.name)) is not None and not any_scale:
        array = array.astype(np.float32) - (scale if array.dtype.kind == "u" else 0)
        return array / np.float32(scale)
    if array.dtype.kind not in "iuf":
        raise InputError(f"A sound is an array of numbers, got one of {array.dtype}.")
    floats = array.astype(np.float32, copy=False)
    if not any_scale and len(floats) and _LOUDEST < (loudest := float(np.abs(floats).max())) < np.inf:
        raise InputError(
            f"A sound of floats goes from -1 to 1, and this one has {loudest:g} in it. Are they integers of 16 bits? "
            "Then array / 32768 makes floats of them."
        )
    return floats


# ---- files


def _of_file(source: Path | BinaryIO, name: str, rate: float) -> Sound:
    library = soundfile()
    try:
        file = library.SoundFile(os.fspath(source) if isinstance(source, Path) else source)
    except (library.SoundFileError, RuntimeError, ValueError, TypeError, OSError) as error:
        return _by_ffmpeg(source, name, rate, error)
    if not 1 <= file.channels <= _MOST_CHANNELS or not 1 <= file.samplerate <= _MOST_RATE:
        raise InputError(f"{name} says that it has {file.channels} channels at {file.samplerate} samples a second.")
    _warn_of_a_cut(source, name)
    seconds = file.frames / file.samplerate if 0 < file.frames < 2**62 else None
    return Sound(_decoded(file, name), file.samplerate, seconds, name)


def _decoded(file: Any, name: str) -> Iterator[Array]:
    done = 0
    with file:
        while True:
            try:
                block = file.read(_BLOCK, dtype="float32", always_2d=False)
            except (RuntimeError, ValueError, OSError) as error:
                raise InputError(
                    f"{name} is damaged or cut short after {done / file.samplerate:.1f} s: {error}. Download or save "
                    "it again."
                ) from error
            if not len(block):
                return
            done += len(block)
            yield block


def _warn_of_a_cut(source: Path | BinaryIO, name: str) -> None:
    """Say of a WAV file that has fewer bytes than it says: libsndfile takes what is there."""
    if isinstance(source, Path):
        size = source.stat().st_size
        with source.open("rb") as file:
            head = file.read(12)
    else:
        at = source.tell()
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        head = source.read(12)
        source.seek(at)
    said = int.from_bytes(head[4:8], "little") + 8
    if head[:4] == b"RIFF" and size < said < 2**32 - 2**16:  # the largest numbers stand for a length not known
        warn_once(f"{name} is cut short: it says that it has {said:,} bytes, and has {size:,}. What is there is taken.")


def _by_ffmpeg(source: Path | BinaryIO, name: str, rate: float, error: Exception) -> Sound:
    """A file that soundfile does not know, or the error that says what it is."""
    refused = not_of_kind(source, name, SOUND, _TAKEN)
    if "that can be read" not in str(refused):
        raise refused from error
    program = shutil.which("ffmpeg")
    if program is None:
        if _is_container(source):
            raise InputError(
                f"{name} is in a container that the program ffmpeg opens, which is not installed here (apt install "
                "ffmpeg, brew install ffmpeg). wav, flac, mp3, ogg and opus need no program."
            ) from error
        raise refused from error
    whole = math.ceil(rate)
    return Sound(_piped(program, source, name, whole), whole, None, name)


def _is_container(source: Path | BinaryIO) -> bool:
    head = beginning(source, 16)
    starts = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"#!AMR", b"FLV", b"ADIF", b"\xff\xf1", b"\xff\xf9", b"\x0bw")
    return head[4:8] == b"ftyp" or head.startswith(starts)


def _piped(program: str, source: Path | BinaryIO, name: str, rate: int) -> Iterator[Array]:
    """What ffmpeg decodes, in blocks. It may open that file alone."""
    if isinstance(source, Path):
        given, input, protocol = None, f"file:{os.fspath(source)}", "file"
    else:
        source.seek(0)
        given, input, protocol = source.read(), "pipe:0", "pipe"
    command = [program, "-v", "error", "-protocol_whitelist", protocol, "-format_whitelist", _CONTAINERS]
    command += ["-i", input, "-vn", "-ac", "1", "-ar", str(rate), "-f", "f32le", "pipe:1"]
    with tempfile.TemporaryFile() as said:
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=said) as process:
            if given is not None:
                _feed(process.stdin, given)
            try:
                assert process.stdout is not None
                while piece := process.stdout.read(_BLOCK * 4):
                    yield np.frombuffer(piece[: len(piece) // 4 * 4], np.float32)
            finally:
                process.kill()
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
    if process.returncode > 0 and lines:
        raise InputError(f"{name} is no sound that can be read: the program ffmpeg says {lines[-1]!r}.")


def _feed(pipe: Any, given: bytes) -> None:
    """Write to a program while its answer is read."""

    def write() -> None:
        try:
            with pipe:
                pipe.write(given)
        except OSError:  # it stopped reading
            pass

    Thread(target=write, daemon=True).start()
