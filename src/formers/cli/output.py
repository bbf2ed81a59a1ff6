"""Results: for people on a terminal; into a file or a pipe, or with --json, a line of JSON each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import visible, visible_json


def declare_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one line of JSON per result, also on a terminal")


def show(given: argparse.Namespace, result: Any, lines: Iterable[str]) -> None:
    """Print one result at once: JSON, or `lines` for people on a terminal."""
    terminal = on_terminal()
    if given.json or not terminal:
        ascii_only = sys.stdout.encoding.lower() not in ("utf-8", "utf8")
        lines = [visible_json(json.dumps(result, ensure_ascii=ascii_only))]
    else:
        lines = map(visible, lines)
    if terminal:
        from tqdm import tqdm

        tqdm.write("\n".join(lines))  # above the progress bar, where there is one
    else:
        print(*lines, sep="\n", flush=True)


def on_terminal() -> bool:
    return sys.stdout.isatty()


def table(facts: dict[str, Any]) -> Iterator[str]:
    """'name  value' lines; files and other lists of dictionaries get a line each."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {words(item)}" for key, item in value.items())
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [(printable(item["name"]), size(item["bytes"])) for item in value]
            first, *rest = columns(rows)
            yield f"{name:<{width}}  {first}"
            yield from (f"{'':<{width}}  {row}" for row in rest)
        else:
            yield f"{name.replace('_', ' ') if name.islower() else name:<{width}}  {words(value)}"


def words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def size(count: int | None) -> str:
    if count is None:
        return "not downloaded"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def printable(text: str) -> str:
    """`text` without what could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
