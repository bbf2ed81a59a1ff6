"""What the engines without batching of their own share: sorted by length, 32 texts a batch, padded to its longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..inputs import Model

BATCH = 32


def load_tokenizer(model: Model) -> Tokenizer:
    """The model's tokenizer without a library around it."""
    tokenizer = Tokenizer.from_file(f"{model.folder}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.max_length)
    return tokenizer


class Padded:
    """An engine that computes a padded batch; see `forward`."""

    def __init__(self, model: Model) -> None:
        self.classifies = model.task == "text-classification"
        self.tokenizer = load_tokenizer(model)

    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Ids and mask (B, T), both int64, to logits (B, C), or for embeddings to hidden states (B, T, D)."""
        raise NotImplementedError

    def forward_all(self, batches: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """`forward` of each batch; for engines that compute several at once."""
        return [self.forward(*batch) for batch in batches]

    def __call__(self, texts: list[str]) -> Any:
        """Labels and scores, or embeddings (texts, D)."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]), reverse=True)
        batches = [pad([rows[row] for row in order[start : start + BATCH]]) for start in range(0, len(order), BATCH)]
        parts = self.forward_all(batches)
        if not self.classifies:
            parts = [mean_pool(hidden, mask) for hidden, (_, mask) in zip(parts, batches, strict=True)]
        return in_order(parts, order, self.classifies)


def pad(rows: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask (B, T) of a batch."""
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return ids, mask


def mean_pool(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Hidden states (B, T, D) to embeddings (B, D): the mean of the real tokens, at length 1."""
    total = (mask[:, None, :].astype(np.float32) @ hidden)[:, 0]  # the length of the mean does not matter
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True))


def in_order(parts: list[np.ndarray], order: list[int], classifies: bool) -> Any:
    """Results of batches, back in the order of the texts."""
    joined = np.concatenate(parts)
    result = np.empty_like(joined)
    result[order] = joined
    return labels(result) if classifies else result


def labels(logits: np.ndarray) -> list[dict[str, Any]]:
    """Logits (B, C) to the best label of each row and its score."""
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    best = scores.argmax(axis=1)
    return [
        {"label": f"LABEL_{label}", "score": score}
        for label, score in zip(best.tolist(), scores.max(axis=1).tolist(), strict=True)
    ]
