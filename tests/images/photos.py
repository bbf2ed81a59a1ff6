"""Real photos, of scikit-image and scikit-learn, as files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NAMES = ("astronaut", "coffee", "chelsea", "rocket", "camera", "page")


@cache
def photo(name: str) -> Any:
    """A photo (H, W, 3) or, grey, (H, W), as bytes."""
    data = pytest.importorskip("skimage.data")
    return np.asarray(getattr(data, name)())


def files(folder: Path, *names: str) -> list[str]:
    """Photos as PNG files."""
    from PIL import Image

    made = []
    for name in names or NAMES:
        path = folder / f"{name}.png"
        Image.fromarray(photo(name)).save(path)
        made.append(str(path))
    return made
