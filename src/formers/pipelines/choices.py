"""Arguments that are one of a few words."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from ..errors import ArgumentError, near

Choice = TypeVar("Choice", bound=Enum)


def member(kind: type[Choice], name: str | Choice, argument: str) -> Choice:
    """The member of an enumeration that `name` names, in any case. Raises ArgumentError naming the argument."""
    try:
        return kind(name if isinstance(name, kind) else str(name).lower())
    except ValueError as error:
        known = [choice.value for choice in kind]
        raise ArgumentError(f"{argument}={name!r} is not known.{near(name, known)} Use {', '.join(known)}.") from error
