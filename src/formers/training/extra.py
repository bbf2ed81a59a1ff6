"""What training needs beside what the package does: the extra `formers[train]`, imported when it is first used."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import MissingNameError


def accelerate() -> ModuleType:
    """The library accelerate. Errors: MissingNameError, an ImportError, where it is not installed."""
    return extra("accelerate", "Training", "train")


def extra(name: str, what: str, extra_name: str) -> ModuleType:
    """A library that an extra of this package brings. what: what needs it, for the error."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingNameError(f'{what} needs {name}: pip install "formers[{extra_name}]".') from error
