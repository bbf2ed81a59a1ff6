"""Every error of the package.

Each class also inherits what Transformers raises in the same place, so `except OSError` or `except ValueError`
clauses written for it keep working. A message says what happened, where, what was expected and what to do next.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

# C0 but for line ends and tabs, DEL, C1, what turns the direction of text, and halves of characters
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text`, which may come from a file, with what could steer a terminal written out, as in "\\x1b]0;title"."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_json(text: str) -> str:
    """The same for JSON, which means afterwards what it meant before."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class FormersError(Exception):
    """Base of all errors that the package raises on purpose. Their text cannot steer a terminal, whatever it quotes."""

    def __str__(self) -> str:  # KeyError, one of the parents below, would print the message quoted
        return visible(str(self.args[0])) if self.args else ""


class NotFoundError(FormersError, OSError):
    """A folder, file or hub name that is not there, or cannot be reached."""


class ConfigError(FormersError, OSError, ValueError):
    """A config.json that cannot be read, or a value in it that cannot be used."""


class CheckpointError(FormersError, OSError, RuntimeError, ValueError):
    """A weight file that is broken, unsafe, or does not fit the model."""


class TokenizerError(FormersError, OSError, ValueError):
    """A tokenizer file that is broken or missing."""


class InputError(FormersError, ValueError, RuntimeError):
    """A value given by the caller that breaks a rule."""


class RangeError(InputError, IndexError):
    """A token id, position or label outside of what the model has."""

    labels: tuple[str, int] | None = None  # the argument, and how many labels there are, where it is about labels


class ArgumentError(FormersError, TypeError, ValueError):
    """An argument of the wrong name or type."""


class NotTensorError(ArgumentError, AttributeError):
    """A list, an array or a whole encoding where a tensor is expected."""


class HeadError(InputError, ArgumentError):
    """A model without the head that a task needs."""


class UnknownTaskError(FormersError, KeyError, ValueError):
    """A pipeline task that does not exist."""


class MissingNameError(FormersError, ModuleNotFoundError):
    """A name or module of Transformers that this package does not have, in an import."""


class MissingAttributeError(FormersError, AttributeError):
    """The same, asked for as an attribute. `explain` makes the message: near names take long to find, `hasattr` does
    not show them."""

    def __init__(self, explain: Callable[[], str]) -> None:
        super().__init__()
        self.explain = explain

    def __str__(self) -> str:
        return self.explain()


def near(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """' Did you mean …?' with the closest of `known`, or '' when none is close; `cutoff` from 0 to 1."""
    close = difflib.get_close_matches(str(name), list(dict.fromkeys(known)), n=3, cutoff=cutoff)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
