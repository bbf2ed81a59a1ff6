"""Transformers' pipeline, in float32."""

from __future__ import annotations

from typing import Any

import torch
from transformers import pipeline

from ..inputs import Model


class Engine:
    """The text-classification pipeline; `call` are arguments of the call."""

    def __init__(self, model: Model, threads: int, **call: Any) -> None:
        torch.set_num_threads(threads)
        self.pipeline = pipeline("text-classification", model=model.folder, device="cpu")
        self.call = call

    def __call__(self, texts: list[str]) -> Any:
        return self.pipeline(texts, **self.call)
