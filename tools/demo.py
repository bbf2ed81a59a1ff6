"""Classify a few sentences with the model in the package: `make demo`. Needs no network."""

from __future__ import annotations

import time
from pathlib import Path

START = time.perf_counter()

import formers  # noqa: E402  (the clock starts before anything is imported)

SENTENCES = (
    "The first half is slow, but the last twenty minutes are unforgettable.",
    "I asked for a refund and never heard back from them.",
    "A quiet, generous film, and the best thing she has done in years.",
    "The battery died after two weeks.",
    "It's not bad, but I would not watch it again.",
)


def main() -> None:
    """Print label, score and sentence, and how long it took."""
    folder = Path(formers.__file__).parent / "packaged" / "sentiment"
    classifier = formers.pipeline("text-classification", model=folder)
    loaded = time.perf_counter()
    results = classifier(list(SENTENCES))
    done = time.perf_counter()
    for sentence, result in zip(SENTENCES, results, strict=True):
        print(f"{result['label']:<8}  {result['score']:.3f}  {sentence}")
    megabytes = (folder / "model.safetensors").stat().st_size / 1e6
    print(
        f"\n{len(SENTENCES)} sentences in {(done - loaded) * 1000:.0f} ms, after {loaded - START:.1f} s to start and "
        f"load the model ({megabytes:.1f} MB, inside the package). No network was used."
    )


if __name__ == "__main__":
    main()
