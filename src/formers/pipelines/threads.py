"""As many threads as the process may use: torch starts one per core of the machine, where a container has fewer.

Threads that wait for a processor hold up all others, as each product ends with the last of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from ..logging import logger

# where the files of the system are
_ROOT = Path("/")
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


def processors() -> int:
    """How many processors this process may use, by its affinity and the quota of its control groups."""
    return max(1, math.ceil(min((_allowed(), *_quotas()))))


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _defaults() -> set[int]:
    """What torch starts with: all processors, or where two of them share a core, half as many."""
    return {count // shared for count in (os.cpu_count() or 1, _allowed()) for shared in (1, 2)}


def _quotas() -> Iterator[float]:
    """Processors' worth of time that each control group above this process leaves it.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files and
    https://docs.kernel.org/scheduler/sched-bwc.html (version 1)
    """
    for line in _words(_ROOT / "proc/self/cgroup", "\n"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            mounts = [_ROOT / "sys/fs/cgroup"]
        elif "cpu" in controllers.split(","):
            mounts = [_ROOT / "sys/fs/cgroup" / name for name in dict.fromkeys((controllers, "cpu"))]
        else:
            continue
        inner = Path(path.strip().lstrip("/"))
        for folder in (mount / part for mount in mounts for part in (inner, *inner.parents)):
            version_1 = [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
            words = _words(folder / "cpu.max") or version_1
            if len(words) == 2 and all(map(str.isdecimal, words)) and int(words[1]):  # "max" and -1 are no limit
                yield int(words[0]) / int(words[1])


def _words(file: Path, separator: str | None = None) -> list[str]:
    """The words of a file of the system; none where it is not there or not for us."""
    try:
        return file.read_text(encoding="utf-8").strip().split(separator)
    except (OSError, UnicodeDecodeError):
        return []
