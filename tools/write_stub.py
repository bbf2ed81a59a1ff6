"""Write src/formers/__init__.pyi: the public names, for editors and type checkers. With --check, only compare."""

from __future__ import annotations

import sys
from pathlib import Path

import formers
from formers import registry

PATH = Path(formers.__file__).with_suffix(".pyi")


def stub() -> str:
    """One re-export a name, sorted by module."""
    lines = ["# Written by tools/write_stub.py: run it after adding a public name.", ""]
    homes: dict[str, set[str]] = {}
    for name in formers.__all__:
        home = formers._MODULE_OF.get(name) or registry.find_class(name).__module__.removeprefix("formers.")
        homes.setdefault(home, set()).add(name)
    for home in sorted(homes):
        names = ",\n    ".join(f"{n} as {n}" for n in sorted(homes[home]))
        lines.append(f"from .{home} import (\n    {names},\n)")
    lines.append("from . import logging as logging")
    lines.append("from . import visualize as visualize")
    lines.append("from .version import __version__ as __version__")
    lines.append("")
    lines.extend(f"{old} = {new}" for old, new in formers._RENAMED.items())
    return "\n".join(lines) + "\n"


def main() -> int:
    """Exit status 1 when --check finds the file out of date."""
    if "--check" not in sys.argv:
        PATH.write_text(stub(), encoding="utf-8")
        return 0
    if not PATH.exists() or PATH.read_text(encoding="utf-8") != stub():
        print(f"{PATH} is out of date: run `make stub`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
