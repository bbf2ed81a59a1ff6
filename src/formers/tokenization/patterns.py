"""Whether what a tokenizer.json does to a text ends soon: its regular expressions, and how much longer it makes texts.

The expressions are Oniguruma's, which tries one way of matching after the other. An expression that fails on n
characters tries about n ways for each repetition without limit before the place where it fails, and 2^n where a
repetition is repeated. So one that could is refused, by its form alone, before it sees a text:

    (a+)+   (a|aa)*   (?:a{1,9})*       what is repeated without limit can itself match in several ways
    a+a+b   [^x]*.*\\s*x                two such repetitions in a row, with something after them that may be missing

The published tokenizers' expressions have neither. Source: https://github.com/kkos/oniguruma/blob/master/doc/RE
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LONGEST = 10_000  # characters of an expression
_MANY = 100  # a bounded repetition of more counts as one without limit
_MOST_GROWTH = 10_000  # times that a text may become longer
_PIECE = re.compile(
    r"(?P<open>\((?:\?(?:[ims-]{0,4}[:)]|<?[=!]|>|<\w{1,50}>)|(?!\?)))|(?P<hidden>\(\?|\\g)|(?P<close>\))|(?P<or>\|)|(?P<class>\[)"
    r"|(?P<again>\\[1-9]|\\k<\w{1,50}>)|(?P<atom>\\[pPx]\{\^?\w{1,50}\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\.|.)",
    re.DOTALL,
)
_TIMES = re.compile(r"(?P<sign>[*+?])[?+]?|\{(?P<low>\d{0,6})(?P<range>,(?P<high>\d{0,6}))?\}\??")


@dataclass
class _Run:
    """What is known of a part of an expression.

    Attributes:
        several: whether it can match one text in several ways.
        loose: how many repetitions without limit it has, one after the other, whose way may have to be tried again.
        open: those that nothing after them has made to be tried again yet.
        needed: whether it may fail to match.
    """

    several: bool = False
    loose: int = 0
    open: int = 0
    needed: bool = False

    def then(self, other: _Run) -> None:
        if other.needed:
            self.loose += self.open
            self.open = 0
        self.several |= other.several
        self.loose += other.loose
        self.open += other.open
        self.needed |= other.needed


def slow(expression: str) -> str | None:
    """Why an expression may take very long on some text; None when it does not."""
    if len(expression) > _LONGEST:
        return f"it has {len(expression):,} characters"
    try:
        run, end = _alternatives(expression, 0)
    except RecursionError:
        return "it is nested too deeply"
    except _SlowError as reason:
        return str(reason)
    if end < len(expression):
        return "it has a bracket too many"
    return None if run.loose < 2 else "it has several repetitions in a row that all have to be tried"


class _SlowError(Exception):
    pass


def _alternatives(text: str, at: int) -> tuple[_Run, int]:
    """The group, or whole expression, that begins at `at`, and where its closing bracket is."""
    branches = [_Run()]
    while at < len(text):
        piece = _PIECE.match(text, at)
        kind = piece.lastgroup if piece else None
        if piece is None or kind == "close":
            break
        at = piece.end()
        if kind == "or":
            branches.append(_Run())
            continue
        one, at = _one(text, piece, at)
        while times := _TIMES.match(text, at):
            one, at = _repeated(one, times), times.end()
        branches[-1].then(one)
    return _Run(
        several=len(branches) > 1 or branches[0].several,
        loose=max(branch.loose for branch in branches),
        open=max(branch.open for branch in branches),
        needed=all(branch.needed for branch in branches),
    ), at


def _one(text: str, piece: re.Match[str], at: int) -> tuple[_Run, int]:
    """One character, class, anchor or group, and where it ends."""
    if piece.lastgroup == "class":
        return _Run(needed=True), _end_of_class(text, at)
    if piece.lastgroup == "hidden":
        raise _SlowError(f"it has {text[piece.start() : at + 4]!r}, by which it could hide repetitions")
    if piece.lastgroup != "open" or piece[0].endswith(")"):  # (?i) holds nothing
        return _Run(several=piece.lastgroup == "again", needed=piece.lastgroup != "open"), at
    run, at = _alternatives(text, at)
    if "=" in piece[0] or "!" in piece[0]:  # looks around: it may fail, and nothing in it is tried again afterwards
        run = _Run(run.several, run.loose, 0, True)
    return run, at + 1


def _repeated(run: _Run, times: re.Match[str]) -> _Run:
    low = int(times["low"] or 0) if times["low"] is not None else int(times["sign"] == "+")
    high = _MANY + 1 if times["sign"] else low
    if times["sign"] == "?":
        high = 1
    elif times["range"]:
        high = int(times["high"]) if times["high"] else _MANY + 1
    endless = high > _MANY
    if endless and run.several:
        raise _SlowError("it repeats what can itself match in several ways")
    loose = run.loose + run.open * (high > 1)
    return _Run(run.several or low != high, loose, run.open + (endless and low != high), run.needed and low > 0)


def _end_of_class(text: str, at: int) -> int:
    """Where the class ends whose '[' is before `at`; classes may hold classes."""
    depth = 1
    at += text.startswith("^", at)
    at += text.startswith("]", at)
    while depth and at < len(text):
        if text[at] == "\\":
            at += 1
        elif text.startswith("[:", at) and (named := re.compile(r"\[:\^?\w{1,20}:\]").match(text, at)):
            at = named.end() - 1
        elif text[at] in "[]":
            depth += 1 if text[at] == "[" else -1
        at += 1
    return at


def harmful(parts: list[Any]) -> str | None:
    """Why the parts of a tokenizer (objects of its file) may take all time or memory with a text; None otherwise."""
    growth, earlier = 1.0, ""
    for part in (found for one in parts for found in objects(one)):
        pattern = part.get("pattern")
        pattern = pattern if isinstance(pattern, dict) else {}
        expression = pattern.get("Regex")
        if isinstance(expression, str) and (why := slow(expression)):
            return f"the regular expression {expression[:200]!r} could take hours on some texts: {why}"
        old, new = str(pattern.get("String", "")), str(part.get("content", "")) + str(part.get("prepend", ""))
        times = max(1.0, len(new) / max(1, len(old)))
        # what was put in for something else may be replaced again, unless it has none of the characters
        growth = growth * times if not old or set(old) & set(earlier) else max(growth, times)
        if growth > _MOST_GROWTH:
            return f"it makes texts more than {_MOST_GROWTH:,} times as long"
        earlier += new
    return None


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a value from a JSON file, itself included."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


def parts(*of: Any) -> list[Any]:
    """What the file says of a `Tokenizer`'s parts; those that are None are left out."""
    return [json.loads(part.__getstate__()) for part in of if part is not None]
