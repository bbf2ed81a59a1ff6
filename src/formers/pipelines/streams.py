"""Reading inputs a chunk at a time, and handing results out one at a time."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ..logging import shows_bars

# Tokenizing many texts in one call uses all cores; more than this gains nothing and costs memory.
_MOST = 1024
_FIRST_CHUNK = 64
# A bar for less than this many inputs would be gone before anybody reads it.
_BAR_FROM = 256
_BAR_AFTER_S = 2.0


class Results:
    """The results of a stream, computed as they are asked for; with `len` where the inputs have one.

    Iterating again starts again, as far as the inputs allow that.
    """

    def __init__(self, run: Callable[[], Iterator[Any]], inputs: Any) -> None:
        self._run, self._inputs = run, inputs
        self._results: Iterator[Any] | None = None

    def __len__(self) -> int:
        return len(self._inputs)

    def __iter__(self) -> Iterator[Any]:
        if self._results is None or not isinstance(self._inputs, Iterator):
            self._results = self._run()
        return self._results

    def __next__(self) -> Any:
        if self._results is None:
            self._results = self._run()
        return next(self._results)


def chunks(
    inputs: Any, size: int | None, eager: bool, busy: Callable[[], bool] = lambda: False, most: int = _MOST
) -> Iterator[list[Any]]:
    """Lists of consecutive inputs, at most `most` where there is no size; `size` is the batch size asked for, `eager`
    that all results are wanted at once.

    From an iterator `size` are read at a time, so with 1 a result comes before the next input is read; without a size
    it is read ahead in a thread, and while somebody is `busy` a chunk may be empty, as nothing is waited for. Datasets
    give small chunks first, for an early first result.
    """
    sized = hasattr(inputs, "__len__")
    if size is None and not sized:
        yield from _arriving(iter(inputs), busy, most)
        return
    items = iter(inputs) if hasattr(inputs, "__iter__") else (inputs[i] for i in range(len(inputs)))
    multiple = size or 1
    count = (most if eager else min(most, _FIRST_CHUNK)) if sized else multiple
    while chunk := list(islice(items, max(multiple, count - count % multiple))):
        yield chunk
        if sized:
            count = min(2 * count, most)


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def _arriving(items: Iterator[Any], busy: Callable[[], bool], most: int) -> Iterator[list[Any]]:
    """Lists of what has arrived from `items`, at least one and never waiting for a second, nor when `busy` for a first.

    An iterator may wait for something that depends on the last result (a request to answer), so nobody may wait for
    it while results are due: a thread does, at most one chunk ahead.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=most)
    stopped = threading.Event()

    def read() -> None:
        end = _End()
        try:
            for item in items:
                ready.put(item)
                if stopped.is_set():
                    return
        except BaseException as error:
            end = _End(error)
        ready.put(end)

    threading.Thread(target=contextvars.copy_context().run, args=(read,), daemon=True).start()
    try:
        while True:
            chunk: list[Any] = []
            end: _End | None = None
            while end is None and len(chunk) < most and not ((chunk or busy()) and ready.empty()):
                item = ready.get()
                if isinstance(item, _End):
                    end = item
                else:
                    chunk.append(item)
            if chunk or end is None:
                yield chunk
            if end is not None:
                if end.error is not None:
                    raise end.error
                return
    finally:
        stopped.set()
        while not ready.empty():  # a reader that waits for room wakes up, and sees that it may stop
            ready.get()


def progress(results: Iterator[Any], inputs: Any, task: str, pace: Any = None) -> Iterator[Any]:
    """The same results, with a bar on the terminal when it takes more than two seconds.

    pace: an object that says how fast it goes, as str; where there is one, each input takes its time.
    """
    total = len(inputs) if hasattr(inputs, "__len__") else None
    if (total is not None and total < (_BAR_FROM if pace is None else 2)) or not shows_bars():
        return results
    from tqdm import tqdm

    bar: Any = tqdm(results, desc=task or None, total=total, delay=_BAR_AFTER_S, leave=False)
    return iter(bar) if pace is None else _paced(bar, pace)


def _paced(bar: Any, pace: Any) -> Iterator[Any]:
    for result in bar:
        bar.set_postfix_str(str(pace), refresh=False)
        yield result
