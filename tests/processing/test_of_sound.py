"""Features of sounds, and padding, beside the reference's, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from processing.small_sounds import KINDS, MOST, RATE, SMALL, WAVES, pair, same
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor as Reference

from formers.errors import ArgumentError, InputError
from formers.processing import SequenceFeatureExtractor
from formers.processing.of_sound import ClapFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from formers.processing.sequence import normalized

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
