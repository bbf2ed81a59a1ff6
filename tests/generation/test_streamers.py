"""Texts read as they grow: what is held back, what comes in the end, and errors of the thread that writes."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizers import KINDS, tokenizer

import formers
from formers.errors import InputError


class Kept(formers.TextStreamer):
    """Keeps the pieces."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pieces: list[str] = []

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.pieces.append(text)


def streamed(kind: str, ids: list[int], **kwargs: Any) -> list[str]:
    """The pieces after each token, and the rest."""
    streamer = Kept(tokenizer(kind, **kwargs))
    for number in ids:
        streamer.put(torch.tensor([number]))
    streamer.end()
    return streamer.pieces


def test_nothing_but_incomplete_characters_is_held_back() -> None:
    ids = tokenizer("bytes")("the stop né你", add_special_tokens=False).input_ids
    pieces = streamed("bytes", ids, clean_up_tokenization_spaces=False)
    assert pieces == ["the", " stop", " ", "n", "é", "你", ""]
    assert streamed("words", [1, 2, 3], clean_up_tokenization_spaces=False) == ["the", " st", "op", ""]
    han = list("你好".encode())
    assert streamed("fallback", [*han, han[0]], clean_up_tokenization_spaces=False)[:2] == ["你", "好"]


@given(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 300), max_size=40), st.booleans())
def test_pieces_add_up(kind: str, ids: list[int], cleans: bool) -> None:
    ids = [i % len(KINDS[kind]().get_vocab()) for i in ids]
    whole = tokenizer(kind, clean_up_tokenization_spaces=cleans).decode(ids)
    pieces = streamed(kind, ids, clean_up_tokenization_spaces=cleans)
    if kind == "fallback" and "\ufffd" in whole:  # one wrong byte makes lost bytes of good ones before it
        return
    assert "".join(pieces) == whole


def test_what_is_no_character_comes_too() -> None:
    assert "".join(streamed("bytes", [200, 200, 65])) == tokenizer("bytes").decode([200, 200, 65])


def test_long_texts_do_not_cost_their_square() -> None:
    ids = tokenizer("bytes")("né你 the stop! " * 200, add_special_tokens=False).input_ids
    streamer = Kept(tokenizer("bytes"))
    for number in ids:
        streamer.put(torch.tensor([number]))
        assert len(streamer.token_cache) < 200
    streamer.end()
    assert "".join(streamer.pieces) == tokenizer("bytes").decode(ids)


def test_printed_beside_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    for skip in (False, True):
        printed = []
        for module in (formers, transformers):
            streamer = module.TextStreamer(
                tokenizer("words", module.PreTrainedTokenizerFast, clean_up_tokenization_spaces=True),
                skip_prompt=skip,
                skip_special_tokens=True,
            )
            for _ in range(2):  # it can be used again
                streamer.put(torch.tensor([[1, 2, 3]]))
                for number in (4, 1, 9, 2):
                    streamer.put(torch.tensor([number]))
                streamer.end()
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1]


def test_one_text_only() -> None:
    with pytest.raises(InputError, match="one text, and got 2"):
        formers.TextStreamer(tokenizer("bytes")).put(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(NotImplementedError, match="put"):
        formers.BaseStreamer().put(None)
    formers.BaseStreamer().fail(ValueError())


def write(streamer: Any, error: Exception | None = None) -> threading.Thread:
    """Write "the stop" from another thread, and end or fail."""

    def run() -> None:
        streamer.put(torch.tensor([[0, 1]]))
        for number in tokenizer("bytes")("the stop", add_special_tokens=False).input_ids:
            streamer.put(torch.tensor([number]))
        streamer.end() if error is None else streamer.fail(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_pieces_in_a_loop() -> None:
    streamer = formers.TextIteratorStreamer(tokenizer("bytes"), skip_prompt=True, timeout=5.0)
    for _ in range(2):
        thread = write(streamer)
        assert list(streamer) == ["the", " stop"]
        thread.join()
    thread = write(streamer, MemoryError("full"))
    got = []
    with pytest.raises(MemoryError, match="full"):
        got.extend(streamer)
    thread.join()
    assert next(iter([*got, "the"])) == "the"
    with pytest.raises(queue.Empty):
        next(formers.TextIteratorStreamer(tokenizer("bytes"), timeout=0.01))


def test_pieces_in_a_task() -> None:
    async def read(error: Exception | None) -> list[str]:
        streamer = formers.AsyncTextIteratorStreamer(tokenizer("bytes"), skip_prompt=True, timeout=5.0)
        thread = write(streamer, error)
        pieces = [piece async for piece in streamer]
        thread.join()
        return pieces

    async def wait() -> None:
        await formers.AsyncTextIteratorStreamer(tokenizer("bytes"), timeout=0.01).__anext__()

    assert asyncio.run(read(None)) == ["the", " stop"]
    with pytest.raises(MemoryError, match="full"):
        asyncio.run(read(MemoryError("full")))
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(wait())
    with pytest.raises(InputError, match="event loop"):
        formers.AsyncTextIteratorStreamer(tokenizer("bytes"))
