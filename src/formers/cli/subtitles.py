"""Subtitles: what was said, and when, as SubRip (srt) or WebVTT (vtt)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

FORMATS = ("text", "json", "srt", "vtt")
_PAUSE, _LETTERS = 0.6, 80  # seconds between words, and letters, after which a cue ends


def written(kind: str, chunks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of a file of subtitles, from {"text", "timestamp": (begin, end)}, as they come."""
    if kind == "vtt":
        yield "WEBVTT"
        yield ""
    number = 0
    for chunk in chunks:
        text = " ".join(str(chunk["text"]).split())
        begin, end = chunk["timestamp"]
        if not text or begin is None:
            continue
        number += 1
        if kind == "srt":
            yield str(number)
        yield f"{clock(begin, kind)} --> {clock(begin if end is None else end, kind)}"
        yield text.replace("-->", "->")
        yield ""


def clock(seconds: float, kind: str) -> str:
    """Hours, minutes, seconds and milliseconds, as a kind of subtitles has them."""
    whole = max(0, round(seconds * 1000))
    minutes, rest = divmod(whole, 60_000)
    text = f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
    return text.replace(".", ",") if kind == "srt" else text


def cues(words: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Words together, up to a pause, or to as much as can be read at once."""
    held: list[Mapping[str, Any]] = []
    for word in words:
        if held:
            pause = word["timestamp"][0] - held[-1]["timestamp"][1]
            letters = sum(len(one["text"]) + 1 for one in (*held, word))
            if pause > _PAUSE or letters > _LETTERS:
                yield _cue(held)
                held = []
        held.append(word)
    if held:
        yield _cue(held)


def _cue(words: list[Mapping[str, Any]]) -> dict[str, Any]:
    text = " ".join(str(one["text"]).strip() for one in words)
    return {"text": text, "timestamp": (words[0]["timestamp"][0], words[-1]["timestamp"][1])}
