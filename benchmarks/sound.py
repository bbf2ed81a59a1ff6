"""Speech to text beside Transformers, and CTranslate2's faster-whisper, alternating, each in a process of its own.

    python benchmarks/sound.py FOLDER [--ctranslate2 FOLDER] [--cases whisper long ctc] [--rounds 5] [--threads 2]

FOLDER: a Whisper checkpoint; --ctranslate2: the same in CTranslate2's form. The sounds are those of the package
moonshine-voice: two_cities.wav, of 44 s, cut at 30 s ("whisper"), three times in a row ("long"); and pieces of it of
ten lengths, as a list, for a model of wav2vec2-base's shape with drawn weights ("ctc"). Greedy; decoding of files and
features are part of the time. Prints medians in seconds, and the medians of the ratios of a round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CASES = {
    "whisper": ("transformers", "formers", "formers float32", "formers int8", "ctranslate2 int8"),
    "long": ("transformers", "formers", "formers float32", "formers int8", "ctranslate2 int8"),
    "ctc": ("transformers", "formers", "formers float32", "formers int8"),
    "features": ("transformers", "formers"),
}
SECONDS = (3.0, 4.5, 5.0, 6.0, 7.5, 9.0, 10.0, 11.0, 13.0, 15.0)


def clips(folder: Path) -> dict[str, Any]:
    """The paths of the sounds of each case."""
    import numpy as np
    import soundfile

    spec = importlib.util.find_spec("moonshine_voice")
    assert spec is not None and spec.origin is not None, "pip install --no-deps moonshine-voice"
    wave, rate = soundfile.read(Path(spec.origin).parent / "assets" / "two_cities.wav", dtype="float32")
    wave = wave if wave.ndim == 1 else wave.mean(1)

    def write(name: str, samples: Any) -> str:
        soundfile.write(folder / name, samples, rate)
        return str(folder / name)

    starts = np.linspace(0, len(wave) / rate - max(SECONDS), len(SECONDS))
    pieces = [wave[int(a * rate) : int((a + s) * rate)] for a, s in zip(starts, SECONDS, strict=True)]
    return {
        "whisper": write("thirty.wav", wave[: 30 * rate]),
        "long": write("long.wav", np.tile(wave, 3)),
        "ctc": [write(f"piece{i}.wav", piece) for i, piece in enumerate(pieces)],
    }


def _load(path: str) -> Any:
    """As transformers' users do, without the program ffmpeg."""
    import soundfile
    import soxr

    wave, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(wave if wave.ndim == 1 else wave.mean(1), rate, 16_000, quality="HQ")


def contestant(case: str, name: str, sounds: Any, model: str, other: str) -> Any:
    """What is timed: a function that gives the texts."""
    if name.startswith("ctranslate2"):
        from faster_whisper import WhisperModel

        made = WhisperModel(other, device="cpu", compute_type="int8", cpu_threads=_threads())
        english = model.endswith(".en")

        def run() -> Any:
            found, _ = made.transcribe(
                sounds, beam_size=1, language="en" if english else None, without_timestamps=case == "whisper",
                condition_on_previous_text=False, temperature=0.0, compression_ratio_threshold=None,
                log_prob_threshold=None, no_speech_threshold=None,
            )  # fmt: skip
            return "".join(segment.text for segment in found)

        return run
    ours = name.startswith("formers")
    if case == "features":
        return _features(ours, sounds)
    if case == "ctc":
        return _spelling(ours, sounds, model, name)
    if ours:
        import formers

        pipe = formers.pipeline("automatic-speech-recognition", model=model, optimize=_mode(name))
        return lambda: pipe(sounds)["text"]
    import transformers

    transformers.utils.logging.set_verbosity_error()
    pipe = transformers.pipeline("automatic-speech-recognition", model=model)
    said = {} if model.endswith(".en") else {"task": "transcribe"}
    options: dict[str, Any] = {
        "generate_kwargs": {"num_beams": 1, **said}
    }  # it searches with 5 beams where nobody says
    options |= {"return_timestamps": True} if case == "long" else {}
    return lambda: pipe({"raw": _load(sounds), "sampling_rate": 16_000}, **options)["text"]


def _mode(name: str) -> str | None:
    return name.partition(" ")[2] or None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _features(ours: bool, sounds: str) -> Any:
    import importlib

    wave = _load(sounds)
    library = importlib.import_module("formers" if ours else "transformers")
    extractor = library.WhisperFeatureExtractor()
    return lambda: str(extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_features"].shape)


def _spelling(ours: bool, sounds: list[str], model: str, name: str) -> Any:
    if ours:
        import formers

        pipe = formers.pipeline("automatic-speech-recognition", model=model, optimize=_mode(name))
        return lambda: [len(one["text"]) for one in pipe(sounds)]
    import transformers

    pipe = transformers.pipeline("automatic-speech-recognition", model=model)
    return lambda: [
        len(one["text"])
        for one in pipe([{"raw": _load(s), "sampling_rate": 16_000} for s in sounds], batch_size=len(sounds))
    ]


def spelling_model(folder: Path) -> str:
    """A model of the shape of wav2vec2-base with norms of layers, which takes a mask, and drawn weights."""
    import transformers

    words = {
        "<pad>": 0,
        "<s>": 1,
        "</s>": 2,
        "<unk>": 3,
        "|": 4,
        **{c: i + 5 for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")},
    }
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(words))
    config = transformers.Wav2Vec2Config(
        vocab_size=len(words), feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True,
        architectures=["Wav2Vec2ForCTC"],
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return str(folder)


def work(case: str, name: str, threads: int, sounds: Any, model: str, other: str) -> None:
    """Load, then time a run for each line that comes."""
    import torch

    torch.set_num_threads(threads)
    with torch.inference_mode():
        run = contestant(case, name, sounds, model, other)
        run()
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            found = run()
            print(json.dumps([time.perf_counter() - start, found]), flush=True)


def measure(case: str, given: argparse.Namespace, sounds: Any, model: str) -> None:
    """Run all of a case in turn."""
    names = [name for name in CASES[case] if given.ctranslate2 or not name.startswith("ctranslate2")]
    workers = {}
    for name in names:
        task = [case, name, str(given.threads), json.dumps(sounds), model, given.ctranslate2 or ""]
        command = [sys.executable, __file__, "", "--work", *task]
        workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert workers[name].stdout.readline().strip() == "ready", name  # type: ignore[union-attr]
    times: dict[str, list[float]] = {name: [] for name in names}
    texts: dict[str, Any] = {}
    for _ in range(given.rounds):
        for name, worker in workers.items():
            print(file=worker.stdin, flush=True)
            taken, texts[name] = json.loads(worker.stdout.readline())  # type: ignore[union-attr]
            times[name].append(taken)
    for name, worker in workers.items():
        worker.stdin.close()  # type: ignore[union-attr]
        ratio = statistics.median(t / own for t, own in zip(times["transformers"], times[name], strict=True))
        same = "" if texts[name] == texts["transformers"] else "  (another text)"
        print(f"{case:9}{name:20}{statistics.median(times[name]):9.3f} s {ratio:6.2f}×{same}", flush=True)


def main() -> None:
    """Measure the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ctranslate2")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        case, name, threads, sounds, model, other = given.work
        work(case, name, int(threads), json.loads(sounds), model, other)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = clips(Path(folder))
        for case in given.cases:
            model = spelling_model(Path(folder) / "ctc") if case == "ctc" else given.model
            measure(case, given, found.get(case, found["whisper"]), model)


if __name__ == "__main__":
    main()
