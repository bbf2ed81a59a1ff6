"""Which family file defines a class name or a model_type.

There is no table: the files of `models/` are listed, the one whose name is the longest prefix of the name asked for is
the candidate, and its own dictionaries decide; else the file that says the name. Nothing is imported but that one file,
and an error inside it surfaces as it is.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

_IMAGE_PROCESSOR = re.compile(r"(\w+?)(?:FeatureExtractor|ImageProcessorFast|ImageProcessorPil)")


def _plain(name: str) -> str:
    """The letters and digits of a name, so that `XlmRoberta`, `xlm-roberta` and `xlm_roberta` are one."""
    return name.lower().replace("-", "").replace("_", "")


@cache
def families() -> tuple[str, ...]:
    """File names of all families, without `.py`, sorted."""
    folder = Path(__file__).parent / "models"
    return tuple(sorted(f.stem for f in folder.glob("*.py") if not f.stem.startswith("_")))


def load(name: str) -> ModuleType:
    """The family file of that name, imported."""
    return importlib.import_module(f"formers.models.{name}")


def candidates(name: str) -> list[str]:
    """Families whose file name is a prefix of `name`, the longest first."""
    plain = _plain(name)
    return sorted((f for f in families() if plain.startswith(_plain(f))), key=lambda f: -len(f))


def family_of(model_type: str) -> ModuleType | None:
    """The family file whose MODEL_TYPES has `model_type`, or None."""
    for name in candidates(model_type):
        if model_type in load(name).MODEL_TYPES:
            return load(name)
    return None


def find_class(name: str) -> type | None:
    """The public class `name` of a family file (`BertModel`, `BertConfig`, `BertTokenizer`), or None.

    An image processor has four names: `ViTImageProcessor` is also `ViTFeatureExtractor`, as it was called first, and
    `ViTImageProcessorFast` and `ViTImageProcessorPil`.
    """
    return _find(name) or ((other := _IMAGE_PROCESSOR.fullmatch(name)) and _find(f"{other[1]}ImageProcessor")) or None


def _find(name: str) -> type | None:
    first = candidates(name)
    for candidate in (*first, *(family for family in _naming(name) if family not in first)):
        found = getattr(load(candidate), name, None)
        if isinstance(found, type):
            return found
    return None


@cache
def _naming(name: str) -> tuple[str, ...]:
    """Families that define a name which begins with no family's, as NLLB's tokenizer is M2M-100's: by their text."""
    begins, folder = (f"class {name}(", f"class {name}:", f"{name} = "), Path(__file__).parent / "models"

    def says(family: str) -> bool:
        lines = (folder / f"{family}.py").read_text(encoding="utf-8").splitlines()
        return any(line.startswith(begins) for line in lines)

    return tuple(filter(says, families()))


def model_types() -> list[str]:
    """Every model_type that some family defines (imports all families)."""
    return sorted(t for f in families() for t in load(f).MODEL_TYPES)
