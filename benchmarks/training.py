"""Fine-tuning DistilBERT-base on batches of 32 phrases: packed here, padded in the reference; part by part of a step.

    python benchmarks/training.py [--rounds 7] [--threads 2] [--types float32 autocast bfloat16]

The phrases are SST-2's, in random order. Both libraries make the same steps in turn, each in its own process: forward
with dropout and a loss, backward, fused AdamW. Prints medians in milliseconds, and medians of the ratios of a step, the
reference's time over ours. On a machine that is busy with other work, threads wait for each other: look at the CPU time
with --threads 1 there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from corpus import DATA, sst2

BATCH, WARM_UP = 32, 2
LIBRARIES = ("transformers", "formers")
TYPES = ("float32", "autocast", "bfloat16")


def batches(count: int) -> list[dict[str, list[Any]]]:
    """Arguments of the model as lists, padded to the longest of the batch."""
    from formers import BertTokenizer

    tokenizer = BertTokenizer(str(DATA / "bert-base-uncased-vocab.txt"))
    chosen = random.Random(0).sample(sst2("train"), count * BATCH)
    labels, texts = zip(*chosen, strict=True)
    made = []
    for start in range(0, len(chosen), BATCH):
        encoding = tokenizer(list(texts[start : start + BATCH]), padding=True, return_token_type_ids=False)
        made.append({**encoding, "labels": list(labels[start : start + BATCH])})
    return made


def work(library: str, kind: str, threads: int) -> None:
    """One contestant: a step for each line of its input, answered with the milliseconds of each part."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module = importlib.import_module(library)
    model = module.DistilBertForSequenceClassification(module.DistilBertConfig()).train()
    if kind == "bfloat16":
        model.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    for line in sys.stdin:
        inputs = {name: torch.tensor(values) for name, values in json.loads(line).items()}
        clock, cpu = [time.perf_counter()], time.process_time()
        with torch.autocast("cpu", torch.bfloat16) if kind == "autocast" else nullcontext():
            loss = model(**inputs).loss
        clock.append(time.perf_counter())
        loss.backward()
        clock.append(time.perf_counter())
        optimizer.step()
        optimizer.zero_grad()
        clock.append(time.perf_counter())
        parts = [end - start for start, end in pairwise(clock)]
        print(json.dumps([1e3 * t for t in (*parts, clock[-1] - clock[0], time.process_time() - cpu)]), flush=True)


def race(kind: str, given: list[dict[str, list[Any]]], threads: int) -> dict[str, list[list[float]]]:
    """For each library the times of its steps after the first ones, which warm up."""
    command = [sys.executable, __file__, "--threads", str(threads), "--work"]
    running = {
        name: subprocess.Popen([*command, name, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in LIBRARIES
    }
    times: dict[str, list[list[float]]] = {name: [] for name in LIBRARIES}
    for turn, batch in enumerate(given):
        for name, process in running.items():
            assert process.stdin is not None and process.stdout is not None
            print(json.dumps(batch), file=process.stdin, flush=True)
            taken = json.loads(process.stdout.readline())
            if turn >= WARM_UP:
                times[name].append(taken)
    for process in running.values():
        process.communicate()
    return times


def main() -> None:
    """Race the libraries in each type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        library, kind = chosen.work
        return work(library, kind, chosen.threads)
    given = batches(chosen.rounds + WARM_UP)
    real = sum(sum(map(sum, batch["attention_mask"])) for batch in given)
    print(
        f"{real / sum(BATCH * len(batch['input_ids'][0]) for batch in given):.0%} of the padded batches are real tokens"
    )
    print(f"{'':24}" + "".join(f"{part:>11}" for part in ("forward", "backward", "optimizer", "step", "CPU")))
    for kind in chosen.types:
        times = race(kind, given, chosen.threads)
        for name in LIBRARIES:
            medians = [statistics.median(part) for part in zip(*times[name], strict=True)]
            print(f"{name + ', ' + kind:24}" + "".join(f"{ms:11.0f}" for ms in medians))
        pairs = [zip(a, b, strict=True) for a, b in zip(*times.values(), strict=True)]
        ratios = zip(*([a / b for a, b in pair] for pair in pairs), strict=True)
        print(f"{'ratio':24}" + "".join(f"{statistics.median(ratio):10.2f}×" for ratio in ratios), flush=True)
    return None


if __name__ == "__main__":
    main()
