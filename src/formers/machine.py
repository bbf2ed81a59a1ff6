"""What this process may use of the machine, where control groups of a container leave it less."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

# where the files of the system are
_ROOT = Path("/")


def processors() -> int:
    """How many processors this process may use, by its affinity and the quota of its control groups."""
    return max(1, math.ceil(min((allowed(), *_quotas()))))


def allowed() -> int:
    """How many processors there are that this process may be run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes that this process may still take, what the system would give up for it included; None where unknown."""
    pairs = (line.split() for line in _words(_ROOT / "proc/meminfo", "\n"))
    known = {words[0]: words[1] for words in pairs if len(words) > 1}
    found = [1024 * int(known["MemAvailable:"])] if known.get("MemAvailable:", "").isdecimal() else []
    return min((*found, *_room()), default=None)


def _room() -> Iterator[int]:
    """Bytes that each control group above this process leaves it.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files and
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
    """
    for folder in _groups("memory"):
        for limit, used, file in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            words = [*_words(folder / limit), *_words(folder / used)]
            if len(words) == 2 and all(map(str.isdecimal, words)):
                stat = dict(line.split() for line in _words(folder / "memory.stat", "\n") if len(line.split()) == 2)
                yield max(0, int(words[0]) - int(words[1]) + int(stat.get(file, 0)))


def _quotas() -> Iterator[float]:
    """Processors' worth of time that each control group above this process leaves it.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files and
    https://docs.kernel.org/scheduler/sched-bwc.html (version 1)
    """
    for folder in _groups("cpu"):
        version_1 = [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
        words = _words(folder / "cpu.max") or version_1
        if len(words) == 2 and all(map(str.isdecimal, words)) and int(words[1]):  # "max" and -1 are no limit
            yield int(words[0]) / int(words[1])


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in, of both versions, from the inside out."""
    for line in _words(_ROOT / "proc/self/cgroup", "\n"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            mounts = [_ROOT / "sys/fs/cgroup"]
        elif controller in controllers.split(","):
            mounts = [_ROOT / "sys/fs/cgroup" / name for name in dict.fromkeys((controllers, controller))]
        else:
            continue
        inner = Path(path.strip().lstrip("/"))
        yield from (mount / part for mount in mounts for part in (inner, *inner.parents))


def _words(file: Path, separator: str | None = None) -> list[str]:
    """The words of a file of the system; none where it is not there or not for us."""
    try:
        return file.read_text(encoding="utf-8").strip().split(separator)
    except (OSError, UnicodeDecodeError):
        return []
