"""Texts from the command line or from standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

from ..errors import ArgumentError, InputError


def declare_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="texts; '-' or none: one text per line from standard input"
    )


def texts_given(given: argparse.Namespace) -> Iterable[str]:
    """The texts of the command line, or the lines of standard input as they come."""
    if given.text and given.text != ["-"]:
        return list(given.text)
    if sys.stdin is None:
        raise ArgumentError("No text was given, and standard input is closed. Add a text in quotes, or pipe lines in.")
    if not given.text and sys.stdin.isatty():
        raise ArgumentError("No text was given. Add one in quotes, pipe lines in, or type lines after giving '-'.")
    return _lines()


def _lines() -> Iterator[str]:
    # not sys.stdin: a thread of the pipeline reads here, and Python aborts when one waits inside sys.stdin at exit
    with open(0, "rb", closefd=False) as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"Line {number} of standard input is no UTF-8: its byte {error.start} is 0x{line[error.start]:02x}."
                    " Convert the text first, for example with `iconv -f latin1 -t utf-8`."
                ) from error
            yield text.rstrip("\r\n")
