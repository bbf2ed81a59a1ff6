"""Random seeds, and the states of the generators that a training draws from."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed the generators of Python, numpy and torch on every device; deterministic: torch's kernels too."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        torch.use_deterministic_algorithms(True)


def enable_full_determinism(seed: int, warn_only: bool = False) -> None:
    """Seed all generators, and let torch use deterministic kernels only (slower)."""
    set_seed(seed)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def seed_worker(worker_id: int, num_workers: int = 0, rank: int = 0) -> None:
    """The `worker_init_fn` of a DataLoader: each worker draws its own numbers."""
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)


def states() -> dict[str, Any]:
    """Where all generators stand, as plain values and tensors, which can be read back without running code."""
    state: Any = np.random.get_state()
    name, keys, *rest = state
    found: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "cpu": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def set_states(found: dict[str, Any]) -> None:
    """Put all generators where `states` found them."""
    version, inner, gauss = found["python"]
    random.setstate((version, tuple(inner), gauss))
    name, keys, *rest = found["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(found["cpu"])
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(found["cuda"])
