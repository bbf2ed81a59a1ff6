"""CTranslate2: its converter for Transformers' encoders with int8; it removes padding itself. The head is numpy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from safetensors.numpy import load_file

from ..inputs import Model
from .padded import BATCH, in_order, load_tokenizer, mean_pool, pad


class Engine:
    """An encoder on `threads` threads."""

    def __init__(self, model: Model, threads: int, exported: str) -> None:
        self.tokenizer = load_tokenizer(model)
        self.encoder = ctranslate2.Encoder(
            exported, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )
        self.classifies = model.task == "text-classification"
        if self.classifies:
            weights = load_file(Path(model.folder, "model.safetensors"))
            self.head = {name: weight for name, weight in weights.items() if "classifier" in name}

    def __call__(self, texts: list[str]) -> Any:
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]), reverse=True)
        parts = []
        for start in range(0, len(order), BATCH):
            batch = [rows[row] for row in order[start : start + BATCH]]
            result = self.encoder.forward_batch(batch)
            parts.append(self._classify(result) if self.classifies else _embed(result, batch))
        return in_order(parts, order, self.classifies)

    def _classify(self, result: Any) -> np.ndarray:
        head = self.head
        if result.pooler_output is not None:
            row = np.array(result.pooler_output)
        else:  # DistilBERT
            first = np.array(result.last_hidden_state)[:, 0]
            row = np.maximum(first @ head["pre_classifier.weight"].T + head["pre_classifier.bias"], 0)
        return np.asarray(row @ head["classifier.weight"].T + head["classifier.bias"])


def _embed(result: Any, batch: list[list[int]]) -> np.ndarray:
    return mean_pool(np.array(result.last_hidden_state), pad(batch)[1])


def export(model: Model, exported: str) -> None:
    """Write the converted model into the folder `exported`."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(model.folder).convert(exported, quantization="int8", force=True)
