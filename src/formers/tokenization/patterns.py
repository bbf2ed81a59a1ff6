r"""Whether what a tokenizer.json does to a text ends soon: its regular expressions, and how much longer it makes texts.

The expressions are Oniguruma's, which tries one way of matching after the other. An expression that fails on n
characters tries about n ways for each repetition without limit before the place where it fails, and 2^n where a
repetition is repeated. So one that could is refused, by its form alone, before it sees a text:

    (a+)+   (a|aa)*   (?:a{1,9})*       what is repeated without limit can itself match in several ways
    a+a+b   [^x]*.*\s*x                two such repetitions in a row, with something after them that may be missing

And where one fails, it is tried from the next character: a single repetition costs n² already, as a+b does, unless
another alternative takes what the first one leaves, as in \s+(?!\S)|\s+. So does a look ahead, (?=a+b). That is
refused in what replaces; of what splits, as published tokenizers do by such ones, only what has no other alternative.

The published tokenizers' expressions have none of these. Source: https://github.com/kkos/oniguruma/blob/master/doc/RE
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

_LONGEST = 10_000  # characters of an expression
_MANY = 100  # a bounded repetition of more counts as one without limit
_MOST_PARTS = 4_000  # steps of a tokenizer, and parts of them
_MOST_ADDED = 1_000  # tokens around a text
_MOST_TEXTS = 16  # places that a text is put in
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
        ahead: the repetitions without limit that are looked at and not taken, as in (?=a+).
        again: whether it looks for what a group has found.
        takes: whether one of several alternatives is a repetition after which nothing may fail.
    """

    several: bool = False
    loose: int = 0
    open: int = 0
    needed: bool = False
    ahead: int = 0
    again: bool = False
    takes: bool = False

    def then(self, other: _Run) -> None:
        if other.needed:
            self.loose += self.open
            self.open = 0
        self.several |= other.several
        self.loose += other.loose
        self.open += other.open
        self.needed |= other.needed
        self.ahead += other.ahead
        self.again |= other.again


def slow(expression: str, replaces: bool = False) -> str | None:
    """Why an expression may take very long on some text; None when it does not.

    `replaces`: whether what it finds is replaced, rather than split off.
    """
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
    if run.again and run.loose + run.open + run.ahead:
        return "it looks for what it found before, beside a repetition"
    if (replaces and run.ahead + run.loose and not run.takes) or (run.loose > run.ahead and "|" not in expression):
        return "it has a repetition that is tried again from each character"
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
        ahead=max(branch.ahead for branch in branches),
        again=any(branch.again for branch in branches),
        takes=len(branches) > 1 and any(branch.open and not branch.loose for branch in branches),
    ), at


def _one(text: str, piece: re.Match[str], at: int) -> tuple[_Run, int]:
    """One character, class, anchor or group, and where it ends."""
    if piece.lastgroup == "class":
        return _Run(needed=True), _end_of_class(text, at)
    if piece.lastgroup == "hidden":
        raise _SlowError(f"it has {text[piece.start() : at + 4]!r}, by which it could hide repetitions")
    if piece.lastgroup != "open" or piece[0].endswith(")"):  # (?i) holds nothing
        again = piece.lastgroup == "again"
        return _Run(several=again, needed=piece.lastgroup != "open", again=again), at
    run, at = _alternatives(text, at)
    if "=" in piece[0] or "!" in piece[0]:  # looks around: it may fail, and nothing in it is tried again afterwards
        run = _Run(run.several, run.loose, 0, True, run.ahead + run.open + run.loose, run.again)
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
    open_ = run.open + (endless and low != high)
    return _Run(run.several or low != high, loose, open_, run.needed and low > 0, run.ahead, run.again)


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
    growth, earlier = 1.0, set[str]()
    found = list(islice((found for one in parts for found in objects(one)), _MOST_PARTS + 1))
    if len(found) > _MOST_PARTS:
        return f"it has more than {_MOST_PARTS:,} steps"
    for part in found:
        pattern = part.get("pattern")
        pattern = pattern if isinstance(pattern, dict) else {}
        expression = pattern.get("Regex")
        if isinstance(expression, str) and (why := slow(expression, replaces="content" in part)):
            return f"the regular expression {expression[:200]!r} could take hours on some texts: {why}"
        old, new = str(pattern.get("String", "")), str(part.get("content", "")) + str(part.get("prepend", ""))
        times = max(1.0, len(new) / max(1, len(old)))
        # what was put in for something else may be replaced again, unless it has none of the characters
        growth = growth * times if not old or set(old) & earlier else max(growth, times)
        if growth > _MOST_GROWTH:
            return f"it makes texts more than {_MOST_GROWTH:,} times as long"
        earlier |= set(new)
    return None


def frames_too_much(post_processor: Any) -> str | None:
    """Why what a post-processor (an object of the file) puts around texts is out of proportion; None otherwise."""
    found = list(islice(objects(post_processor), _MOST_PARTS + 1))
    ids = [len(part["ids"]) for part in found if isinstance(part.get("ids"), list)]
    texts = sum("Sequence" in part for part in found)
    if len(found) > _MOST_PARTS or sum(ids) > _MOST_ADDED or texts > _MOST_TEXTS:
        return f"it puts more than {_MOST_ADDED:,} tokens around a text, or texts in more than {_MOST_TEXTS} places"
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
