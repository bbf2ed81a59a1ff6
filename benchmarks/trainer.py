"""Trainer beside the Trainer of Transformers: the same texts in the same order, the same model, and a bare loop.

    python benchmarks/trainer.py [--rounds 5] [--steps 10] [--cases sst2 bf16 grouped mlm loop] [--model FOLDER]

A model of DistilBERT-base's size is trained on SST-2's phrases, or with masked tokens on texts whose lengths have a
long tail; each contestant in its own process, a round of steps each in turn. Prints the median of a step in
milliseconds, of the ratios of rounds, and the most memory that a process took. "loop" is this package's Trainer beside
the loop that a user would write: the batches, loss, backward, clipping, AdamW, schedule.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from corpus import DATA, sst2

CASES = ("sst2", "bf16", "grouped", "mlm", "loop")
BATCH = 32


def examples(case: str, library: Any, count: int) -> tuple[Any, list[dict[str, Any]]]:
    """A tokenizer of the library, and tokenized texts."""
    import formers

    tokenizer = formers.BertTokenizer(str(DATA / "bert-base-uncased-vocab.txt"))
    rng = random.Random(0)
    chosen = rng.sample(sst2("train"), count)
    if case == "mlm":  # sentences put together: half are short, a few have 256 tokens
        texts = [t for _, t in chosen]
        chosen = [(0, " ".join(rng.choices(texts, k=min(20, int(rng.paretovariate(1.0)))))) for _ in range(count)]
    encoded = tokenizer([text for _, text in chosen], truncation=True, max_length=256, return_token_type_ids=False)
    rows = [{name: encoded[name][i] for name in encoded} for i in range(count)]
    if case != "mlm":
        for row, (label, _) in zip(rows, chosen, strict=True):
            row["labels"] = label
    if library.__name__ == "transformers":
        folder = tempfile.mkdtemp()
        tokenizer.save_pretrained(folder)
        return library.AutoTokenizer.from_pretrained(folder), rows
    return tokenizer, rows


def contestant(name: str, case: str, steps: int, threads: int, model_folder: str | None) -> None:
    """A round of steps for each line of the input, answered with the milliseconds of a step and the memory."""
    import torch

    torch.set_num_threads(threads)
    library = importlib.import_module("formers" if name == "loop" else name)
    tokenizer, rows = examples(case, library, BATCH * steps)
    torch.manual_seed(0)
    kind = "MaskedLM" if case == "mlm" else "SequenceClassification"
    if model_folder:
        model = getattr(library, f"AutoModelFor{kind}").from_pretrained(model_folder)
    else:
        model = getattr(library, f"DistilBertFor{kind}")(library.DistilBertConfig())
    collator = library.DataCollatorWithPadding(tokenizer)
    if case == "mlm":
        collator = library.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    args = library.TrainingArguments(
        tempfile.mkdtemp(), per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=2e-5, use_cpu=True,
        bf16=case == "bf16", report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no", seed=1,
        **({"train_sampling_strategy": "group_by_length"} if case == "grouped" else {}),
    )  # fmt: skip
    trainer = library.Trainer(model, args, data_collator=collator, train_dataset=rows)
    loader = trainer.get_train_dataloader()
    for _ in sys.stdin:
        start = time.perf_counter()
        bare(model, loader, steps) if name == "loop" else trainer.train()
        taken = 1e3 * (time.perf_counter() - start) / steps
        print("\n" + json.dumps([taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]), flush=True)


def bare(model: Any, loader: Any, steps: int) -> None:
    """The loop that a user would write."""
    import torch

    import formers

    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.0, fused=True)
    schedule = formers.get_linear_schedule_with_warmup(optimizer, 0, steps)
    model.train()
    for batch in loader:
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()


def race(case: str, rounds: int, steps: int, threads: int, model: str | None) -> None:
    """Print what both contestants of a case took."""
    names = ("loop", "formers") if case == "loop" else ("transformers", "formers")
    command = [sys.executable, "-W", "ignore", __file__, "--steps", str(steps), "--threads", str(threads)]
    command += ["--model", model] if model else []
    running = {
        name: subprocess.Popen(
            [*command, "--work", name, case], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        for name in names
    }  # fmt: skip
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        order = list(running.items())
        for name, process in order if turn % 2 else reversed(order):
            assert process.stdin is not None and process.stdout is not None
            print(file=process.stdin, flush=True)
            line = next(x for x in process.stdout if x.startswith("["))
            if turn:
                found[name].append(json.loads(line))
    for process in running.values():
        process.communicate()
    medians = {name: statistics.median(ms for ms, _ in rows) for name, rows in found.items()}
    ratio = statistics.median(a[0] / b[0] for a, b in zip(*found.values(), strict=True))
    memory = {name: rows[-1][1] for name, rows in found.items()}
    shown = "".join(f"{medians[name]:9.0f} ms {memory[name]:6.0f} MB" for name in names)
    print(f"{case:10}{shown}{ratio:9.2f}×", flush=True)


def main() -> None:
    """Race the contestants of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--model")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        return contestant(*chosen.work, chosen.steps, chosen.threads, chosen.model)
    print(f"{'':10}{'other':>22}{'formers':>22}{'ratio':>10}")
    for case in chosen.cases:
        race(case, chosen.rounds, chosen.steps, chosen.threads, chosen.model)
    return None


if __name__ == "__main__":
    main()
