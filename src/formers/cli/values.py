"""Values that are given as NAME=VALUE."""

from __future__ import annotations

import argparse
import json
from typing import Any


def assigned(text: str) -> tuple[str, Any]:
    """The name and the value of NAME=VALUE. Raises ArgumentTypeError for anything else."""
    name, found, value = text.partition("=")
    if not found or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE, as do_sample=false")
    return name.strip().replace("-", "_"), value_of(value.strip())


def value_of(text: str) -> Any:
    """JSON's value, also with Python's names for True, False and None; else the text itself."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except ValueError:
        return text
