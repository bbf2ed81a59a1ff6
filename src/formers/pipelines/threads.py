"""As many threads as the process may use: torch starts one per core of the machine, where a container has fewer; and
work that is shared out among them.

Threads that wait for a processor hold up all others, as each product ends with the last of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

from ..logging import logger
from ..machine import allowed, processors

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@cache
def fit_threads() -> None:
    """Lower torch's threads to the processors that this process may use; never raises them.

    Nothing happens where the user chose: by OMP_NUM_THREADS, MKL_NUM_THREADS, or a call of torch.set_num_threads.
    It is done once, so that what is chosen later stays.
    """
    threads, usable = torch.get_num_threads(), processors()
    if threads <= usable or threads not in _defaults() or any(os.environ.get(name) for name in _VARIABLES):
        return
    torch.set_num_threads(usable)
    logger.info(
        f"torch has {usable} threads now, and not {threads}: that is what this process may use of the machine. "
        "OMP_NUM_THREADS, or torch.set_num_threads(…), says otherwise."
    )


def _defaults() -> set[int]:
    """What torch starts with: all processors, or where two of them share a core, half as many."""
    return {count // shared for count in (os.cpu_count() or 1, allowed()) for shared in (1, 2)}


def in_threads(make: Callable[[Any], Any], items: Any) -> list[Any]:
    """What `make` gives for each item, in their order; decoding and resizing use a processor each."""
    if len(items) < 2:
        return [make(item) for item in items]
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(make, items))
