"""Texts read as they grow: printed, or iterated over in another thread or task.

`generate` calls `put` with the prompt's ids, then with each new token's, then `end`; or `fail` with what went wrong. A
character whose bytes are not all there yet is held back, nothing else: the pieces add up to the decoded text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from queue import Queue
from typing import Any

from ..errors import InputError

_LOST = "\ufffd"  # what decoders write for bytes that are no character, or not yet one
_MAY_TIGHTEN = re.compile(r" ('|'[vr]|n'?)?$")  # ends that the next token may change, where spaces are cleaned up
_CONTEXT, _MOST = 16, 128  # ids decoded again with the next one; ids after which earlier ones are dropped


class BaseStreamer:
    """What `generate` tells of its progress."""

    def put(self, value: Any) -> None:
        """Take the prompt's ids, (1, T) or (T,), or those of new tokens, (1,)."""
        raise NotImplementedError(f"{type(self).__name__} has no put(ids), which takes the new tokens.")

    def end(self) -> None:
        """Take note that the text is done."""
        raise NotImplementedError(f"{type(self).__name__} has no end(), which is called when the text is done.")

    def fail(self, error: BaseException) -> None:
        """Take note that no more will come. Who waits for it elsewhere has to be told; `generate` raises it anyway."""


class TextStreamer(BaseStreamer):
    """Prints a text as it grows. `decode_kwargs` go to `tokenizer.decode`; `skip_prompt` leaves the prompt out."""

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer, self.skip_prompt, self.decode_kwargs = tokenizer, skip_prompt, decode_kwargs
        cleans = getattr(tokenizer, "clean_up_tokenization_spaces", False)
        self._cleans = bool(decode_kwargs.get("clean_up_tokenization_spaces", cleans))
        self._restart()

    def _restart(self) -> None:
        self.token_cache: list[int] = []
        self.print_len = 0  # characters of the cache's text that are out
        self.next_tokens_are_prompt = True

    def put(self, value: Any) -> None:
        """Hand on the text of some ids, so far as it is settled. Errors: InputError for more than one text."""
        ids = value.tolist() if hasattr(value, "tolist") else value
        ids = [ids] if isinstance(ids, int) else ids
        if ids and isinstance(ids[0], list):
            if len(ids) > 1:
                raise InputError(f"A streamer reads one text, and got {len(ids)}. Generate one at a time for it.")
            ids = ids[0]
        is_prompt, self.next_tokens_are_prompt = self.next_tokens_are_prompt, False
        if is_prompt and self.skip_prompt:
            return
        self.token_cache.extend(ids)
        text = self._decoded()
        settled = len(text.rstrip(_LOST))
        if self._cleans and (open_end := _MAY_TIGHTEN.search(text[:settled])):
            settled = open_end.start()
        self._hand_on(text, settled)
        if len(self.token_cache) > _MOST and settled == len(text):
            self._forget()

    def _decoded(self) -> str:
        return str(self.tokenizer.decode(self.token_cache, **self.decode_kwargs))

    def _hand_on(self, text: str, until: int) -> None:
        if until > self.print_len:
            piece, self.print_len = text[self.print_len : until], until
            self.on_finalized_text(piece)

    def _forget(self) -> None:
        """Keep the last ids only, so that a long text does not cost its square."""
        whole, self.token_cache = self.token_cache, self.token_cache[-_CONTEXT:]
        text = self._decoded()
        if _LOST in text:  # cut inside a character
            self.token_cache = whole
        else:
            self.print_len = len(text)

    def end(self) -> None:
        """Hand on what is left, and be ready for another text."""
        rest = self._decoded()[self.print_len :] if self.token_cache else ""
        self._restart()
        self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print a piece. Classes that do something else with it override this."""
        print(text, flush=True, end=None if stream_end else "")


class TextIteratorStreamer(TextStreamer):
    """Gives the pieces to a loop in another thread: `for piece in streamer`.

    timeout: seconds that the loop waits for a piece before `queue.Empty` is raised; None for ever. What went wrong in
    the writing thread is raised in the loop.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: Queue[Any] = Queue()
        self.stop_signal = None
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Put a piece into the queue."""
        if text:
            self.text_queue.put(text)
        if stream_end:
            self.text_queue.put(self.stop_signal)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the loop that reads, after the pieces that are there."""
        self._restart()
        self.text_queue.put(error)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        value = self.text_queue.get(timeout=self.timeout)
        if isinstance(value, BaseException):
            raise value
        if value is self.stop_signal:
            raise StopIteration
        return str(value)


class AsyncTextIteratorStreamer(TextStreamer):
    """Gives the pieces to a task: `async for piece in streamer`, while another thread writes.

    Made in the event loop of that task; timeout as in TextIteratorStreamer, but with TimeoutError.
    Errors: InputError outside of an event loop.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError as e:
            raise InputError(
                "AsyncTextIteratorStreamer is made inside of a running event loop, in an `async def`. "
                "For threads, there is TextIteratorStreamer."
            ) from e
        self.text_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.stop_signal = None
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Put a piece into the queue, from any thread."""
        if text:
            self._tell(text)
        if stream_end:
            self._tell(self.stop_signal)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the task that reads, after the pieces that are there."""
        self._restart()
        self._tell(error)

    def _tell(self, value: Any) -> None:
        self.loop.call_soon_threadsafe(self.text_queue.put_nowait, value)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        value = await asyncio.wait_for(self.text_queue.get(), self.timeout)
        if isinstance(value, BaseException):
            raise value
        if value is self.stop_signal:
            raise StopAsyncIteration
        return str(value)
