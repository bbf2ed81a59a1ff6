"""Images to pixel values beside the reference's Pillow classes, alternating, in one process.

    python benchmarks/image_processing.py [--rounds 9] [--torchvision]

A JPEG of 1920 × 1281 is decoded, resized, cropped and normalized as for CLIP and as for ViT; and 8 of it as a list.
Prints medians in milliseconds an image, and the medians of the ratios of a round: the reference's time over ours.
--torchvision: beside the reference's torchvision classes, where torchvision can be imported.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import skimage
from PIL import Image

FAMILIES = ("CLIP", "ViT")


def photo(folder: str) -> str:
    """The path of a large JPEG, made of one of scikit-image's photos."""
    path = Path(folder) / "photo.jpg"
    small = Image.open(Path(skimage.__file__).parent / "data" / "coffee.png").convert("RGB")
    small.resize((1920, 1281), Image.Resampling.BICUBIC).save(path, quality=90)
    return str(path)


def contestants(family: str, torchvision: bool) -> dict[str, Callable[[Any], Any]]:
    """What is measured, the reference first."""
    import transformers

    import formers

    theirs = getattr(transformers, f"{family}ImageProcessor" + ("" if torchvision else "Pil"))()
    ours = getattr(formers, f"{family}ImageProcessor")
    runs: dict[str, Callable[[Any], Any]] = {"reference": lambda images: theirs(images, return_tensors="pt")}
    for backend in ("pil", "torchvision"):
        own = ours(backend=backend)
        runs[backend] = partial(own, return_tensors="pt")
    return runs


def main() -> None:
    """Measure all contestants in turn, `--rounds` times after one that warms up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--torchvision", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = photo(folder)
        print(f"{'ms an image (times as fast)':28}{'reference':>18}{'pil':>18}{'torchvision':>18}")
        for family in FAMILIES:
            runs = contestants(family, arguments.torchvision)
            for count in (1, 8):
                _line(f"{family}, {count}", runs, path, count, arguments.rounds)


def _line(name: str, runs: dict[str, Callable[[Any], Any]], path: str, count: int, rounds: int) -> None:
    times: dict[str, list[float]] = {one: [] for one in runs}
    for turn in range(rounds + 1):
        for one, run in runs.items():
            images = [Path(path) if one != "reference" else str(path) for _ in range(count)]  # objects of their own
            start = time.perf_counter()
            run(images)
            if turn:
                times[one].append((time.perf_counter() - start) / count * 1e3)
    cells = []
    for taken in times.values():
        ratio = statistics.median(t / mine for t, mine in zip(times["reference"], taken, strict=True))
        cells.append(f"{statistics.median(taken):8.1f} ({ratio:4.2f}×)")
    print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
