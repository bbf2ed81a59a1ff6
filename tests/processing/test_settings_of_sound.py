"""Feature extractors: sounds of any kind and rate, settings, files, filters, and what is said of bad ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processing.small_sounds import KINDS, RATE, SMALL, WAVES, pair, same
from transformers.audio_utils import mel_filter_bank

from formers.errors import ArgumentError, ConfigError, FormersError, InputError, NotFoundError
from formers.models.audio_spectrogram_transformer import ASTFeatureExtractor
from formers.processing import load_audio
from formers.processing.of_sound import ClapFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from formers.processing.spectrogram import mel_filters, to_hertz, to_mel

# ---- sounds of other kinds and rates


@pytest.mark.parametrize("name", KINDS)
def test_other_rates_are_resampled(name: str) -> None:
    ours, _ = pair(name)
    at_home = load_audio({"raw": WAVES[4], "sampling_rate": 22_050}, RATE)

    def made(sound: Any, **call: Any) -> Any:
        np.random.seed(0)
        return ours(sound, **call)

    expected = made(at_home, sampling_rate=RATE)
    for sound in (WAVES[4], torch.tensor(WAVES[4]), WAVES[4].tolist()):
        same(made(sound, sampling_rate=22_050), expected, 0)
    same(made({"array": WAVES[4], "sampling_rate": 22_050}), expected, 0)
    same(made({"array": WAVES[4], "sampling_rate": 22_050}, sampling_rate=8000), expected, 0)


@pytest.mark.parametrize("name", KINDS)
def test_files_bytes_and_arrays_in_one_list(name: str, tmp_path: Path) -> None:
    ours, _ = pair(name)
    path, memory = tmp_path / "talk.wav", io.BytesIO()
    for file in (path, memory):
        soundfile.write(file, WAVES[1], RATE, format="WAV", subtype="FLOAT")

    def made(sound: Any) -> Any:
        np.random.seed(0)
        return ours(sound, sampling_rate=RATE)

    one = made(WAVES[1])
    for sound in (path, str(path), memory.getvalue(), {"path": str(path)}, [path]):
        same(made(sound), one, 0)
    same(made([str(path), WAVES[0], memory.getvalue()]), made([WAVES[1], WAVES[0], WAVES[1]]), 0)


def test_no_rate_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Unheard(Wav2Vec2FeatureExtractor):
        sampling_rate = 12_345

    for _ in range(2):  # not for every sound of a data set
        Unheard()(WAVES[0])
    assert caplog.text.count("takes the sampling rate to be 12345") == 1


NAN = np.where(np.arange(4000) == 800, np.nan, WAVES[0]).astype(np.float32)


@pytest.mark.parametrize("name", KINDS)
def test_errors_say_which_sound(name: str, tmp_path: Path) -> None:
    ours, _ = pair(name)
    call = {"sampling_rate": RATE}
    bad: list[tuple[Any, str]] = [
        (NAN, r"NaN or infinite, the first at 0\.050 s"),
        (None, "got NoneType"),
        (b"hello, this is a text" * 9, "begins with b'hello"),
        (WAVES[0][:0], "no samples"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (["a"], "got list"),
        ([0.1, [0.2]], "lists or arrays among them"),
    ]
    for sound, message in bad:
        with pytest.raises((InputError, ArgumentError), match=rf"^Sound 2 of 4 \(from 0\): .*{message}"):
            ours([WAVES[0], WAVES[1], sound, WAVES[2]], **call)
    with pytest.raises(InputError, match=r"^A sound in an array has samples that are NaN"):
        ours(NAN, **call)
    with pytest.raises(NotFoundError, match=r"no file '.*absent\.wav'"):
        ours([WAVES[0], tmp_path / "absent.wav"], **call)
    with pytest.raises(InputError, match="the list is empty"):
        ours([], **call)
    for rate in (0, "16k", True, float("nan")):
        with pytest.raises(InputError, match="sampling_rate is samples a second"):
            ours(WAVES[0], sampling_rate=rate)
    with pytest.raises(ArgumentError, match="Did you mean 'sampling_rate'"):
        ours(WAVES[0], smapling_rate=RATE)


def test_what_is_too_short() -> None:
    call = {"sampling_rate": RATE}
    with pytest.raises(InputError, match=r"^Sound 1 of 2 .* 300 samples is too short: a frame has 400"):
        pair("ASTFeatureExtractor")[0]([WAVES[0], WAVES[0][:300]], **call)
    with pytest.raises(InputError, match=r"^Sound 1 of 2 .* 100 samples is too short for a frame"):
        pair("WhisperFeatureExtractor")[0]([WAVES[0], WAVES[0][:100]], padding=False, **call)
    assert pair("WhisperFeatureExtractor")[0](WAVES[0][:1], **call)["input_features"].shape == (1, 80, 100)


def test_clap_says_what_it_cannot_do() -> None:
    ours, _ = pair("ClapFeatureExtractor")
    for call, message in (
        ({"truncation": True}, "'fusion' or 'rand_trunc', got True"),
        ({"truncation": "fuse"}, "got 'fuse'"),
        ({"padding": "longest"}, "'repeatpad', 'repeat' or 'pad', got 'longest'"),
        ({"max_length": -1}, "max_length must be a whole number"),
        ({"frequency_min": 9000.0}, "from a frequency to a higher one"),
    ):
        with pytest.raises(InputError, match=message):
            ours(WAVES[0], sampling_rate=RATE, **call)


# ---- settings and files


@pytest.mark.parametrize("name", KINDS)
def test_settings(name: str) -> None:
    for arguments in ((), (2, 8000), (2, 8000, 123)):
        ours, theirs = KINDS[name](*arguments), getattr(transformers, name)(*arguments)
        assert json.loads(ours.to_json_string()) == json.loads(theirs.to_json_string())
        assert ours.to_dict() == json.loads(theirs.to_json_string())
    with pytest.raises(ArgumentError, match="without names"):
        KINDS[name](*range(1, 20))
    with pytest.raises(ArgumentError, match=r"'sample_rate'.* Did you mean 'sampling_rate'"):
        KINDS[name](sample_rate=8000)
    for bad, message in (
        ({"sampling_rate": "16k"}, "samples a second"),
        ({"sampling_rate": 0}, "samples a second"),
        ({"feature_size": 0}, "whole number from 1"),
        ({"feature_size": 1.5}, "whole number from 1"),
        ({"feature_size": 10**9}, "whole number from 1 to 65536"),
        ({"padding_value": "0"}, "a number, got '0'"),
        ({"padding_value": float("nan")}, "a number, got nan"),
        ({"padding_side": "top"}, "'right' or 'left', got 'top'"),
        ({"return_attention_mask": 1}, "True or False, got 1"),
    ):
        with pytest.raises(InputError, match=message):
            KINDS[name](**bad)
        with pytest.raises(InputError, match=message):
            setattr(KINDS[name](), *next(iter(bad.items())))


def test_settings_of_one_kind() -> None:
    for kind, bad in (
        (WhisperFeatureExtractor, {"chunk_length": -1}),
        (WhisperFeatureExtractor, {"hop_length": 0}),
        (WhisperFeatureExtractor, {"n_fft": 10**9}),
        (ASTFeatureExtractor, {"std": 0.0}),
        (ASTFeatureExtractor, {"max_length": "long"}),
        (Wav2Vec2FeatureExtractor, {"do_normalize": "yes"}),
        (ClapFeatureExtractor, {"truncation": 3}),
    ):
        with pytest.raises(InputError, match=f"{next(iter(bad))} must be"):
            kind(**bad)


def test_settings_of_a_call_change_that_call_alone() -> None:
    ours, _ = pair("WhisperFeatureExtractor")
    assert ours(WAVES[0], sampling_rate=RATE, feature_size=40, chunk_length=2)["input_features"].shape == (1, 40, 200)
    assert ours(WAVES[0], sampling_rate=RATE)["input_features"].shape == (1, 80, 100)
    assert (ours.n_samples, ours.nb_max_frames) == (16_000, 100)


CHANGED: dict[str, dict[str, Any]] = {
    "WhisperFeatureExtractor": {"feature_size": 40, "chunk_length": 2, "padding_side": "left", "dither": 0.0},
    "Wav2Vec2FeatureExtractor": {"do_normalize": False, "return_attention_mask": True, "padding_value": 0.5},
    "ClapFeatureExtractor": {**SMALL["ClapFeatureExtractor"], "truncation": "rand_trunc", "padding": "repeat"},
    "ASTFeatureExtractor": {"mean": 0.5, "num_mel_bins": 40, "max_length": 30},
}


@pytest.mark.parametrize("name", KINDS)
def test_files_both_ways(name: str, tmp_path: Path) -> None:
    kind, reference = KINDS[name], getattr(transformers, name)
    ours, theirs = kind(**CHANGED[name]), reference(**CHANGED[name])
    (path,) = ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    plain = json.loads((tmp_path / "theirs" / "preprocessor_config.json").read_text())
    assert json.loads(Path(path).read_text()) == plain == ours.to_dict()
    assert repr(ours).startswith(f"{name} {{")
    within = tmp_path / "within"
    within.mkdir()
    (within / "processor_config.json").write_text(json.dumps({"feature_extractor": plain, "processor_class": "X"}))
    old = {**plain, "mel_filters": [[0.0]], "novel": 3, "processor_class": "X", "auto_map": {"AutoX": "a.b"}}
    (tmp_path / "old.json").write_text(json.dumps(old))

    def made(extractor: Any) -> Any:
        np.random.seed(1)
        return extractor(WAVES, sampling_rate=RATE)

    expected = made(ours)
    same(made(reference.from_pretrained(tmp_path / "ours")), made(theirs), 0)
    for place in (tmp_path / "ours", tmp_path / "theirs", within, path, tmp_path / "old.json"):
        found = kind.from_pretrained(place)
        same(made(found), expected, 0)
        assert {k: v for k, v in found.to_dict().items() if k != "novel"} == plain
    assert found.novel == 3 and found.to_dict()["novel"] == 3
    found.save_pretrained(tmp_path / "again")
    assert (
        kind.from_pretrained(tmp_path / "again").novel == 3 and reference.from_pretrained(tmp_path / "again").novel == 3
    )
    changed = kind.from_pretrained(path, sampling_rate=8000, use_fast=True)
    assert changed.sampling_rate == 8000 and kind.from_dict(plain, sampling_rate=8000).to_dict() == changed.to_dict()
    assert kind.from_pretrained(path, return_unused_kwargs=True, sampling_rate=9, x=1)[1] == {"x": 1}


def test_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "preprocessor_config.json"
    with pytest.raises(NotFoundError, match="preprocessor_config"):
        WhisperFeatureExtractor.from_pretrained(tmp_path)
    for content, message in (
        ({"feature_size": "80", "sampling_rate": 16000}, r"preprocessor_config\.json: feature_size must be a number"),
        ({"image_processor_type": "ViTImageProcessor", "size": 32}, "has no settings of sound"),
        ({"hop_length": 0, "sampling_rate": 16000}, r"preprocessor_config\.json: hop_length must be"),
    ):
        file.write_text(json.dumps(content))
        with pytest.raises(ConfigError, match=message):
            WhisperFeatureExtractor.from_pretrained(tmp_path)
    file.write_text("{")
    with pytest.raises(ConfigError, match="preprocessor_config"):
        WhisperFeatureExtractor.from_pretrained(tmp_path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_hostile_files(tmp_path: Path, name: str, data: st.DataObject) -> None:
    keys = st.sampled_from([*KINDS[name].keys(), "feature_extractor_type", "n_samples", "x"])
    content = data.draw(st.dictionaries(keys, st.integers(1, 500) | _JSON, max_size=3))
    content = {"feature_size": 8, **SMALL[name], **content}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content))
    try:
        found = KINDS[name].from_pretrained(tmp_path)
        if max(getattr(found, key, 0) for key in ("chunk_length", "max_length_s")) <= 100:
            found(WAVES[0][:2000], sampling_rate=found.sampling_rate)
    except FormersError:
        pass


# ---- spectrograms


@pytest.mark.parametrize("scale", ["htk", "slaney", "kaldi"])
@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize(
    "shape",
    [
        (201, 80, 0.0, 8000.0, 16_000),
        (257, 128, 20.0, 8000.0, 16_000),
        (513, 64, 50.0, 14_000.0, 48_000),
        (65, 9, 300, 4000, 8000),
    ],
)
def test_mel_filters(scale: str, norm: str | None, shape: tuple[Any, ...]) -> None:
    if scale == "kaldi" and norm:
        pytest.skip("no extractor has both: the reference divides by widths in mel there")
    frequencies, bands, low, high, rate = shape
    expected = mel_filter_bank(
        frequencies, bands, low, high, rate, norm=norm, mel_scale=scale, triangularize_in_mel_space=scale == "kaldi"
    )
    found = mel_filters(frequencies, bands, low, high, rate, scale, norm is not None)
    assert found.shape == expected.shape == (frequencies, bands) and np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize("scale", ["htk", "slaney", "kaldi"])
def test_scales(scale: str) -> None:
    hertz = np.linspace(0, 24_000, 999)
    expected = transformers.audio_utils.hertz_to_mel(hertz, mel_scale=scale)
    assert np.abs(to_mel(hertz, scale) - expected).max() < 1e-9
    assert np.abs(to_hertz(to_mel(hertz, scale), scale) - hertz).max() < 1e-8
    assert abs(float(to_mel(1000.0, scale)) - (15.0 if scale == "slaney" else 1000.0)) < 0.05
    for wrong in (to_mel, to_hertz):
        with pytest.raises(InputError, match="'htk', 'slaney' or 'kaldi', got 'bark'"):
            wrong(1.0, "bark")


def test_filters_that_cannot_be() -> None:
    for low, high in ((8000.0, 20.0), (100.0, 100.0), (-5.0, 20.0)):
        with pytest.raises(InputError, match="from a frequency to a higher one"):
            mel_filters(201, 80, low, high, 16_000, "htk")
    with pytest.raises(InputError, match="more numbers than"):
        mel_filters(32_769, 65_536, 0.0, 8000.0, 16_000, "htk")
