"""Fine-tuning: forward with a loss, backward and AdamW, batch after batch; the tokenizer's work is part of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from itertools import cycle
from typing import Any

import torch

BATCH, STEPS = 32, 4


def prepare(job: dict[str, Any], texts: list[str]) -> Callable[[], None]:
    """What makes STEPS steps with the library and the type of the job's options."""
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    library = importlib.import_module(job["options"]["library"])
    folder = job["model"]["folder"]
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModelForSequenceClassification.from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)  # as the Trainer of Transformers has it
    batches = cycle([texts[start : start + BATCH] for start in range(0, len(texts), BATCH)])
    labels = torch.arange(BATCH) % 2
    half = job["options"]["dtype"] == "bf16"

    def run() -> None:
        for _ in range(STEPS):
            inputs = tokenizer(next(batches), padding=True, truncation=True, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
                loss = model(**inputs, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return run
