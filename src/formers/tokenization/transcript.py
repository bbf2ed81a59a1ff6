"""From the tokens that a model wrote for pieces of a sound to one text, with times where they are asked for.

Pieces overlap, by their strides, and what they say twice is found by the longest run of tokens that two have in common:

    piece 0   ├────────────── says ──────────────┤
    piece 1               ├────────────── says ──────────────┤
              left of the overlap's middle: the first's; right of it: the second's

Tokens of times, `<|1.08|>`, count from the beginning of the 30 seconds that the model heard; where a model went on to
the next 30 seconds, they begin anew (`Clock`). Whisper: Radford et al. 2022 (arXiv 2212.04356).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InputError
from ..logging import logger
from .spoken import LANGUAGES, language_code

Span = tuple[float, float]
_BEFORE, _AFTER = (
    "\"'“¡¿([{-",
    "\"'.。,，!！?？:：”)]}、",
)  # punctuation that belongs to the word after it, and before it
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_NO_SPACES = {"zh", "ja", "th", "lo", "my", "yue"}  # languages written without spaces between words


class Clock:
    """Seconds from the beginning of a sound, from tokens that count from the beginning of each segment.

    segment: of a segment that was heard whole, its length.
    """

    def __init__(self, segment: float) -> None:
        self.segment = segment
        self.before = self.now = self.last = 0.0  # segments' length before this one; its latest time, and that before

    def tick(self, time: float, stamps: Sequence[bool], at: int) -> bool:
        """Hear a time. stamps: of every token whether it is one; at: which this is.

        Returns:
            whether a new segment begins where the last one had been left off, which its latest time says.
        """
        repeated = False
        if time < self.now:
            if at >= 2 and not (stamps[at - 1] and stamps[at - 2]):
                self.before += self.segment
            else:
                self.now = self.last
                self.before += self.last
                repeated = True
        self.last, self.now = self.now, time
        return repeated


# ---- merging


def merged(rows: Sequence[Sequence[int]], times: Sequence[Sequence[Span]] = ()) -> tuple[list[int], list[Span]]:
    """One sequence of some that overlap, each with the one before; and its tokens' times, where they are given.

    Tokens agree where they are equal and, with times, where the first is not later than the second.
    """
    left, spans = list(rows[0]), list(times[0]) if times else []
    whole: list[int] = []
    all_spans: list[Span] = []
    for at, right in enumerate(rows[1:], start=1):
        middle, other = _meeting(left, right, spans, times[at] if times else ())
        whole += left[:middle]
        all_spans += spans[:middle]
        left, spans = list(right[other:]), list(times[at][other:]) if times else []
    return whole + left, all_spans + spans


def _meeting(
    left: Sequence[int], right: Sequence[int], first: Sequence[Span], second: Sequence[Span]
) -> tuple[int, int]:
    """Where to go over from the left to the right: the middle of what they share, in each.

    The right is shifted along the left, and the shift is taken where most tokens agree, for its length.
    """
    one, two = np.array(left), np.array(right)
    early, late = np.array(first).reshape(-1, 2), np.array(second).reshape(-1, 2)
    n, m = len(left), len(right)
    best, where = 0.0, (n, n, 0, 0)
    for shift in range(1, n + m):
        a, b = (max(0, n - shift), min(n, n + m - shift)), (max(0, shift - n), min(m, shift))
        same = one[slice(*a)] == two[slice(*b)]
        if len(first) and len(second):
            s, t = early[slice(*a)], late[slice(*b)]
            same &= (s[:, 0] < t[:, 0]) | ((s[:, 0] == t[:, 0]) & (s[:, 1] <= t[:, 1]))
        agreeing = int(same.sum())
        score = agreeing / shift + shift / 10000.0  # of runs alike the longest
        if agreeing > 1 and score > best:
            best, where = score, (*a, *b)
    return (where[0] + where[1]) // 2, (where[2] + where[3]) // 2


# ---- words

Word = tuple[str, list[int]]  # its text, and the places of its tokens


def words_of(tokenizer: Any, tokens: Sequence[int], language: str | None = None) -> list[Word]:
    """Tokens as words: their texts, each with the places of its tokens. language: decides whether spaces part words."""
    language = language or tokenizer.language or "english"
    words = _characters(tokenizer, tokens)
    if language_code(language) not in _NO_SPACES:
        words = _by_spaces(words, tokens, tokenizer.eos_token_id)
    return [word for word in _with_punctuation(words) if word[0]]


def _characters(tokenizer: Any, tokens: Sequence[int]) -> list[Word]:
    """The fewest tokens each that make whole characters."""
    whole = tokenizer.decode(list(tokens), decode_with_timestamps=True)
    words: list[Word] = []
    start = length = 0
    for end in range(1, len(tokens) + 1):
        text = tokenizer.decode(list(tokens[start:end]), decode_with_timestamps=True)
        broken = text.find("�")
        if broken < 0 or length + broken >= len(whole) or whole[length + broken] == "�":
            words.append((text, list(range(start, end))))
            start, length = end, length + len(text)
    return words


def _by_spaces(parts: Iterable[Word], tokens: Sequence[int], end: int) -> list[Word]:
    words: list[Word] = []
    for text, places in parts:
        apart = tokens[places[0]] >= end or text.startswith(" ") or text.strip() in _PUNCTUATION
        if apart or not words:
            words.append((text, places))
        else:
            words[-1] = words[-1][0] + text, words[-1][1] + places
    return words


def _with_punctuation(words: Sequence[Word]) -> list[Word]:
    """Punctuation at the word that it belongs to."""
    opened: list[Word] = []
    for text, places in reversed(words):
        if opened and text.startswith(" ") and text.strip() in _BEFORE:
            opened[-1] = text + opened[-1][0], places + opened[-1][1]
        else:
            opened.append((text, places))
    closed: list[Word] = []
    for text, places in reversed(opened):
        if closed and not closed[-1][0].endswith(" ") and text in _AFTER:
            closed[-1] = closed[-1][0] + text, closed[-1][1] + places
        else:
            closed.append((text, places))
    return closed


# ---- the whole


def transcript(
    tokenizer: Any,
    outputs: Iterable[Mapping[str, Any]],
    *,
    return_timestamps: bool | str | None = None,
    return_language: bool | None = None,
    time_precision: float = 0.02,
    segment_size: int = 1500,
) -> tuple[str, dict[str, Any]]:
    """The text of a sound that a model heard in pieces.

    Args:
        tokenizer: a WhisperTokenizer.
        outputs: of each piece {"tokens": (1, T) ids, "stride": (length, left, right) in seconds where pieces overlap,
            "token_timestamps": (1, T) seconds, which word times need}.
        return_timestamps: True for the times of what stands between two tokens of time, "word" for those of words.
        return_language: whether chunks say their language.
        time_precision: seconds from a token of time to the next.
        segment_size: steps of time in what the model hears at once.

    Returns:
        the text, and {} or {"chunks": [{"text": …, "timestamp": (from, to), "language": …}, …]}. The end of the last
        chunk is None where the model wrote none.

    Errors: InputError for word times without "token_timestamps".
    """
    made = _Transcript(tokenizer, return_timestamps, bool(return_language), time_precision, segment_size)
    for output in outputs:
        made.hear(output)
    return made.finish()


class _Transcript:
    def __init__(
        self, tokenizer: Any, times: bool | str | None, languages: bool, precision: float, segment_size: int
    ) -> None:
        self.tokenizer, self.times, self.languages = tokenizer, times, languages
        self.precision, self.segment = precision, precision * segment_size
        self.special = set(tokenizer.all_special_ids)
        self.offset = 0.0  # seconds at which the piece begins
        self.language: str | None = None
        self.chunks: list[dict[str, Any]] = []
        self.skip = False
        self.chunk = self.fresh()

    def fresh(self) -> dict[str, Any]:
        """A new chunk, and nothing heard for it yet."""
        self.rows: list[list[int]] = []  # of each piece, its tokens
        self.spans: list[list[Span]] = []
        self.row: list[int] = []
        self.row_spans: list[Span] = []
        return {"language": self.language, "timestamp": [None, None], "text": ""}

    def hear(self, output: Mapping[str, Any]) -> None:
        """Read what a model wrote for one piece."""
        written = _row(output["tokens"])
        tokens = self.tokenizer.without_prompt(written)
        heard = self._token_times(output, len(written))[len(written) - len(tokens) :] if self.times == "word" else []
        begin = self.tokenizer.timestamp_begin
        stamps = [self.tokenizer.is_timestamp(token) for token in tokens]
        length, left, right = output.get("stride") or (0, 0, 0)
        self.offset -= left
        first = left / self.precision + begin if left else begin
        last = self._last_time(tokens, stamps, length - right) if right else None
        clock = Clock(self.segment)
        self.row, self.row_spans = [], []
        for at, token in enumerate(tokens):
            if stamps[at]:
                clock.tick((token - begin) * self.precision, stamps, at)
                time = round((token - begin) * self.precision + self.offset + clock.before, 2)
                self.stamp(time, late=last is not None and token >= last, early=token < first)
            elif token in self.special or self.tokenizer.is_mark(token):
                self.mark(token)
            else:
                self.row.append(token)
                if heard:
                    start = heard[at - 1] + self.offset if at else 0.0 + self.offset
                    self.row_spans.append((round(start, 2), round(heard[at] + self.offset, 2)))
        self.offset += length - right
        if self.row:
            self.rows.append(self.row)
            self.spans.append(self.row_spans)
        elif not any(self.rows):
            self.chunk = self.fresh()

    def _token_times(self, output: Mapping[str, Any], count: int) -> list[float]:
        if output.get("token_timestamps") is None:
            raise InputError(
                'return_timestamps="word" needs the times of tokens: generate(…, return_token_timestamps=True) gives '
                "them as token_timestamps."
            )
        times = _row(output["token_timestamps"])
        if len(times) < count:
            raise InputError(f"There are {count} tokens, and token_timestamps has {len(times)} times: one for each.")
        return times

    def _last_time(self, tokens: list[int], stamps: list[bool], right: float) -> int | None:
        """Of the tokens of time that lie in the right stride, which begins at `right` seconds, the first; at least the
        piece's last one. It and those after it are left to the next piece."""
        last = None
        for token, stamp in zip(reversed(tokens), reversed(stamps), strict=True):
            if stamp:
                if last is not None and (token - self.tokenizer.timestamp_begin) * self.precision < right:
                    break
                last = token
        return last

    def mark(self, token: int) -> None:
        """A special token: of a language, or one that says nothing here."""
        language = LANGUAGES.get(self.tokenizer.convert_ids_to_tokens(token)[2:-2])
        if language is None:
            return
        if self.language and language != self.language and not self.times:
            self.rows.append(self.row)
            self.end()
        self.chunk["language"] = self.language = language

    def stamp(self, time: float, late: bool, early: bool) -> None:
        """A token of time. late, early: whether it lies in a stride."""
        if late:
            self.skip = True  # with the one after it, which would begin the next chunk
        elif self.skip or (self.rows and early):
            self.skip = False
        elif self.chunk["timestamp"][0] is None:
            self.chunk["timestamp"][0] = time
        elif time != self.chunk["timestamp"][0]:  # else it begins the chunk twice
            self.chunk["timestamp"][1] = time
            self.rows.append(self.row)
            self.spans.append(self.row_spans)
            self.end()

    def end(self) -> None:
        """The chunk is whole."""
        tokens, spans = merged(self.rows, self.spans if self.times == "word" else ())
        self.chunk["text"] = self.tokenizer.decode(tokens)
        if self.times == "word":
            named = {"language": self.language} if self.languages else {}
            self.chunk["words"] = [
                {"text": text, "timestamp": (spans[places[0]][0], spans[places[-1]][1]), **named}
                for text, places in words_of(self.tokenizer, tokens, self.language)
            ]
        self.chunks.append(self.chunk)
        self.chunk = self.fresh()

    def finish(self) -> tuple[str, dict[str, Any]]:
        """The text, and what was asked for beside it."""
        if self.rows:
            if self.times:
                logger.warning(
                    "The model wrote no time at which its last words end; a sound that ends within a word gives that, "
                    "and generation that does not force times."
                )
            self.end()
        text = "".join(chunk["text"] for chunk in self.chunks)
        if self.times == "word":
            return text, {"chunks": [word for chunk in self.chunks for word in chunk["words"]]}
        if not (self.times or self.languages):
            return text, {}
        for chunk in self.chunks:
            chunk["timestamp"] = tuple(chunk["timestamp"])
            for name, wanted in (("timestamp", self.times), ("language", self.languages)):
                if not wanted:
                    del chunk[name]
        return text, {"chunks": self.chunks}


def _row(value: Any) -> list[Any]:
    """The one row of a tensor, an array or a list of lists."""
    value = value.tolist() if hasattr(value, "tolist") else value
    rows = [one.tolist() if hasattr(one, "tolist") else one for one in value]
    return list(rows[0])


def segments(
    ids: Sequence[int], stamps: Sequence[bool], begin: int, segment_size: int
) -> list[tuple[int, int, tuple[int, int, int]]]:
    """What stands between two tokens of time: where it begins and ends in `ids`, both times, and steps before them.

    Nothing of ids with one token of time or none.
    """
    places = [at for at, stamp in enumerate(stamps) if stamp]
    ends = [b for a, b in pairwise(places) if b == a + 1]
    if not ends and len(places) <= 1:
        return []
    found = []
    start, before, latest = places[0], 0, 0
    for end in [*ends, places[-1] + 1]:
        if end - start > 1:
            first, last = ids[start] - begin, ids[end - 1] - begin
            if first < latest:  # the next segment
                alone = start >= 2 and not (stamps[start - 2] and stamps[start - 1])
                before += segment_size if alone else latest
            latest = last
            found.append((start, end, (first, last, before)))
        start = end
    return found
