"""The package's logger and its verbosity, with the names that Transformers gives them.

Nothing is configured at import: a program that configures `logging` itself gets our records in its own form; one that
does not sees warnings on standard error, through Python's handler of last resort. Control characters in a message are
written out for either: no file that is read can speak to a terminal.
"""

from __future__ import annotations

import logging as _logging
import sys
from contextlib import suppress
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING

from .errors import visible

__all__ = ["CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "WARN", "WARNING", "logger", "warn_once"]


def _make_visible(record: _logging.LogRecord) -> bool:
    """A filter that passes all records, in words that cannot steer a terminal: they may quote files."""
    with suppress(TypeError, ValueError):  # a message and values that do not fit: the handler says so
        record.msg, record.args = visible(record.getMessage()), None
    return True


logger = _logging.getLogger("formers")
logger.addFilter(_make_visible)
_said: set[str] = set()


def get_logger(name: str | None = None) -> _logging.Logger:
    """The logger called `name`; the package's own when it is None."""
    made = _logging.getLogger(name) if name else logger
    made.addFilter(_make_visible)  # once, however often it is asked for: a filter is not passed on to loggers below
    return made


def warn_once(message: str) -> None:
    """Log a warning, the first time only that this process meets it."""
    if message not in _said:
        _said.add(message)
        logger.warning(message)


def shows_bars() -> bool:
    """Whether standard error is a terminal: progress bars are shown there only."""
    return sys.stderr is not None and sys.stderr.isatty()


def get_verbosity() -> int:
    """The level below which the package's records are dropped, a number of the standard `logging` module."""
    return logger.getEffectiveLevel()


def set_verbosity(level: int) -> None:
    """Drop the package's records below `level`."""
    logger.setLevel(level)


def set_verbosity_debug() -> None:
    """Show everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Show information, warnings and errors."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Show warnings and errors, the default."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Show errors only."""
    set_verbosity(ERROR)
