"""Run the scripts of this folder, each in a process of its own, and print what runs as a table.

Exits with 1 where a check failed that docs/libraries.md does not name as one that fails.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# script, its arguments, the package whose version is shown
RUNS = (
    ("sentence_transformers", "", "sentence-transformers"),
    ("keybert", "", "keybert"),
    ("peft", "", "peft"),
    ("peft", "--as-transformers", "peft"),
    ("peft_decoders", "", "peft"),
    ("peft_decoders", "--as-transformers", "peft"),
    ("examples", "", "formers"),
    ("scripts", "", "formers"),
    ("trainer", "", "transformers"),
    ("accelerate", "", "accelerate"),
    ("datasets", "", "datasets"),
    ("sklearn", "", "scikit-learn"),
    ("bertviz", "", "bertviz"),
    ("captum", "", "captum"),
    ("export", "", "torch"),
    ("onnx", "", "onnxruntime"),
)


def known_failures() -> set[str]:
    """The checks that the page says fail."""
    page = HERE.parents[1] / "docs" / "libraries.md"
    rows = [line.split("|") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[2].strip() for row in rows if len(row) > 3 and row[3].strip().startswith("no")}


def results(script: str, argument: str) -> list[list[str]]:
    """What a script prints: "ok" or "FAILED", the check, and why it failed."""
    command = [sys.executable, str(HERE / f"run_{script}.py"), *([argument] if argument else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.startswith(("ok\t", "FAILED\t"))]
    return lines or [["FAILED", "the script itself", "".join(done.stderr.strip().splitlines()[-1:])]]


def main() -> int:
    """Exit status 1 for failures that are new."""
    known, new = known_failures(), 0
    print("| Library | Check | Runs |\n|---|---|---|")
    for script, argument, package in RUNS:
        title = " ".join(filter(None, (package, importlib.metadata.version(package), argument)))
        for word, what, *why in results(script, argument):
            new += word == "FAILED" and what not in known
            print(f"| {title} | {what} | {'yes' if word == 'ok' else f'no: {why[0]}'} |", flush=True)
    return int(new > 0)


if __name__ == "__main__":
    sys.exit(main())
