"""Features of sounds beside the reference's, element by element; settings, files, and what is said of bad ones."""

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
from transformers.audio_utils import mel_filter_bank
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor as Reference

from formers.errors import ArgumentError, ConfigError, FormersError, InputError, NotFoundError
from formers.models.audio_spectrogram_transformer import ASTFeatureExtractor
from formers.processing import SequenceFeatureExtractor, load_audio
from formers.processing.of_sound import ClapFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from formers.processing.sequence import normalized
from formers.processing.spectrogram import mel_filters, to_hertz, to_mel

KINDS = {
    kind.__name__: kind
    for kind in (WhisperFeatureExtractor, Wav2Vec2FeatureExtractor, ClapFeatureExtractor, ASTFeatureExtractor)
}
SMALL: dict[str, dict[str, Any]] = {  # windows that take no time
    "WhisperFeatureExtractor": {"chunk_length": 1},
    "Wav2Vec2FeatureExtractor": {},
    "ClapFeatureExtractor": {"max_length_s": 1, "sampling_rate": 16_000, "frequency_max": 8000},
    "ASTFeatureExtractor": {"max_length": 64, "num_mel_bins": 32},
}
DRAWN = np.random.default_rng(0)
WAVES = [(0.1 * DRAWN.standard_normal(n)).astype(np.float32) for n in (4000, 9001, 15_999, 16_000, 20_123)]
RATE = 16_000
# the reference's spectrograms of CLAP are of float64 samples; ours of what load_audio gives
MOST = {"ClapFeatureExtractor": 2e-5}


def pair(name: str, **more: Any) -> tuple[Any, Any]:
    values = {**SMALL[name], **more}
    return KINDS[name](**values), getattr(transformers, name)(**values)


def same(found: Any, expected: Any, most: float = 1e-6) -> None:
    """Names, kinds, shapes and types, and every element."""
    assert set(found) == set(expected)
    for key, wanted in expected.items():
        got = found[key]
        assert isinstance(got, type(wanted)) or key == "is_longer" or wanted.dtype == object, (key, type(got))
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            one, other = np.asarray(one), np.asarray(other)
            assert (one.shape, one.dtype) == (other.shape, other.dtype), key
            assert np.abs(one.astype(np.float64) - other).max() <= most, key


# ---- beside the reference

LISTS = [None, "pt", "np"]
WHISPER: list[dict[str, Any]] = [
    {},
    {"return_attention_mask": True},
    {"padding": "longest", "truncation": False, "return_attention_mask": True},
    {"padding": "longest", "return_attention_mask": True},
    {"padding": True, "pad_to_multiple_of": 1000, "return_attention_mask": True},
    {"max_length": 8000, "return_attention_mask": True},
    {"max_length": 7777, "pad_to_multiple_of": 320, "return_attention_mask": True},
    {"max_length": 12_345, "padding": "longest", "truncation": True, "return_attention_mask": True},
    {"do_normalize": True, "return_attention_mask": True},
    {"do_normalize": True, "return_attention_mask": True, "max_length": 8000},
]


@pytest.mark.parametrize("call", WHISPER, ids=str)
@pytest.mark.parametrize("tensors", LISTS)
def test_whisper(call: dict[str, Any], tensors: Any) -> None:
    ours, theirs = pair("WhisperFeatureExtractor")
    call = {**call, "sampling_rate": RATE, "return_tensors": tensors}
    same(ours(WAVES, **call), theirs(WAVES, **call))


@pytest.mark.parametrize(
    "values",
    [
        {"feature_size": 128}, {"n_fft": 512}, {"n_fft": 401}, {"n_fft": 64}, {"hop_length": 100}, {"hop_length": 601},
        {"chunk_length": 2}, {"sampling_rate": 8000}, {"padding_side": "left"}, {"padding_value": 0.25},
        {"padding_side": "left", "padding_value": -0.1, "hop_length": 170},
    ],
    ids=str,
)  # fmt: skip
def test_settings_of_whisper(values: dict[str, Any]) -> None:
    ours, theirs = pair("WhisperFeatureExtractor", **values)
    for call in ({}, {"padding": "longest", "truncation": False}, {"do_normalize": True, "max_length": 9500}):
        if "do_normalize" in call and values.get("padding_side") == "left":
            continue  # there the reference takes the mean of the wrong samples
        masked = ours.n_fft % 2 == 0  # of an odd number the reference's mask is longer by a frame than its features
        call = {**call, "sampling_rate": ours.sampling_rate, "return_attention_mask": masked}
        if "do_normalize" in call and not masked:
            continue
        same(ours(WAVES, **call), theirs(WAVES, **call))


def test_whisper_as_published() -> None:
    ours, theirs = WhisperFeatureExtractor(), transformers.WhisperFeatureExtractor()
    call = {"sampling_rate": RATE, "return_tensors": "pt"}
    same(ours(WAVES[4], **call), theirs(WAVES[4], **call))
    assert (
        np.array_equal(ours.mel_filters, theirs.mel_filters)
        or np.abs(ours.mel_filters - theirs.mel_filters).max() < 1e-9
    )


def test_noise_is_drawn_as_in_the_reference() -> None:
    ours, theirs = pair("WhisperFeatureExtractor", dither=0.01)
    torch.manual_seed(5)
    found = ours(WAVES[0], sampling_rate=RATE)
    torch.manual_seed(5)
    same(found, theirs(WAVES[0], sampling_rate=RATE))


def test_whisper_without_padding_keeps_lengths() -> None:
    ours, theirs = pair("WhisperFeatureExtractor")
    found = ours(WAVES, sampling_rate=RATE, padding=False, truncation=False)["input_features"]
    for one, wave in zip(found, WAVES, strict=True):
        expected = theirs(wave, sampling_rate=RATE, padding="longest", truncation=False)["input_features"][0]
        assert np.abs(one - expected).max() < 1e-6


WAV2VEC2: list[dict[str, Any]] = [
    {},
    {"return_attention_mask": True},
    {"padding": True},
    {"padding": True, "return_attention_mask": True},
    {"padding": "longest", "pad_to_multiple_of": 4000, "return_attention_mask": True},
    {"pad_to_multiple_of": 4000, "return_attention_mask": True},
    {"padding": "max_length", "max_length": 30_000},
    {"padding": "max_length", "max_length": 9000, "truncation": True, "return_attention_mask": True},
    {"padding": "max_length", "max_length": 9000},
    {"padding": True, "max_length": 9000, "truncation": True, "pad_to_multiple_of": 512, "return_attention_mask": True},
    {"max_length": 9000, "truncation": True},
    {"padding": "do_not_pad", "max_length": 9000, "truncation": True, "return_attention_mask": True},
]


@pytest.mark.parametrize(
    "values", [{}, {"do_normalize": False}, {"padding_value": 0.5, "padding_side": "left"}], ids=str
)
@pytest.mark.parametrize("call", WAV2VEC2, ids=str)
def test_wav2vec2(call: dict[str, Any], values: dict[str, Any]) -> None:
    ours, theirs = pair("Wav2Vec2FeatureExtractor", **values)
    if values.get("padding_side") and call.get("return_attention_mask") and call.get("padding"):
        pytest.skip("there the reference takes the mean of the wrong samples")
    call = {**call, "sampling_rate": RATE}
    expected = theirs(WAVES, **call)
    same(ours(WAVES, **call), expected)
    if len({len(row) for row in expected["input_values"]}) == 1:
        for tensors in ("pt", "np"):
            same(ours(WAVES, return_tensors=tensors, **call), theirs(WAVES, return_tensors=tensors, **call))


def test_the_mean_of_wav2vec2_is_of_the_sound_on_either_side() -> None:
    ours = Wav2Vec2FeatureExtractor(padding_side="left", return_attention_mask=True)
    found = ours(WAVES, sampling_rate=RATE, padding=True, return_tensors="np")
    for row, mask, wave in zip(found["input_values"], found["attention_mask"], WAVES, strict=True):
        assert mask.sum() == len(wave) and mask[-1] == 1
        assert np.array_equal(row[mask == 1], normalized(wave)) and not row[mask == 0].any()


@pytest.mark.parametrize("cut", ["fusion", "rand_trunc"])
@pytest.mark.parametrize("fill", ["repeatpad", "repeat", "pad", True, None, False])
def test_clap(cut: str, fill: Any) -> None:
    ours, theirs = pair("ClapFeatureExtractor")
    for waves in (WAVES, WAVES[:3], [*WAVES, np.tile(WAVES[4], 4)]):  # the last one is longer by more than a frame
        for tensors in LISTS:
            found = []
            for extractor in (ours, theirs):
                np.random.seed(3)
                call = {"truncation": cut, "padding": fill, "sampling_rate": RATE, "return_tensors": tensors}
                found.append(extractor(waves, **call))
            same(*found, 2e-5)


def test_clap_just_beyond_a_window_and_other_windows() -> None:
    ours, theirs = pair("ClapFeatureExtractor", hop_length=400, fft_window_size=512, frequency_min=50)
    for call in ({}, {"max_length": 7000}, {"max_length": 7000, "truncation": "rand_trunc"}):
        for wave in (WAVES[4], np.tile(WAVES[4], 2)[:16_100], WAVES[0]):
            found = []
            for extractor in (ours, theirs):
                np.random.seed(7)
                found.append(extractor(wave, sampling_rate=RATE, return_tensors="np", **call))
            same(*found, 2e-5)


def test_clap_of_another_number_of_bands() -> None:
    """Which the reference cannot make of a long sound."""
    found = ClapFeatureExtractor(**{**SMALL["ClapFeatureExtractor"], "feature_size": 32})(WAVES[4], sampling_rate=RATE)
    assert found["input_features"][0].shape == (4, 34, 32) and found["is_longer"] == [[True]]


@pytest.mark.parametrize(
    "values", [{}, {"do_normalize": False}, {"mean": 1.5, "std": 0.5}, {"num_mel_bins": 80, "max_length": 40}], ids=str
)
def test_ast(values: dict[str, Any]) -> None:
    ours, theirs = pair("ASTFeatureExtractor", **values)
    for tensors in LISTS:
        call = {"sampling_rate": RATE, "return_tensors": tensors}
        same(ours(WAVES, **call), theirs(WAVES, **call), 1e-5)
    longest = {"max_length": 1024, "num_mel_bins": 128}
    ours, theirs = pair("ASTFeatureExtractor", **longest)
    same(ours(WAVES[4], sampling_rate=RATE), theirs(WAVES[4], sampling_rate=RATE), 1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_forms_of_one_sound_and_of_several(name: str) -> None:
    ours, theirs = pair(name)
    batch, most = np.stack([WAVES[3], WAVES[4][:16_000]]), MOST.get(name, 1e-5)
    call = {"sampling_rate": RATE}

    def made(sounds: Any, extractor: Any = ours) -> Any:
        np.random.seed(3)
        return extractor(sounds, **call)

    for sound in (
        WAVES[0],
        WAVES[0].tolist(),
        WAVES[0].astype(np.float64),
        [WAVES[0]],
        batch,
        list(batch),
        batch.tolist(),
    ):
        same(made(sound), made(sound, theirs), most)
    one = made(WAVES[0])
    for sound in (torch.tensor(WAVES[0]), torch.tensor(WAVES[0], requires_grad=True), tuple(WAVES[0].tolist())):
        same(made(sound), one, 0)
    for sounds in (torch.tensor(batch), list(torch.tensor(batch)), tuple(batch)):
        same(made(sounds), made(batch), 0)
    same(made([np.stack([WAVES[0], WAVES[0]])]), one, 0)  # two channels of one sound


def test_integers_are_divided_or_their_scale_is_taken_away() -> None:
    whole = (WAVES[0] * 32768).astype(np.int16)
    call = {"sampling_rate": RATE}
    ours, theirs = pair("Wav2Vec2FeatureExtractor")
    same(ours(whole, **call), theirs(whole.astype(np.float32), **call))
    assert (
        np.abs(ours(WAVES[0] * 32768, **call)["input_values"][0] - ours(WAVES[0], **call)["input_values"][0]).max()
        < 1e-3
    )
    whisper, _ = pair("WhisperFeatureExtractor")
    same(whisper(whole, **call), whisper(whole / np.float32(32768), **call), 0)
    with pytest.raises(InputError, match=r"array / 32768"):
        whisper(whole.astype(np.float32), **call)


# ---- pad

ROWS = [wave[:n] for wave, n in zip(WAVES, (30, 50, 41), strict=False)]
PADS: list[dict[str, Any]] = [
    {},
    {"padding": True, "return_attention_mask": True},
    {"padding": "max_length", "max_length": 60, "return_attention_mask": True},
    {"padding": "max_length", "max_length": 33, "truncation": True, "return_attention_mask": True},
    {"max_length": 33, "truncation": True, "pad_to_multiple_of": 8, "return_attention_mask": True},
    {"pad_to_multiple_of": 16},
    {"padding": False, "max_length": 20, "truncation": True, "return_attention_mask": True},
    {"return_attention_mask": False},
]


@pytest.mark.parametrize("call", PADS, ids=str)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("width", [1, 3])
def test_pad(call: dict[str, Any], side: str, width: int) -> None:
    values = {"feature_size": width, "sampling_rate": RATE, "padding_value": 0.5, "padding_side": side}
    ours, theirs = SequenceFeatureExtractor(**values), Reference(**values)
    theirs.model_input_names = ["input_values"]
    rows = [row if width == 1 else np.stack([row] * width, axis=1) for row in ROWS]
    labels = [1, 2, 3]
    for form in (list, np.asarray, torch.tensor):
        given = [form(row) if form is not list else row.tolist() for row in rows]
        columns = {"input_values": given, "labels": labels}
        table = [{"input_values": row, "labels": label} for row, label in zip(given, labels, strict=True)]
        for features in (columns, table):
            expected = theirs.pad(features.copy(), **call)
            same(ours.pad(features, **call), expected)
            for tensors in ("pt", "np"):
                same(
                    ours.pad(features, return_tensors=tensors, **call),
                    theirs.pad(features.copy(), return_tensors=tensors, **call),
                )


def test_pad_keeps_masks() -> None:
    values = {"feature_size": 1, "sampling_rate": RATE, "padding_value": 0.0}
    ours, theirs = SequenceFeatureExtractor(**values), Reference(**values)
    theirs.model_input_names = ["input_values", "attention_mask"]
    masks = [np.arange(len(row)) % 7 < 5 for row in ROWS]
    features = {"input_values": ROWS, "attention_mask": [mask.astype(np.int32) for mask in masks]}
    for call in ({}, {"max_length": 35, "truncation": True}):
        same(ours.pad(features, **call), theirs.pad(dict(features), **call))
    given = {name: list(rows) for name, rows in features.items()}
    ours.pad(features, padding="max_length", max_length=99)
    assert all(np.array_equal(a, b) for name in given for a, b in zip(given[name], features[name], strict=True))
    found = Wav2Vec2FeatureExtractor().pad(features)  # without a mask unless there was one
    assert found["attention_mask"].shape == (3, 50) and "attention_mask" not in Wav2Vec2FeatureExtractor().pad(
        {"input_values": ROWS}
    )


BAD_PADS = [
    (ROWS, {}, "row 0 is ndarray"),
    ([], {}, r"needs 'input_values', got \[\]"),
    ([{"input_values": ROWS[0]}, {"input_value": ROWS[1]}], {}, r"row 1 is \['input_value'\]"),
    ({"input_value": ROWS}, {}, r"needs 'input_values', got \['input_value'\]"),
    ({"input_values": ROWS[0]}, {}, r"\[row\] makes a batch"),
    ({"input_values": ROWS[0].tolist()}, {}, r"\[row\] makes a batch"),
    ({"input_values": []}, {}, "got none"),
    ({"input_values": ROWS, "labels": [1]}, {}, "3 rows of 'input_values', and 1 of 'labels'"),
    (5, {}, "needs 'input_values', got int"),
    ({"input_values": ROWS}, {"padding": "longst"}, "'longest', 'max_length', 'do_not_pad', got 'longst'"),
    ({"input_values": ROWS}, {"padding": 5}, "got 5"),
    ({"input_values": ROWS}, {"padding": ["longest"]}, "padding must be"),
    ({"input_values": ROWS}, {"truncation": True}, "truncation=True needs max_length"),
    ({"input_values": ROWS}, {"padding": "max_length"}, "padding=max_length needs max_length"),
    ({"input_values": ROWS}, {"padding": "max_length", "max_length": -5}, "max_length must be a whole number, got -5"),
    ({"input_values": ROWS}, {"truncation": True, "max_length": 1.5}, r"max_length must be a whole number, got 1\.5"),
    ({"input_values": ROWS}, {"pad_to_multiple_of": -8}, "pad_to_multiple_of must be a whole number"),
    ({"input_values": ROWS}, {"padding": "max_length", "max_length": 10**12}, "made at once"),
    ({"input_values": ROWS}, {"padding": False, "return_tensors": "pt"}, "of 3 sizes, 30, 41, 50.*padding=True"),
    ({"input_values": ROWS}, {"return_tensors": "jax"}, "return_tensors"),
]  # fmt: skip


@pytest.mark.parametrize(("features", "call", "message"), BAD_PADS, ids=[message for *_, message in BAD_PADS])
def test_what_cannot_be_padded(features: Any, call: dict[str, Any], message: str) -> None:
    with pytest.raises((ArgumentError, InputError), match=message):
        Wav2Vec2FeatureExtractor().pad(features, **call)
    if call and call.get("max_length") != 10**12:
        with pytest.raises((ArgumentError, InputError), match=message):
            Wav2Vec2FeatureExtractor()(ROWS, sampling_rate=RATE, **call)


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
