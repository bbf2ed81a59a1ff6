"""Libraries that an extra of this package brings (`pip install "formers[train]"`), imported at first use."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingNameError


def library(name: str, what: str, install: str) -> ModuleType:
    """The module `name`. what: what needs it, and install: what pip installs it by, both for the error.

    Errors: MissingNameError, an ImportError, where it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingNameError(
            f"{what} needs {package}, which cannot be imported ({error}): pip install {install}", name=package
        ) from error


def accelerate() -> ModuleType:
    """The library accelerate, which training needs."""
    return library("accelerate", "Training", '"formers[train]"')


def pillow(module: str = "Image") -> ModuleType:
    """A module of Pillow, which images need."""
    return library(f"PIL.{module}", "An image", '"formers[vision]"')


def soundfile() -> ModuleType:
    """The library soundfile, which reads files of sound."""
    return library("soundfile", "A file of sound", '"formers[audio]"')


def soxr() -> ModuleType:
    """The library soxr, which changes the rate of sounds."""
    return library("soxr", "Resampling a sound", '"formers[audio]"')
