"""formers: its pipeline, and for embeddings the model and its tokenizer with mean pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from formers import AutoModel, AutoTokenizer, pipeline

from ..inputs import Model
from .padded import in_order, pad

TOKENS = 5_000  # of a batch of embeddings, which come from a narrow model


def Engine(model: Model, threads: int, optimize: bool | str | None) -> Any:
    """The pipeline, or the embedder."""
    torch.set_num_threads(threads)
    return (Classifier if model.task == "text-classification" else Embedder)(model, optimize)


class Classifier:
    """The text-classification pipeline."""

    def __init__(self, model: Model, optimize: bool | str | None) -> None:
        options = {} if optimize is None else {"optimize": optimize}
        self.pipeline = pipeline("text-classification", model=model.folder, **options)
        self.folder = model.folder

    def forget(self) -> None:
        """Take a new tokenizer: one that has seen these texts knows all their words."""
        self.pipeline.tokenizer = AutoTokenizer.from_pretrained(self.folder)

    def __call__(self, texts: list[str]) -> Any:
        return self.pipeline(texts)


class Embedder:
    """Embeddings as sentence-transformers makes them: the mean of the real tokens, at length 1."""

    def __init__(self, model: Model, optimize: bool | str | None) -> None:
        self.folder = model.folder
        self.forget()
        self.model = AutoModel.from_pretrained(model.folder).eval()
        if optimize is not None:
            self.model.optimize(optimize)
        self.max_length = model.max_length

    def forget(self) -> None:
        """Take a new tokenizer: one that has seen these texts knows all their words."""
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> Any:
        packed = self.tokenizer.packed(texts, truncation=True, max_length=self.max_length)
        rows = np.split(packed.input_ids, packed.lengths.cumsum()[:-1])
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]), reverse=True)
        parts = []
        for batch in batches(order, rows):
            ids, mask = map(torch.from_numpy, pad([rows[row] for row in batch]))
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, D), zeros at padding
            parts.append(torch.nn.functional.normalize(hidden.sum(dim=1).float()).numpy())
        return np.asarray(in_order(parts, order, classifies=False))


def batches(order: list[int], rows: list[np.ndarray]) -> list[list[int]]:
    """Rows in this order, in batches of at most TOKENS tokens."""
    found: list[list[int]] = [[]]
    room = TOKENS
    for row in order:
        if found[-1] and len(rows[row]) > room:
            found.append([])
            room = TOKENS
        found[-1].append(row)
        room -= len(rows[row])
    return found
