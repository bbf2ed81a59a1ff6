"""Inputs that cannot be used: named by their place among the inputs, and raised or handed out instead of a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import ArgumentError, FormersError, InputError

# an error that names more inputs than this would be longer than anybody reads
_NAMED = 20


class OnError(str, Enum):
    """What happens to an input that cannot be used: its error is raised, or stands in the place of its result."""

    RAISE = "raise"
    RETURN = "return"


@dataclass(frozen=True)
class Failed:
    """What stands for an input that could not be used, until its result is due; `name` is what messages call it."""

    error: Exception
    name: str

    def result(self) -> FormersError:
        """The error as a result: its message names the input, and it keeps nothing of the work in memory."""
        error: Exception = self.error
        if not isinstance(error, FormersError) or self.name not in str(error):
            error = InputError(f"{self.name}: {type(self.error).__name__}: {self.error}")
            error.__cause__ = self.error
        seen: BaseException | None = error
        while seen is not None:
            seen.__traceback__ = None  # its frames hold all inputs that were read along with this one
            seen = seen.__cause__ or seen.__context__
        return error


def place(first: int | None, index: int) -> str:
    """How messages call the input at `index` of a chunk whose first is number `first`, or the only input."""
    return "The input" if first is None else f"inputs[{first + index}]"


def add_note(error: Exception, first: int | None, indices: list[int]) -> None:
    """Say in a note of the error which inputs of a chunk it is about; nothing is said of the only input."""
    if first is not None and hasattr(error, "add_note"):  # not before Python 3.11
        names = ", ".join(place(first, index) for index in indices[:_NAMED])
        more = f" and {len(indices) - _NAMED} more" if len(indices) > _NAMED else ""
        error.add_note(
            f"The input in question is {names}{more}." if len(indices) == 1 else f"The batch held {names}{more}."
        )


def each(encode: Callable[[list[Any], int | None], list[Any]], chunk: list[Any], first: int | None) -> list[Any]:
    """What `encode` makes of each input of a chunk, with Failed in the places of those that cannot be used.

    An error costs that the two halves of its chunk are encoded again. ArgumentError is of no single input, and raised.
    """
    try:
        return encode(chunk, first)
    except ArgumentError:
        raise
    except Exception as error:
        if len(chunk) == 1:
            return [Failed(error, place(first, 0))]
    half = len(chunk) // 2
    after = None if first is None else first + half
    return each(encode, chunk[:half], first) + each(encode, chunk[half:], after)


def settled(results: Iterator[Any], on_error: OnError) -> Iterator[Any]:
    """The results; of an input that failed the error, which is raised when its result is due, or handed out."""
    for result in results:
        if not isinstance(result, Failed):
            yield result
        elif on_error is OnError.RAISE:
            raise result.error
        else:
            yield result.result()
