"""Tokenisation: a list of texts in one call, to padded tensors, or to one packed tensor of ids."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch

CALLS, TEXTS = 5, 872  # of a round, and of a call: as many as the development set has


def prepare(job: dict[str, Any], texts: list[str]) -> Callable[[], dict[str, float]]:
    """What tokenises the next texts with the library and the form of the job's options.

    No text comes twice, since a tokenizer may remember what it has seen. With the option `fresh`, it is a new
    tokenizer at each call, which has seen nothing; making it is not counted.
    """
    options = job["options"]
    auto = importlib.import_module(options["library"]).AutoTokenizer
    tokenizer = auto.from_pretrained(job["model"]["folder"])
    call = {"padded": padded, "packed": packed}[options["form"]]
    parts = cycle([texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS)])

    def run() -> dict[str, float]:
        seconds = 0.0
        for _ in range(CALLS):
            used = auto.from_pretrained(job["model"]["folder"]) if options.get("fresh") else tokenizer
            start = time.perf_counter()
            call(used, next(parts))
            seconds += time.perf_counter() - start
        return {"seconds": seconds}

    return run


def padded(tokenizer: Any, texts: list[str]) -> Any:
    """Ids and mask (B, T)."""
    return tokenizer(texts, padding=True, return_tensors="pt")


def packed(tokenizer: Any, texts: list[str]) -> Any:
    """Ids (N,) of all texts back to back, a tensor."""
    return torch.from_numpy(tokenizer.packed(texts).input_ids)
