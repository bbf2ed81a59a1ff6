"""Arguments that several tasks check alike: one of a few words, how many results, labels and their sentence."""

from __future__ import annotations

from collections.abc import Sequence
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


def checked_labels(given: str | Sequence[str]) -> list[str]:
    """Labels to choose from as a list, also those of a string with commas. Raises ArgumentError for what is none."""
    labels = [label.strip() for label in given.split(",") if label.strip()] if isinstance(given, str) else list(given)
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ArgumentError(f"candidate_labels={given!r:.80}: a list of labels is needed, or a string with commas.")
    return labels


def checked_template(template: str) -> str:
    """A sentence with a place for a label. Raises ArgumentError for one without."""
    if template.format("a") == template.format("b"):
        raise ArgumentError(f"hypothesis_template={template!r} has no {{}}, where the label belongs.")
    return template
