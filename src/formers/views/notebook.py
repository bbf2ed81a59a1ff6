"""Results of pipelines in notebooks: they stay plain lists and dictionaries, so IPython is told how these look.

Lists and dictionaries that are no results look as before.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from .encoding import row_html
from .results import result_html

T = TypeVar("T")
_MOST = 500

# results say where in a text something is, but not in which: those of a notebook's last texts are kept here
_texts: deque[tuple[Any, str]] = deque(maxlen=_MOST)
_registered = False


def load_ipython_extension(shell: Any) -> None:
    """Show results of pipelines as HTML in this shell: `%load_ext formers`."""
    global _registered
    formatter = shell.display_formatter.formatters["text/html"]
    for kind in (list, dict):
        before = formatter.type_printers.get(kind)
        if not isinstance(before, _Formatter):
            formatter.for_type(kind, _Formatter(kind, before))
    formatter.for_type_by_name("tokenizers", "Encoding", row_html)
    _registered = True


def register_where_running() -> None:
    """The same, if this is a notebook; IPython is not imported for that."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = ask() if ask is not None else None
    if getattr(shell, "display_formatter", None) is not None:
        load_ipython_extension(shell)


def remember(result: T, text: str) -> T:
    """Note in a notebook which text a result is about; returns the result."""
    if _registered:
        _texts.append((result, text))
    return result


def text_of(result: Any) -> str | None:
    """The text that a result is about, if it is remembered; known by identity, since equal ones may have others."""
    return next((text for known, text in reversed(list(_texts)) if known is result), None)


class _Formatter:
    """What IPython asks for the HTML of a list or a dictionary; `before` is who was asked until now."""

    def __init__(self, kind: type, before: Callable[[Any], str | None] | None) -> None:
        self.kind, self.before = kind, before

    def __call__(self, value: Any) -> str | None:
        if type(value) is self.kind and (found := result_html(value, text_of)) is not None:
            return found
        if self.before is not None:
            return self.before(value)
        # a formatter for a type hides the method that classes made from that type may have
        own = getattr(type(value), "_repr_html_", None)
        return None if own is None else own(value)
