"""Sounds of any kind, beside soundfile and soxr themselves, and what is said of what is none."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formers.errors import ArgumentError, FormersError, InputError, NotFoundError
from formers.processing import hearing, load_audio

RATE = 16_000
WAVE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)).astype(np.float32)


def in_bytes(wave: Any = WAVE, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "most"), [("WAV", 4e-5), ("FLAC", 4e-5), ("AIFF", 4e-5), ("MP3", 0.02), ("OGG", 0.02)]
)
def test_files(tmp_path: Path, kind: str, most: float) -> None:
    path = tmp_path / f"sound.{kind.lower()}"
    path.write_bytes(in_bytes(kind=kind))
    found = load_audio(path)
    assert found.dtype == np.float32 and found.shape == WAVE.shape and np.abs(found - WAVE).max() < most
    assert np.abs(found - soundfile.read(path, dtype="float32")[0]).max() < 1e-6
    same = [str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), {"path": str(path), "bytes": None}]
    same += [{"bytes": path.read_bytes(), "path": "another.wav"}, base64.b64encode(path.read_bytes()).decode()]
    for source in same:
        assert np.array_equal(load_audio(source), found)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_is_resampled_as_soxr_does_at_once(rate: int) -> None:
    wave = soxr.resample(np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32) / 10, RATE, rate)
    data = in_bytes(wave, rate, subtype="FLOAT")
    expected = soxr.resample(wave, rate, RATE, quality="HQ")
    for sound in (data, {"raw": wave, "sampling_rate": rate}, {"array": wave.tolist(), "sampling_rate": float(rate)}):
        assert np.array_equal(load_audio(sound), expected)
    assert abs(len(load_audio(data, sampling_rate=24_000)) - 5 * 24_000) <= 1


def test_channels_are_averaged() -> None:
    six = np.stack([WAVE * n for n in range(6)], axis=1)
    expected = six.mean(axis=1)
    for sound in (in_bytes(six, subtype="FLOAT"), six, six.T, torch.tensor(six), torch.tensor(six).T):
        assert np.abs(load_audio(sound) - expected).max() < 1e-7


def test_arrays() -> None:
    kinds = [np.int16, np.int32, np.int8, np.uint8]
    for kind in kinds:
        info = np.iinfo(kind)
        zero = 0 if info.min else 128
        whole = (WAVE * (2.0 ** (info.bits - 1)) + zero).astype(kind)
        assert np.abs(load_audio(whole) - WAVE).max() <= 2.0 ** (1 - info.bits), kind
    for same in (WAVE.astype(np.float64), torch.tensor(WAVE), WAVE.tolist(), memoryview(WAVE).obj):
        assert np.array_equal(load_audio(same), WAVE)
    assert np.abs(load_audio(torch.tensor(WAVE).bfloat16()) - WAVE).max() < 2e-3


def test_a_decoder_of_torchcodec() -> None:
    class Samples:
        data, sample_rate = torch.tensor(WAVE)[None].repeat(2, 1), RATE

    class Decoder:
        def get_all_samples(self) -> Samples:
            return Samples()

    assert np.array_equal(load_audio(Decoder()), WAVE)


def changed(value: float) -> np.ndarray[Any, Any]:
    wave = WAVE.copy()
    wave[800] = value
    return wave


NO_SOUNDS = [
    (in_bytes(WAVE[:0]), "has no samples"),
    (WAVE[:0], "has no samples"),
    ([], "the list is empty"),
    (changed(np.nan), r"NaN or infinite, the first at 0\.050 s"),
    (changed(np.inf), r"NaN or infinite, the first at 0\.050 s"),
    ({"raw": changed(np.nan), "sampling_rate": 8000}, r"the first at 0\.100 s"),
    (in_bytes(changed(np.nan), subtype="FLOAT"), "NaN or infinite"),
    (WAVE * 32768, r"array / 32768"),
    (np.zeros((3, 4, 5)), r"got the shape \(3, 4, 5\)"),
    (np.zeros((100, 100)), "100 channels"),
    (np.zeros(16_000, bool), "array of numbers"),
    (np.array(["a"]), "array of numbers"),
    ({"array": WAVE}, "'sampling_rate' beside it"),
    ({"array": WAVE, "sampling_rate": 0}, "samples a second"),
    ({"array": WAVE, "sampling_rate": "16000"}, "samples a second"),
    ({"sound": WAVE}, "got .'sound'."),
    (b"", "is empty"),
    (b"<!DOCTYPE html><html>", "the sound's address a page about it"),
    (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    (b"hello, this is a text" * 20, "begins with b'hello, this '.* wav, flac, mp3"),
    (b"\0\0\0\x20ftypM4A \0\0\0\0" * 9, "program ffmpeg opens, which is not installed"),
    (b"\x1aE\xdf\xa3webm" * 9, "program ffmpeg opens, which is not installed"),
]


@pytest.mark.parametrize(("sound", "message"), NO_SOUNDS, ids=[message[:24] for _, message in NO_SOUNDS])
def test_what_is_no_sound(sound: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=message):
        load_audio(sound)


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(in_bytes())
    with pytest.raises(NotFoundError, match=r"Did you mean 'talk\.wav'"):
        load_audio(str(tmp_path / "tolk.wav"))
    with pytest.raises(NotFoundError, match=r"a folder, and a sound is a file. In it: talk\.wav"):
        load_audio(tmp_path)
    for none in (None, 5):
        with pytest.raises(ArgumentError, match="A sound is a path"):
            load_audio(none)
    with pytest.raises(InputError, match="samples a second"):
        load_audio(WAVE, sampling_rate=-1)


def test_cut_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(in_bytes()[:50_000])
    found = load_audio(path)
    assert len(found) == 24_978 and np.abs(found - WAVE[:24_978]).max() < 4e-5
    assert "cut short" in caplog.text
    noise = np.random.default_rng(0).standard_normal(5 * RATE) / 10
    path.write_bytes(in_bytes(noise, kind="FLAC")[:40_000])
    with pytest.raises(InputError, match=r"damaged or cut short after \d"):
        load_audio(path)


def test_windows_of_a_stream() -> None:
    data = in_bytes(np.tile(WAVE, 40), subtype="FLOAT")
    whole = load_audio(data, 11_025)
    sound = hearing.open_sound(data, 11_025)
    assert sound.seconds == 120
    pieces = list(hearing.windows(hearing.resampled(sound, 11_025), 100_000))
    assert [len(piece) for piece in pieces[:-1]] == [100_000] * (len(pieces) - 1) and len(pieces) == 14
    assert np.array_equal(np.concatenate(pieces), whole)


def test_a_sound_that_is_too_long_to_be_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "MOST_SECONDS", 2)
    with pytest.raises(InputError, match="windows"):
        load_audio(in_bytes())


def program(folder: Path, text: str) -> None:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_program_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script in its place, which says what it was called with."""
    (tmp_path / "samples").write_bytes(WAVE.tobytes())
    program(tmp_path, f'echo "$@" > {tmp_path}/called; cat {tmp_path}/samples')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "talk.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + b"\0" * 100)
    assert np.array_equal(load_audio(path), WAVE)
    called = (tmp_path / "called").read_text()
    assert "-protocol_whitelist file " in called and "hls" not in called and f"-i file:{path} " in called
    assert "-ac 1 -ar 16000" in called
    program(tmp_path, f'echo "$@" > {tmp_path}/called; cat > {tmp_path}/given; cat {tmp_path}/samples')
    assert np.array_equal(load_audio(path.read_bytes()), WAVE)
    assert "-protocol_whitelist pipe " in (tmp_path / "called").read_text()
    assert (tmp_path / "given").read_bytes() == path.read_bytes()
    program(tmp_path, "echo first >&2; echo moov atom not found >&2; exit 1")
    with pytest.raises(InputError, match="says 'moov atom not found'"):
        load_audio(path)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
@pytest.mark.parametrize("kind", ["m4a", "mp4", "webm", "aac"])
def test_containers(tmp_path: Path, kind: str) -> None:
    (tmp_path / "talk.wav").write_bytes(in_bytes())
    path = tmp_path / f"talk.{kind}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "talk.wav", path], check=True)
    for source in (path, path.read_bytes()):
        found = load_audio(source)
        assert abs(len(found) - len(WAVE)) < 0.1 * RATE and 0.25 < np.abs(found).max() < 0.4


FILES = {kind: in_bytes(WAVE[:4000], kind=kind) for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF")}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FILES)), st.integers(0, 9000), st.binary(max_size=4), st.integers(0, 20))
def test_damaged_files_are_errors_of_this_package(kind: str, place: int, put: bytes, cut: int) -> None:
    data = FILES[kind]
    place %= len(data)
    with contextlib.suppress(FormersError):
        load_audio(data[:place] + put + data[place + cut :])
