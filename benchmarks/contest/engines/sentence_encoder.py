"""sentence-transformers, as it comes: encode() sorts by length, in batches of 32."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from ..inputs import Model


class Engine:
    """A SentenceTransformer on the CPU."""

    def __init__(self, model: Model, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = SentenceTransformer(model.folder, device="cpu")

    def __call__(self, texts: list[str]) -> Any:
        return self.model.encode(texts)
