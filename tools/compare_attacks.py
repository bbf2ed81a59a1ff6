"""What hostile files get, here and in Transformers: a Markdown table of every attack of tests/hostile.py.

    python tools/compare_attacks.py [--reference-python OLD/bin/python] > table.md

Each attempt is a process of its own with limits of time and memory. Formats that the installed Transformers does not
read any more (TensorFlow, Flax) are loaded by that of `--reference-python`, which needs PyTorch and those frameworks.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
CHILD = TESTS / "hostile_child.py"
OLD = {"h5": {"from_tf": True}, "flax": {"from_flax": True}, "tf1": {"from_tf": True}}
SIGNALS = {6: "aborts the process", 9: "killed: memory", 11: "crashes the process (SIGSEGV)", 7: "crashes (SIGBUS)"}
SIGNALS |= {14: "hangs (over 20 s)"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference-python", help="a Python that has an older Transformers, TensorFlow and Flax")
    parser.add_argument("--only", default="", help="only attacks whose name has this in it")
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp())
    try:
        print(table(base, given.only, given.reference_python))
    finally:
        shutil.rmtree(base)


def table(base: Path, only: str, old: str | None) -> str:
    from hostile import ATTACKS

    chosen = [name for name in ATTACKS if only in name]
    ours = _try("formers", sys.executable, _folders(base / "ours", chosen))
    now = [name for name in chosen if name.partition(":")[0] not in OLD]
    theirs = _try("transformers", sys.executable, _folders(base / "theirs", now))
    if old:
        # first, so that the newer one's answers for the valid folder stay
        theirs = _try("transformers", old, _folders(base / "old", [n for n in chosen if n not in now]), False) | theirs
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name in chosen:
        mine, other = (_cells(r.get(name), r.get(ATTACKS[name].door, {}), ATTACKS[name].loads) for r in (ours, theirs))
        start, form = re.fullmatch(r"(.*?)(?: \((zip|legacy|bare)\))?", name).groups("")  # type: ignore[union-attr]
        outcome = (start, mine.partition("|")[0], other.partition("|")[0])
        groups.setdefault(outcome, []).append((form, f"{mine} | {other}"))
    rows = ["| attack | formers | s | MB | Transformers | s | MB |", "|---|---|--:|--:|---|--:|--:|"]
    for (start, *_), forms in groups.items():  # forms with one outcome share a row
        name = f"{start} ({', '.join(form for form, _ in forms)})" if forms[0][0] else start
        rows.append(f"| {name.replace('|', '¦').replace('*', '∗')} | {forms[0][1]} |")
    return "\n".join(rows)


def _folders(base: Path, names: list[str]) -> list[dict[str, Any]]:
    """The valid folder, and a case for each attack."""
    from hostile import ATTACKS, valid

    valid(base / "valid")
    cases = [{"name": door, "door": door, "folder": str(base / "valid")} for door in ("model", "tokenizer", "config")]
    cases = [case | {"options": {}} for case in cases]
    for number, name in enumerate(names):
        folder = base / str(number)
        shutil.copytree(base / "valid", folder)
        ATTACKS[name].make(folder)
        options = ATTACKS[name].options | OLD.get(name.partition(":")[0], {})
        cases.append({"name": name, "door": ATTACKS[name].door, "folder": str(folder), "options": options})
    return cases


def _try(library: str, python: str, cases: list[dict[str, Any]], warm: bool = True) -> dict[str, dict[str, Any]]:
    if not cases:
        return {}
    base = Path(cases[0]["folder"]).parent
    if library == "formers":
        cases = [case | {"options": {k: v for k, v in case["options"].items() if k == "torch_dtype"}} for case in cases]
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH")}
    env |= {"HOME": str(base), "HF_HOME": str(base / "hub"), "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, str(CHILD), library, *([str(base / "valid")] if warm else [])],
        input=json.dumps(cases), capture_output=True, text=True, env=env, cwd=base,
    )  # fmt: skip
    found = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        folder = next(case["folder"] for case in cases if case["name"] == result["name"])
        found[result["name"]] = result | {"folder": folder, "ran": (Path(folder) / "ran").exists()}
    if len(found) < len(cases):
        print(done.stderr[-2000:], file=sys.stderr)
    return found


def _cells(result: dict[str, Any] | None, valid: dict[str, Any], harmless: bool) -> str:
    """Three cells: what happened, seconds, megabytes. `valid`: what the folder without the attack gives."""
    if result is None:
        return "not tried | |"
    if "killed" in result:
        said = SIGNALS.get(result["killed"], f"ends with signal {result['killed']}")
        return f"{'**runs the code**, ' if result['ran'] else ''}**{said}** | |"
    numbers = f"{result['seconds']:.1f} | {result['megabytes']:.0f}"
    if result["ran"] or result["modules"]:
        return f"**runs the code** | {numbers}"
    if "error" not in result:
        same = result["result"] == valid.get("result")
        said = (
            ("loads, not heeding it" if harmless else "loads as if nothing were wrong")
            if same
            else "loads other values"
        )
        return f"{said} | {numbers}"
    folder = Path(result["folder"])
    message = re.sub(r"\x1b\[\d*m", "", result["message"])  # colours of a terminal
    message = "".join(c if c.isprintable() else " " for c in message)
    message = " ".join(message.replace(f"{folder}/", "").replace(str(folder), "the folder").split())
    message = message if len(message) < 80 else f"{message[:78]}…"
    message = message.replace("|", "¦").replace("<", "&lt;").replace("`", "'").replace("*", "∗")
    return f"`{result['error'][0]}`: {message} | {numbers}"


if __name__ == "__main__":
    main()
