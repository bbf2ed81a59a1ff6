"""Arguments that several tasks check alike: one of a few words, and how many results."""

from __future__ import annotations

from enum import Enum
from numbers import Integral
from typing import Any, TypeVar

from ..errors import ArgumentError, near

Choice = TypeVar("Choice", bound=Enum)


def member(kind: type[Choice], name: str | Choice, argument: str) -> Choice:
    """The member of an enumeration that `name` names, in any case. Raises ArgumentError naming the argument."""
    try:
        return kind(name if isinstance(name, kind) else str(name).lower())
    except ValueError as error:
        known = [choice.value for choice in kind]
        raise ArgumentError(f"{argument}={name!r} is not known.{near(name, known)} Use {', '.join(known)}.") from error


def checked_top_k(top_k: Any, what: str) -> int | None:
    """`top_k` itself. Raises ArgumentError unless it is None or a number from 0 on; `what` says of what."""
    if top_k is not None and (not isinstance(top_k, Integral) or top_k < 0):
        raise ArgumentError(f"top_k={top_k!r} is not possible: it is a number of {what}.")
    return None if top_k is None else int(top_k)
