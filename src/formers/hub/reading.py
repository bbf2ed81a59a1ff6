"""Reading a folder that others write to: what was read is of one time, or it is read again.

Which files count is told by those who read: each notes a file before it opens it, or finds that it is not there. Other
files of the folder may come and go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeVar

from ..atomic import saves_wait
from ..errors import CheckpointError, FormersError

T = TypeVar("T")
_Identity = tuple[int, int, int, int] | None  # None for what is not there

_PATIENCE_S = 30.0
_seen: ContextVar[dict[str, _Identity] | None] = ContextVar("seen", default=None)


def note(path: str | os.PathLike[str]) -> None:
    """Say that a file is about to be read, or looked for."""
    seen = _seen.get()
    if seen is not None:
        seen.setdefault(os.path.abspath(path), _identity(path))


def unchanged(name: Any, read: Callable[[], T]) -> T:
    """What `read` gives; called again when a file that it had noted changed: it may have seen old and new ones.

    From the second time on, saves by this package wait meanwhile, so they hold it up once at most. `name`: for errors.
    Errors: CheckpointError when other programs change the files for half a minute, and twice at least.
    """
    end, changed = time.monotonic() + _PATIENCE_S, list[str]()
    for attempt in count(1):
        seen: dict[str, _Identity] = {}
        value, error, changed = _read(read, seen, changed)
        if not changed:
            if (around := _seen.get()) is not None:
                around.update({path: identity for path, identity in seen.items() if path not in around})
            if error is not None:
                raise error
            return value  # type: ignore[return-value]
        if attempt > 1:
            if time.monotonic() > end:
                break
            time.sleep(0.01)
    raise CheckpointError(
        f"{str(name)!r} was read {attempt} times, and each time {changed[0]!r} changed meanwhile. "
        "Load it when the program that writes it has ended, or from a copy."
    )


def _read(
    read: Callable[[], T], seen: dict[str, _Identity], changed: Iterable[str]
) -> tuple[T | None, FormersError | None, list[str]]:
    """What came of it, and the files that changed meanwhile; saves to the folders of `changed` wait."""
    with ExitStack() as waiting:
        for folder in sorted({os.path.dirname(path) for path in changed}):
            waiting.enter_context(saves_wait(folder))
        value, error, token = None, None, _seen.set(seen)
        try:
            value = read()
        except FormersError as caught:
            error = caught
        finally:
            _seen.reset(token)
        return value, error, [path for path, before in seen.items() if _identity(path) != before]


def _identity(path: str | os.PathLike[str]) -> _Identity:
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    # not the time of its inode: a save gives new links to files that it leaves as they are
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
