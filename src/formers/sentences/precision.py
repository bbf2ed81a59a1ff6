"""Vectors of fewer bits: a byte a number, or a bit.

Source: the "Embedding Quantization" of sentence-transformers (https://sbert.net/examples/sentence_transformer/
applications/embedding-quantization/README.html).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ArgumentError, InputError, near
from ..logging import logger

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
# with fewer vectors than this their least and largest numbers say little of others
_ENOUGH = 100


def check_precision(precision: str | None) -> str:
    """The precision itself, "float32" for None. Raises ArgumentError for one that is not known."""
    if precision not in (None, *PRECISIONS):
        raise ArgumentError(
            f"precision={precision!r} is not known.{near(precision, PRECISIONS)} Use {', '.join(PRECISIONS)}."
        )
    return precision or "float32"


def quantize_embeddings(
    embeddings: Any, precision: str, ranges: Any = None, calibration_embeddings: Any = None
) -> np.ndarray:
    """Vectors (N, D) in fewer bits.

    Args:
        embeddings: an array, a tensor, or a list of vectors.
        precision: "int8" or "uint8": a byte a number, from its place between the least and the largest of its column;
            "ubinary" or "binary": a bit a number, whether it is positive, eight in a byte (which "binary" counts from
            -128 on); "float32".
        ranges: the least and the largest number of each column, (2, D).
        calibration_embeddings: vectors that these are taken from, instead of `embeddings`.

    Returns (N, D) or (N, ⌈D/8⌉). Raises InputError for vectors that have no range, or are no floats.
    """
    precision = check_precision(precision)
    x = _array(embeddings)
    if x.dtype in (np.int8, np.uint8):
        raise InputError(f"embeddings are {x.dtype} already; vectors of floats are needed.")
    if precision == "float32":
        return x.astype(np.float32)
    if precision.endswith("binary"):
        bits = np.packbits(x > 0, axis=-1)
        return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
    low, high = _ranges(x, precision, calibration_embeddings) if ranges is None else np.asarray(ranges, np.float32)
    steps = (high - low) / 255
    levels = np.clip(np.floor((x - low) / np.where(steps == 0, 1, steps)), 0, 255)
    return levels.astype(np.uint8) if precision == "uint8" else (levels - 128).astype(np.int8)


def _array(embeddings: Any) -> np.ndarray:
    if isinstance(embeddings, list | tuple):
        return np.stack([_array(one) for one in embeddings]) if embeddings else np.empty((0, 0), np.float32)
    return embeddings.float().cpu().numpy() if isinstance(embeddings, Tensor) else np.asarray(embeddings)


def _ranges(x: np.ndarray, precision: str, others: Any) -> tuple[np.ndarray, np.ndarray]:
    known = x if others is None else _array(others)
    if known.ndim < 2 or len(known) < 2:
        raise InputError(
            f"precision={precision!r} of one vector has no range to be within. Encode more texts at once, or pass "
            "ranges or calibration_embeddings to quantize_embeddings."
        )
    if others is None and len(known) < _ENOUGH:
        logger.warning(f"{precision} of {len(known)} vectors: their ranges say little of others. Pass ranges instead.")
    return known.min(axis=0), known.max(axis=0)
