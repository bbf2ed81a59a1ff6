"""The `formers` command.

Arguments are parsed before anything heavy is imported: `formers --help` needs no torch. Results are for people on a
terminal; into a file or a pipe, or with --json, each is one line of JSON.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import NoReturn, Protocol

from ..errors import ArgumentError, FormersError, UnknownTaskError, near, visible
from ..version import __version__
from . import bench, chat, check, convert, env, info, run, tokenize, train, visualize


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 failed, 2 wrong usage (130 after Ctrl-C)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    try:
        try:
            return _dispatch(arguments)
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            raise
        except (FormersError, OSError, ImportError) as error:
            return _fail(error, 2 if isinstance(error, (ArgumentError, UnknownTaskError)) else 1)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        _abandon_pipes()
        return 0


def _open_streams() -> None:
    """Let streams that are closed, as by `>&-`, lead to nowhere, so that no file is opened in their place."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character must not end the job
            stream.reconfigure(errors="backslashreplace")


def _abandon_pipes() -> None:
    """The reader has what it wanted; Python's own flush at exit would complain about the closed pipe."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(_usage())
    elif name in ("-V", "--version"):
        print(f"formers {__version__}")
    elif name in _COMMANDS:
        command = _COMMANDS[name]
        parser = _Parser(prog=f"formers {name}", description=command.ABOUT, allow_abbrev=False)
        command.declare(parser)
        return command.run(parser.parse(arguments[1:])) or 0
    else:
        return _fail(f"There is no command {name!r}.{near(name, _COMMANDS)} `formers --help` lists them.", 2)
    return 0


def _usage() -> str:
    commands = "\n".join(f"  {name:<11}{command.ABOUT}" for name, command in _COMMANDS.items())
    return (
        f"usage: formers COMMAND …\n\n{commands}\n\n"
        "`formers COMMAND --help` explains a command, `formers --version` prints the version.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage."
    )


def _fail(error: object, code: int) -> int:
    paragraph = visible(" ".join(str(error).split())) or type(error).__name__
    print(f"formers: {paragraph}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """As `parse_args`, but texts may stand before, between and after options, or all after '--'."""
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        given, rest = self.parse_known_args(self._bare_last(arguments[:cut]))
        for unknown in (argument for argument in rest if argument.startswith("--")):
            options = re.findall(r"--[a-z-]+", self.format_usage())
            self.error(f"there is no option {unknown}.{near(unknown, options)} Texts that begin with '-' go after '--'")
        rest += arguments[cut + 1 :]
        if rest and not hasattr(given, "text"):
            self.error(f"{rest[0]!r} is one argument too many")
        if rest:
            given.text = [*given.text, *rest]
        return given

    def _bare_last(self, arguments: list[str]) -> list[str]:
        """The same, with options that stand without the value they may have at the end: no text can be taken for it.

        Their value is the next word when it is one of their choices; any other word is a text.
        """
        kept: list[str] = []
        bare: list[str] = []
        for argument, word in zip_longest(arguments, arguments[1:], fillvalue=""):
            action = self._option_string_actions.get(argument)
            choices = [] if action is None or action.nargs != argparse.OPTIONAL else list(action.choices or ())
            if any(map(str.isdecimal, word)) and word not in choices and (hint := near(word, choices)):
                self.error(f"{argument} has no value {word!r}.{hint} If it is a text, put it after '--'")
            (bare if choices and word not in choices else kept).append(argument)
        return kept + bare

    def error(self, message: str) -> NoReturn:
        sys.exit(_fail(f"{message}. See `{self.prog} --help`.", 2))


class _Command(Protocol):
    """A module of this package. `run` may give an exit code, 0 or 1; without one it is 0."""

    ABOUT: str

    def declare(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, given: argparse.Namespace) -> int | None: ...


_COMMANDS: dict[str, _Command] = {
    "run": run,
    "chat": chat,
    "info": info,
    "check": check,
    "convert": convert,
    "bench": bench,
    "tokenize": tokenize,
    "train": train,
    "visualize": visualize,
    "env": env,
}
