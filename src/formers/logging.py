"""The package's logger and its verbosity, with the names that Transformers gives them.

Nothing is configured at import, but for TRANSFORMERS_VERBOSITY: a program that configures `logging` itself gets our
records in its own form; one that does not sees warnings on standard error, through Python's handler of last resort. A
handler of our own is added when one of these functions needs it; it is silent while the program has its own. Control
characters in a message are written out for all: no file that is read can speak to a terminal.
"""

from __future__ import annotations

import importlib
import logging as _logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING
from typing import Any

from .errors import ArgumentError, visible

__all__ = ["CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "WARN", "WARNING", "logger", "warn_once"]


def _make_visible(record: _logging.LogRecord) -> bool:
    """A filter that passes all records, in words that cannot steer a terminal: they may quote files."""
    with suppress(TypeError, ValueError):  # a message and values that do not fit: the handler says so
        record.msg, record.args = visible(record.getMessage()), None
    return True


logger = _logging.getLogger("formers")
logger.addFilter(_make_visible)
_said: set[str] = set()
_bars: bool | None = None
log_levels = {
    "detail": DEBUG,  # with file and line
    "debug": DEBUG,
    "info": INFO,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
}


def get_logger(name: str | None = None) -> _logging.Logger:
    """The logger called `name`, the package's own when it is None, with the methods that Transformers' loggers have.

    They are `warning_once`, `info_once` (once a process for the same message) and `warning_advice` (not with
    TRANSFORMERS_NO_ADVISORY_WARNINGS set).
    """
    found: Any = _logging.getLogger(name) if name else logger
    found.addFilter(_make_visible)  # once, however often it is asked for: a filter is not passed on to loggers below
    found.warning_once, found.info_once = partial(_once, found.warning), partial(_once, found.info)
    found.warning_advice = partial(_advise, found)
    return found


def _once(say: Callable[..., None], message: Any, *args: Any, **kwargs: Any) -> None:
    if (key := f"{say}: {message} {args}") not in _said:
        _said.add(key)
        say(message, *args, **{"stacklevel": 3, **kwargs})


def _advise(to: _logging.Logger, message: Any, *args: Any, **kwargs: Any) -> None:
    if not os.environ.get("TRANSFORMERS_NO_ADVISORY_WARNINGS"):
        to.warning(message, *args, **{"stacklevel": 2, **kwargs})


def warn_once(message: str) -> None:
    """Log a warning, the first time only that this process meets it."""
    if message not in _said:
        _said.add(message)
        logger.warning(message)


def shows_bars() -> bool:
    """Whether progress bars are shown: as the program said, else where standard error is a terminal."""
    if _bars is not None:
        return _bars
    return sys.stderr is not None and sys.stderr.isatty()


def get_verbosity() -> int:
    """The level below which the package's records are dropped, a number of the standard `logging` module."""
    return logger.getEffectiveLevel()


def set_verbosity(level: int) -> None:
    """Drop the package's records below `level`."""
    logger.setLevel(level)
    if level < WARNING and not logger.hasHandlers():  # Python's handler of last resort shows warnings only
        _default_handler()


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


# ---- handlers and their form


class _Default(_logging.StreamHandler[Any]):
    """Writes to standard error, whatever it is at the time, unless the program's own handlers get the record too."""

    def __init__(self) -> None:
        _logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr or open(os.devnull, "w", encoding="utf-8")  # a program without a console

    def filter(self, record: _logging.LogRecord) -> Any:
        return not (logger.propagate and _logging.getLogger().handlers) and super().filter(record)


_handler: _logging.Handler | None = None


def _default_handler() -> _logging.Handler:
    global _handler
    if _handler is None:
        _handler = _Default()
        logger.addHandler(_handler)
    return _handler


def enable_default_handler() -> None:
    """Write records to standard error."""
    global _handler
    if isinstance(_handler, _logging.NullHandler):
        logger.removeHandler(_handler)
        _handler = None
    _default_handler()


def disable_default_handler() -> None:
    """Write nothing, but to the handlers that a program adds."""
    global _handler
    if _handler is not None:
        logger.removeHandler(_handler)
    _handler = _logging.NullHandler()
    logger.addHandler(_handler)


def add_handler(handler: _logging.Handler) -> None:
    """Give the package's records to one handler more."""
    _default_handler()
    logger.addHandler(handler)


def remove_handler(handler: _logging.Handler) -> None:
    """Undo `add_handler`. Raises ArgumentError for a handler that was not added."""
    if handler not in logger.handlers:
        raise ArgumentError(f"{handler!r} is none of the package's handlers: {logger.handlers}.")
    logger.removeHandler(handler)


def enable_propagation() -> None:
    """Give records to the program's handlers too, the default."""
    logger.propagate = True


def disable_propagation() -> None:
    """Keep records from the program's handlers."""
    _default_handler()
    logger.propagate = False


def enable_explicit_format() -> None:
    """Write level, file, line and time before each message."""
    _default_handler()
    for handler in logger.handlers:
        handler.setFormatter(_logging.Formatter("[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"))


def reset_format() -> None:
    """Write the message alone again."""
    for handler in logger.handlers:
        handler.setFormatter(None)


def captureWarnings(capture: bool) -> None:
    """Log what `warnings` warns of, under "py.warnings", at the package's level."""
    warned = _logging.getLogger("py.warnings")
    if capture and not warned.handlers:
        warned.addHandler(_default_handler())
    warned.setLevel(get_verbosity())
    _logging.captureWarnings(capture)


def get_log_levels_dict() -> dict[str, int]:
    """The names that TRANSFORMERS_VERBOSITY may have, and their levels."""
    return log_levels


# ---- progress bars


def is_progress_bar_enabled() -> bool:
    """Whether no one has switched progress bars off."""
    return _bars is not False


def enable_progress_bar() -> None:
    """Show progress bars, also where standard error is no terminal."""
    _show_bars(True)


def disable_progress_bar() -> None:
    """Show no progress bars."""
    _show_bars(False)


def _show_bars(shown: bool) -> None:
    global _bars
    _bars = shown
    utils = importlib.import_module("huggingface_hub.utils")  # downloads have bars too
    utils.enable_progress_bars() if shown else utils.disable_progress_bars()


def tqdm(*args: Any, **kwargs: Any) -> Any:
    """A progress bar of `tqdm`, silent after `disable_progress_bar()`."""
    from tqdm.auto import tqdm as bar

    return bar(*args, **{**kwargs, "disable": kwargs.get("disable") or not is_progress_bar_enabled()})


def _configure(verbosity: str) -> None:
    """What TRANSFORMERS_VERBOSITY asks for."""
    if verbosity not in log_levels:
        logger.warning("TRANSFORMERS_VERBOSITY=%s is none of %s.", verbosity, ", ".join(log_levels))
        return
    set_verbosity(log_levels[verbosity])
    if verbosity == "detail":
        form = "%(levelname)s [%(name)s:%(lineno)s] %(asctime)s %(message)s"
        _default_handler().setFormatter(_logging.Formatter(form))


get_logger()
if _verbosity := os.environ.get("TRANSFORMERS_VERBOSITY"):
    _configure(_verbosity)
