"""Tokenisation: a list of texts in one call, to padded tensors, or to one packed tensor of ids."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

REPEATS = 5


def prepare(job: dict[str, Any], texts: list[str]) -> Callable[[], None]:
    """What tokenises the texts REPEATS times with the library and the form of the job's options."""
    library = importlib.import_module(job["options"]["library"])
    tokenizer = library.AutoTokenizer.from_pretrained(job["model"]["folder"])
    call = {"padded": padded, "packed": packed}[job["options"]["form"]]

    def run() -> None:
        for _ in range(REPEATS):
            call(tokenizer, texts)

    return run


def padded(tokenizer: Any, texts: list[str]) -> Any:
    """Ids and mask (B, T)."""
    return tokenizer(texts, padding=True, return_tensors="pt")


def packed(tokenizer: Any, texts: list[str]) -> Any:
    """Ids (N,) of all texts back to back, and their lengths (B,)."""
    raise NotImplementedError("the tokenizer has no packed form yet")
