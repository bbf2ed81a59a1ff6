"""How long a piece of code takes by itself, whatever else the machine and the tests before it are doing."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def within(seconds: float, what: object = "it") -> Iterator[None]:
    """Fails where the code in it works for longer, waits not counted.

    What earlier tests left behind is not collected meanwhile: one such sweep takes longer than most limits.
    """
    collects = gc.isenabled()
    gc.disable()
    start = time.thread_time()
    try:
        yield
    finally:
        took = time.thread_time() - start
        if collects:
            gc.enable()
        assert took < seconds, f"{what} took {took:.2f} s of at most {seconds}"
