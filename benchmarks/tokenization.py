"""Tokenizing lists of texts beside the reference, alternating, in one process with the same threads.

    python benchmarks/tokenization.py [--rounds 7]

The lists are of SST-2. Prints medians in microseconds a text, and the medians of the ratios of a round: the reference's
time over ours. "new": every word is met first then.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from corpus import DATA, sst2

Run = Callable[[list[str]], Any]
SENTENCES_OF_A_LONG_TEXT = 18  # about 400 tokens


def texts() -> dict[str, list[str]]:
    """The lists that are tokenized, by name."""
    dev, train = ([text for _, text in sst2(split)] for split in ("dev", "train"))
    starts = range(0, len(dev) - SENTENCES_OF_A_LONG_TEXT, SENTENCES_OF_A_LONG_TEXT)
    long = [" ".join(dev[at : at + SENTENCES_OF_A_LONG_TEXT]) for at in starts]
    return {
        "one sentence": dev[:1],
        "872 sentences": dev,
        "1,000 phrases": train[:1000],
        "10,000 phrases": train[:10_000],
        "48 of 400 tokens": long,
    }


def contestants() -> dict[str, Callable[[], Run]]:
    """What is measured, the reference first: what prepares a round, and gives what is timed."""
    import transformers

    import formers

    vocabulary = str(DATA / "bert-base-uncased-vocab.txt")
    theirs, ours = transformers.BertTokenizer(vocabulary), formers.BertTokenizer(vocabulary)
    padded = {"padding": True, "return_tensors": "pt"}
    return {
        "reference": lambda: lambda batch: theirs(batch, **padded),
        "padded": lambda: lambda batch: ours(batch, **padded),
        "packed": lambda: ours.packed,
        "packed, new": lambda: copy.deepcopy(ours).packed,
    }


def main() -> None:
    """Measure all contestants in turn on each list, `--rounds` times after one that warms up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    runs = contestants()
    print(f"{'µs a text (times as fast)':26}" + "".join(f"{name:>18}" for name in runs))
    for name, batch in texts().items():
        times: dict[str, list[float]] = {one: [] for one in runs}
        for turn in range(arguments.rounds + 1):
            for one, prepare in runs.items():
                run = prepare()
                start = time.perf_counter()
                run(batch)
                if turn:
                    times[one].append((time.perf_counter() - start) / len(batch) * 1e6)
        cells = []
        for taken in times.values():
            ratio = statistics.median(t / mine for t, mine in zip(times["reference"], taken, strict=True))
            cells.append(f"{statistics.median(taken):9.1f} ({ratio:4.1f}×)")
        print(f"{name:26}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
