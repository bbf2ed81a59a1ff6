"""Speech to text: results are the reference's where it gives any; long sounds, pieces, streams; what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import speech_tokenizers
import torch
import transformers
from families import redraw

import formers
from formers import cli, errors, registry
from formers.cli.subtitles import clock, cues, written

TASK, RATE = "automatic-speech-recognition", 16_000
pipeline: Any = formers.pipeline
REFERENCE: Any = transformers.pipeline


def wave(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray[Any, Any]:
    """Noise that swells and dies away, in tones that change."""
    draw, count = np.random.default_rng(seed), int(seconds * rate)
    tones = np.repeat(draw.uniform(100, 3000, count // (rate // 10) + 1), rate // 10)[:count]
    sound = np.sin(np.cumsum(tones) * 2 * np.pi / rate) * 0.3 + draw.standard_normal(count) * 0.05
    return sound.astype(np.float32)


def in_bytes(samples: Any, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny Wav2Vec2 for CTC."""
    folder, module = tmp_path_factory.mktemp("ctc"), registry.load("wav2vec2")
    speech_tokenizers.ctc(folder)
    config = module.Wav2Vec2Config(**{**module.TINY, "vocab_size": 32, "pad_token_id": 0})
    model = module.HEADS["ctc"](config).eval()
    redraw(model)
    with torch.no_grad():
        found = model(torch.from_numpy(wave(3.0))[None]).logits[0]
        model.lm_head.bias.sub_(found.mean(0))  # so that no letter is everywhere
    model.save_pretrained(folder)
    module.FEATURE_EXTRACTOR(return_attention_mask=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def whispering(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny Whisper."""
    folder, module = tmp_path_factory.mktemp("whisper"), registry.load("whisper")
    speech_tokenizers.whisper(folder)
    tokenizer = formers.WhisperTokenizer.from_pretrained(folder)
    ids: Any = tokenizer.convert_tokens_to_ids
    end, start, no_times = ids("<|endoftext|>"), ids("<|startoftranscript|>"), ids("<|notimestamps|>")
    sizes = {"vocab_size": no_times + 1502, "max_source_positions": 1500, "max_target_positions": 40}
    named = {"eos_token_id": end, "bos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    model = module.WhisperForConditionalGeneration(
        module.WhisperConfig(**{**module.TINY, **sizes, **named, "num_mel_bins": 80, "begin_suppress_tokens": None})
    ).eval()
    redraw(model)
    decoder, draw = model.get_decoder(), torch.Generator().manual_seed(0)
    with torch.no_grad():  # so that what is written changes as it goes on, and is words
        decoder.embed_tokens.weight.copy_(torch.randn(decoder.embed_tokens.weight.shape, generator=draw) * 0.35)
        decoder.embed_tokens.weight[no_times:].mul_(0.4)
        decoder.embed_positions.weight.copy_(torch.randn(decoder.embed_positions.weight.shape, generator=draw) * 2)
    codes = [f"<|{code}|>" for code in ("en", "de", "fr")]
    model.generation_config = formers.GenerationConfig.from_dict({
        **named, "no_timestamps_token_id": no_times, "is_multilingual": True, "max_length": 40,
        "lang_to_id": dict(zip(codes, ids(codes), strict=True)), "alignment_heads": [[0, 0], [1, 1]],
        "task_to_id": {task: ids(f"<|{task}|>") for task in ("transcribe", "translate")},
        "max_initial_timestamp_index": 50, "suppress_tokens": [*range(end + 1, no_times)],
        "begin_suppress_tokens": [end], "prev_sot_token_id": ids("<|startofprev|>"),
    })  # fmt: skip
    model.save_pretrained(folder)
    module.FEATURE_EXTRACTOR().save_pretrained(folder)
    return str(folder)


def assert_near(ours: Any, theirs: Any) -> None:
    """Equal texts, and times to a thousandth of a second."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_near(one, other)
        return
    assert ours["text"] == theirs["text"]
    assert ("chunks" in ours) == ("chunks" in theirs)
    if "chunks" in theirs:
        assert_near(ours["chunks"], theirs["chunks"])
    if "timestamp" in theirs:
        assert ours["timestamp"] == pytest.approx(theirs["timestamp"], abs=1e-3)


CTC: list[dict[str, Any]] = [
    {}, {"return_timestamps": "char"}, {"return_timestamps": "word"},
    {"chunk_length_s": 1.0}, {"chunk_length_s": 1.0, "stride_length_s": (0.2, 0.1)},
    {"chunk_length_s": 1.5, "stride_length_s": 0.25, "return_timestamps": "word"},
]  # fmt: skip


@pytest.mark.parametrize("options", CTC, ids=str)
def test_letters_are_the_references(spelling: str, options: dict[str, Any]) -> None:
    ours, theirs = (make(TASK, model=spelling, dtype=torch.float64) for make in (pipeline, REFERENCE))
    sounds = [wave(seconds, seed) for seed, seconds in enumerate((2.0, 3.3, 0.7))]
    expected = [theirs(sound.copy(), **options) for sound in sounds]
    assert len({found["text"] for found in expected}) == 3
    assert_near([ours(sound, **options) for sound in sounds], expected)
    assert_near(ours(sounds, **options), expected)


def test_ends_that_are_not_written(spelling: str) -> None:
    ours, theirs = (make(TASK, model=spelling, dtype=torch.float64) for make in (pipeline, REFERENCE))
    given: Any = lambda: {"raw": wave(2.0), "sampling_rate": RATE, "stride": (3200, 1600)}  # noqa: E731  # eaten there
    assert_near(ours(given()), theirs(given()))


def test_a_stream_of_letters_is_the_whole(spelling: str) -> None:
    pipe, sound = pipeline(TASK, model=spelling), wave(4.0)
    expected = pipe(sound, return_timestamps="word")
    assert_near([*pipe.stream(sound)], expected["chunks"])
    seen: list[tuple[float, float | None]] = []
    cut = pipe(sound, chunk_length_s=1.0, return_timestamps="word")
    found = [*pipe.stream(sound, chunk_length_s=1.0, progress=lambda *at: seen.append(at))]
    assert " ".join(one["text"] for one in found) == " ".join(one["text"] for one in cut["chunks"])
    assert seen[-1][0] == pytest.approx(4.0) and len(seen) > 2


@pytest.mark.parametrize("form", ["spelling", "whispering"])
def test_a_sound_in_all_its_forms(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    few = {"max_new_tokens": 4} if form == "whispering" else {}
    pipe, samples = pipeline(TASK, model=request.getfixturevalue(form), **few), wave(1.0)
    path = tmp_path / "a.wav"
    path.write_bytes(in_bytes(samples))
    expected = pipe(samples)
    forms = [str(path), path.read_bytes(), torch.from_numpy(samples), {"array": samples, "sampling_rate": RATE},
             {"bytes": path.read_bytes(), "path": None}, {"path": str(path), "bytes": None}]  # fmt: skip
    assert_near(pipe(forms), [expected] * len(forms))
    assert_near([*pipe(iter(forms))], [expected] * len(forms))
    beside = pipe({"raw": samples, "sampling_rate": RATE, "speaker": "A"})
    assert beside["speaker"] == "A"
    assert isinstance(pipe({"raw": wave(1.0, rate=8000), "sampling_rate": 8000})["text"], str)


@pytest.mark.parametrize("times", [None, True, "word"])
def test_whisper(whispering: str, times: Any) -> None:
    pipe = pipeline(TASK, model=whispering)
    theirs = REFERENCE(TASK, model=whispering)
    options = {} if times is None else {"return_timestamps": times}
    sound, other = wave(2.0), wave(3.0, 1)
    expected = theirs(
        sound.copy(), generate_kwargs={"task": "transcribe", "num_beams": 1, "max_new_tokens": 30}, **options
    )
    options["max_new_tokens"] = 30
    assert expected["text"]
    found = pipe(sound, **options)
    if times is None:
        assert found["text"] == expected["text"]
    else:  # whose windows go on through the silence that a sound is padded with
        assert found["text"] and expected["text"].startswith(found["text"])
        assert_near(found["chunks"], expected["chunks"][: len(found["chunks"])])
    assert_near(pipe([sound, other], **options), [pipe(sound, **options), pipe(other, **options)])


def test_whisper_tells_languages(whispering: str) -> None:
    pipe = pipeline(TASK, model=whispering)
    found = pipe(wave(2.0), return_language=True, language="de")
    assert {chunk["language"] for chunk in found["chunks"]} == {"german"}
    assert pipe(wave(2.0), generate_kwargs={"language": "german"})["text"] == found["text"]


def test_whisper_hears_long_sounds_and_silence(whispering: str) -> None:
    pipe, seen = pipeline(TASK, model=whispering), []
    long = wave(40.0)
    options = {"max_new_tokens": 6}
    whole = pipe(long, return_timestamps=True, progress=lambda *at: seen.append(at), **options)
    assert seen[-1] == (40.0, 40.0)
    assert_near([*pipe.stream(long, **options)], whole["chunks"])
    silence = np.zeros(RATE * 2, np.float32)
    assert pipe(silence) == {"text": ""} and pipe(np.tile(silence, 20)) == {"text": ""}
    assert pipe(silence, return_timestamps=True) == {"text": "", "chunks": []}
    assert pipe(silence, skip_silence=False)["text"] != ""


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("spelling", {"return_timestamps": True}, "'char' or return_timestamps='word'"),
    ("spelling", {"return_language": True}, "return_language"),
    ("spelling", {"chunk_length_s": 1, "stride_length_s": 1}, "chunk_length_s"),
    ("spelling", {"chunk_length": 1}, "chunk_length_s"),
    ("whispering", {"return_timestamps": "char"}, "'word'"),
    ("whispering", {"langage": "de"}, "language"),
    ("whispering", {"skip_silence": "loud"}, "silero-vad"),
    ("whispering", {"language": "de", "generate_kwargs": {"language": "de"}}, "twice"),
]


@pytest.mark.parametrize(("form", "options", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_arguments_that_are_none(
    form: str, options: dict[str, Any], message: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(errors.FormersError, match=message):
        pipeline(TASK, model=request.getfixturevalue(form))(wave(1.5), **options)


@pytest.mark.parametrize("form", ["spelling", "whispering"])
def test_what_is_no_sound(form: str, request: pytest.FixtureRequest) -> None:
    pipe, sound = pipeline(TASK, model=request.getfixturevalue(form)), wave(1.0)
    with pytest.raises(errors.NotFoundError, match=r"nope\.wav"):
        pipe("nope.wav")
    with pytest.raises(errors.NotFoundError, match=r"nope\.wav[\s\S]*inputs\[1\]"):
        pipe([sound, "nope.wav"])
    with pytest.raises(errors.InputError, match="NaN"):
        pipe(np.full(RATE, np.nan, np.float32))
    found = pipe([sound, "nope.wav", np.full(RATE, np.nan, np.float32), sound], on_error="return")
    assert [isinstance(one, errors.FormersError) for one in found] == [False, True, True, False]
    assert found[0] == found[3] == pipe(sound)


@pytest.mark.parametrize("kind", ["text", "json", "srt", "vtt"])
@pytest.mark.parametrize("form", ["spelling", "whispering"])
def test_from_the_command_line(
    form: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path = request.getfixturevalue(form), tmp_path / "x.wav"
    path.write_bytes(in_bytes(wave(2.0)))
    assert cli.main(["run", TASK, str(path), "--model", model, "--format", kind]) in (0, None)
    out, text = capsys.readouterr().out, pipeline(TASK, model=model)(str(path))["text"]
    if kind == "text" and form == "spelling":
        assert out.strip() == text.strip()
    elif kind == "json":
        assert {"text", "chunks"} <= {*json.loads(out)}
    elif kind == "vtt":
        assert out.startswith("WEBVTT\n\n") and " --> " in out
    elif kind == "srt":
        assert out.startswith("1\n00:00:0") and "," in out.splitlines()[1]


def test_subtitles() -> None:
    assert clock(3725.0624, "srt") == "01:02:05,062" and clock(3599.9996, "vtt") == "01:00:00.000"
    chunks: list[dict[str, Any]] = [
        {"text": " a --> b\n", "timestamp": (0.0, 1.5)}, {"text": "  ", "timestamp": (1.5, 2.0)},
        {"text": "c", "timestamp": (2.0, None)},
    ]  # fmt: skip
    lines = [*written("srt", chunks)]
    assert lines == ["1", "00:00:00,000 --> 00:00:01,500", "a -> b", "", "2", "00:00:02,000 --> 00:00:02,000", "c", ""]
    assert [*written("vtt", chunks[2:])][:3] == ["WEBVTT", "", "00:00:02.000 --> 00:00:02.000"]
    words: list[dict[str, Any]] = [
        {"text": f"word{i}", "timestamp": (i * 0.5 + 2 * (i > 3), i * 0.5 + 2 * (i > 3) + 0.4)} for i in range(30)
    ]
    made = [*cues(words)]
    assert made[0] == {"text": "word0 word1 word2 word3", "timestamp": (0.0, 1.9)}
    assert all(len(cue["text"]) <= 80 for cue in made)
    assert " ".join(cue["text"] for cue in made) == " ".join(word["text"] for word in words)
