"""`formers check`: whether a model is whole, belongs together, and is safe."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .output import columns, declare_json, printable, show

ABOUT = "check that a model's files are whole, belong together, and are safe"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="folder, hub name (what a load needs is downloaded), or weight file (a GGUF file has all)",
    )
    parser.add_argument("--variant", help="check model.VARIANT.safetensors and so on")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    declare_json(parser)


def run(given: argparse.Namespace) -> int:
    from ..check import check

    report = check(given.model, revision=given.revision, variant=given.variant, progress=True)
    rows = [(finding.check, finding.state, printable(finding.words)) for finding in report.findings]
    show(given, {"model": report.model, "ok": report.ok, "checks": [asdict(x) for x in report.findings]}, columns(rows))
    return 0 if report.ok else 1
