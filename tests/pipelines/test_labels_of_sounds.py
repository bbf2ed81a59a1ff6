"""Tasks that label sounds: results are the reference's, whatever the sound comes as; what is no sound says so."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
import transformers
from families import redraw

import formers
from formers import cli, errors, registry

pipeline: Any = formers.pipeline
REFERENCE: Any = transformers.pipeline
RATE = 16_000
LABELS = ["a dog", "rain", "a violin", "nobody"]


def wave(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray[Any, Any]:
    """A tone that rises, and noise."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time)) * 0.05
    found: np.ndarray[Any, Any] = (0.4 * np.sin(2 * np.pi * (200 + 300 * seed + 200 * time) * time) + noise).astype(
        np.float32
    )
    return found


def in_bytes(samples: Any, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


EXTRACTORS: dict[str, dict[str, Any]] = {
    "audio_spectrogram_transformer": {"max_length": 24, "num_mel_bins": 16},
    "wav2vec2": {},
    "hubert": {"return_attention_mask": True},
    "wavlm": {"return_attention_mask": True},
    "data2vec_audio": {"return_attention_mask": True},
    "whisper": {"chunk_length": 1, "feature_size": 16},
}
CHANGES: dict[str, dict[str, Any]] = {"whisper": {"max_source_positions": 50}, "wavlm": {"feat_extract_norm": "layer"}}
LABELLING = [
    f
    for f in registry.families()
    if f in EXTRACTORS and hasattr(registry.load(f), "FEATURE_EXTRACTOR")
    and "audio-classification" in registry.load(f).HEADS
]  # fmt: skip


def written(family: str, folder: Path, **changes: Any) -> str:
    """A folder with a tiny model that labels sounds."""
    module = registry.load(family)
    head = module.HEADS["audio-classification"]
    model = head(head.config_class(**{**module.TINY, "num_labels": 7, **CHANGES.get(family, {}), **changes})).eval()
    redraw(model)
    model.save_pretrained(folder)
    module.FEATURE_EXTRACTOR(**EXTRACTORS[family]).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=LABELLING)
def labelling(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written("audio_spectrogram_transformer", tmp_path_factory.mktemp("ast"))


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clap")
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)] + ["Ġ", ".", "T"]
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    formers.RobertaTokenizer.from_pretrained(folder, model_max_length=77).save_pretrained(folder)
    registry.load("clap").FEATURE_EXTRACTOR(max_length_s=2).save_pretrained(folder)
    tiny = registry.load("clap").TINY
    sound = {**tiny["audio_config"], "spec_size": 128, "num_mel_bins": 64}
    text = {**tiny["text_config"], "max_position_embeddings": 80}
    model = formers.ClapModel(formers.ClapConfig(text_config=text, audio_config=sound, projection_dim=20)).eval()
    redraw(model)
    model.save_pretrained(folder)
    return str(folder)


def near(ours: Any, theirs: Any) -> bool:
    """Whether results are equal but for the last digits of their scores."""
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(near, ours, theirs))
    return ours["label"] == theirs["label"] and abs(ours["score"] - theirs["score"]) < 2e-5


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_k": None}, {"function_to_apply": "sigmoid"}], ids=str)
def test_labels_are_the_references(labelling: str, options: dict[str, Any]) -> None:
    ours, theirs = (make("audio-classification", model=labelling) for make in (pipeline, REFERENCE))
    sounds = [wave(1.0), wave(0.6, 1), wave(1.5, 2)]
    # whose newest release gives all labels where the call does not say how many
    expected = [theirs(sound, **options)[: options.get("top_k", 5)] for sound in sounds]
    assert near([ours(sound, **options) for sound in sounds], expected)
    assert near(ours(sounds, **options), expected)
    assert len(ours(sounds[0], **options)) == (options.get("top_k", 5) or 7)


def test_a_sound_in_all_its_forms(ast: str, tmp_path: Path) -> None:
    pipe, samples = pipeline("audio-classification", model=ast), wave(1.0)
    path = tmp_path / "sound.wav"
    path.write_bytes(in_bytes(samples))
    expected = pipe(samples)
    forms: Any = lambda: [  # noqa: E731  # since files are read once
        str(path), path, path.read_bytes(), io.BytesIO(path.read_bytes()), base64.b64encode(path.read_bytes()).decode(),
        torch.from_numpy(samples), samples.astype(np.float64), np.stack([samples, samples]),
        {"raw": samples, "sampling_rate": RATE}, {"array": samples, "sampling_rate": RATE, "path": "elsewhere.wav"},
        {"bytes": path.read_bytes(), "path": None}, {"path": str(path), "bytes": None},
    ]  # fmt: skip
    for form in forms():
        assert near(pipe(form), expected)
    assert near(pipe(forms()), [expected] * len(forms()))
    made: Iterator[Any] = (form for form in forms())
    assert near(list(pipe(made)), [expected] * len(forms()))
    assert near(pipe(audio=samples), expected) and near(pipe(audios=[samples]), [expected])


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 192_000])
def test_every_rate_is_heard_at_the_models(ast: str, rate: int) -> None:
    pipe = pipeline("audio-classification", model=ast)
    samples = wave(1.0, rate=rate)
    expected = pipe(soxr.resample(samples, rate, RATE, quality="HQ"))
    assert near(pipe({"raw": samples, "sampling_rate": rate}), expected)
    assert near(pipe(in_bytes(samples, rate)), expected)


def test_one_label_and_several_at_once(tmp_path: Path) -> None:
    one = pipeline("audio-classification", model=written("audio_spectrogram_transformer", tmp_path / "1", num_labels=1))
    (found,) = one(wave(1.0))
    assert 0 < found["score"] < 1
    folder = written("audio_spectrogram_transformer", tmp_path / "2", problem_type="multi_label_classification")
    assert sum(label["score"] for label in pipeline("audio-classification", model=folder)(wave(1.0), top_k=None)) != 1


def test_the_task_follows_from_the_model(ast: str, clap: str) -> None:
    assert pipeline(model=ast).task == "audio-classification"
    assert pipeline(model=clap).task == "zero-shot-audio-classification"


def test_optimized(ast: str, clap: str) -> None:
    expected = pipeline("audio-classification", model=ast)(wave(1.0))
    assert near(pipeline("audio-classification", model=ast, optimize="float32")(wave(1.0)), expected)
    pipe = pipeline("zero-shot-audio-classification", model=clap, optimize="float32")
    assert near(
        pipe(wave(1, 0, 48_000), LABELS), pipeline("zero-shot-audio-classification", clap)(wave(1, 0, 48_000), LABELS)
    )


@pytest.mark.parametrize("options", [{}, {"hypothesis_template": "This is {} here."}], ids=str)
def test_labels_of_the_call(clap: str, options: dict[str, Any]) -> None:
    ours, theirs = (make("zero-shot-audio-classification", model=clap) for make in (pipeline, REFERENCE))
    sounds = [wave(seconds, seed, 48_000) for seed, seconds in enumerate((0.5, 2.0, 1.3))]
    expected = [theirs(sound, candidate_labels=LABELS, **options) for sound in sounds]
    assert near([ours(sound, candidate_labels=LABELS, **options) for sound in sounds], expected)
    assert near(ours(sounds, LABELS, **options), expected)
    assert near(ours(sounds[0], ", ".join(LABELS), **options), expected[0])
    assert near(ours({"raw": sounds[0], "sampling_rate": 48_000}, LABELS, **options), expected[0])


def test_sounds_longer_than_the_window(clap: str) -> None:
    ours, theirs = (make("zero-shot-audio-classification", model=clap) for make in (pipeline, REFERENCE))
    found = []
    for pipe in (ours, theirs):
        np.random.seed(0)
        found.append(pipe(wave(5.0, 0, 48_000), candidate_labels=LABELS))
    assert near(*found)


def test_vectors_of_labels_are_computed_once(clap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, calls = pipeline("zero-shot-audio-classification", model=clap), list[int]()
    own = pipe.model.get_text_features

    def counted(**inputs: Any) -> Any:
        calls.append(1)
        return own(**inputs)

    monkeypatch.setattr(pipe.model, "get_text_features", counted)
    sounds = [wave(1.0, seed, 48_000) for seed in range(3)]
    first = pipe(sounds, LABELS)
    assert near(pipe(sounds[0], LABELS), first[0]) and len(calls) == 1
    with torch.no_grad():
        pipe.model.text_projection.linear2.weight.mul_(-1)
    assert not near(pipe(sounds[0], LABELS), first[0]) and len(calls) == 2


NO_SOUNDS: list[tuple[Any, type[Exception], str]] = [
    ("nope.wav", errors.NotFoundError, "no file 'nope.wav'"),
    (".", errors.NotFoundError, "is a folder"),
    (b"", errors.InputError, "empty"),
    (b"<!DOCTYPE html><html></html>", errors.InputError, "HTML"),
    (None, errors.InputError, "a sound is needed"),
    (np.zeros(0, np.float32), errors.InputError, "no samples"),
    (np.full(RATE, np.nan, np.float32), errors.InputError, "NaN"),
    (np.zeros((2, 3, RATE), np.float32), errors.InputError, "shape"),
    ({"sampling_rate": RATE}, errors.InputError, "'raw' or 'array'"),
    ({"raw": wave(1.0), "sampling_rate": 0}, errors.FormersError, "sampling_rate"),
]


@pytest.mark.parametrize(("given", "kind", "message"), NO_SOUNDS, ids=[str(i) for i in range(len(NO_SOUNDS))])
@pytest.mark.parametrize("task", ["audio-classification", "zero-shot-audio-classification"])
def test_what_is_no_sound(task: str, ast: str, clap: str, given: Any, kind: type[Exception], message: str) -> None:
    zero = task.startswith("zero")
    pipe = pipeline(task, model=clap if zero else ast)
    options: dict[str, Any] = {"candidate_labels": LABELS} if zero else {}
    with pytest.raises(kind, match=message):
        pipe(given, **options)
    with pytest.raises(kind):
        pipe([wave(1.0), given], **options)
    if kind is not errors.FormersError:
        found = pipe([wave(1.0), given, wave(1.0, 1)], on_error="return", **options)
        assert isinstance(found[1], errors.FormersError) and isinstance(found[0], list) and isinstance(found[2], list)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": -1}, "top_k=-1"),
        ({"function_to_apply": "soft"}, "function_to_apply"),
        ({"topk": 2}, "topk"),
    ],
)
def test_arguments_that_are_none(ast: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        pipeline("audio-classification", model=ast)(wave(1.0), **options)


def test_labels_that_are_none(clap: str) -> None:
    pipe = pipeline("zero-shot-audio-classification", model=clap)
    with pytest.raises(errors.ArgumentError, match="candidate_labels are needed"):
        pipe(wave(1.0, 0, 48_000))
    with pytest.raises(errors.ArgumentError, match=r"no \{\}"):
        pipe(wave(1.0, 0, 48_000), LABELS, hypothesis_template="A sound.")
    with pytest.raises(errors.ArgumentError, match="candidate_labels"):
        pipe(wave(1.0, 0, 48_000), [])


def test_a_model_without_labels(tmp_path: Path, ast: str) -> None:
    module = registry.load("audio_spectrogram_transformer")
    body = module.ASTModel(module.ASTConfig(**module.TINY)).eval()
    pipe = pipeline(
        "audio-classification", model=body, feature_extractor=module.ASTFeatureExtractor.from_pretrained(ast)
    )
    with pytest.raises(errors.FormersError, match="AutoModelForAudioClassification"):
        pipe(wave(1.0))
    with pytest.raises(errors.ArgumentError, match="feature extractor"):
        pipeline("audio-classification", model=body, feature_extractor=object())


def test_saved(ast: str, clap: str, tmp_path: Path) -> None:
    options: dict[str, Any]
    for task, model, options in (
        ("audio-classification", ast, {}),
        ("zero-shot-audio-classification", clap, {"candidate_labels": LABELS}),
    ):
        pipe = pipeline(task, model=model)
        pipe.save_pretrained(tmp_path / task)
        assert near(pipeline(task, model=str(tmp_path / task))(wave(1.0), **options), pipe(wave(1.0), **options))


def test_from_the_command_line(
    ast: str, clap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a.wav", 0), ("b.wav", 1)):
        Path(name).write_bytes(in_bytes(wave(1.0, seed)))
    expected = pipeline("audio-classification", model=ast)(["a.wav", "b.wav"], top_k=2)
    assert cli.main(["run", "audio-classification", "a.wav", "b.wav", "--model", ast, "--top-k", "2"]) in (0, None)
    assert near([json.loads(line) for line in capsys.readouterr().out.splitlines()], expected)
    task = "zero-shot-audio-classification"
    assert cli.main(["run", task, "a.wav", "--model", clap, "--set", "candidate_labels=a dog,rain"]) in (0, None)
    assert "rain" in capsys.readouterr().out
