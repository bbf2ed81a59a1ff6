"""Names of other frameworks and times -> torch's names of today. What one family alone needs stands in its own file."""

from __future__ import annotations

_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}  # TensorFlow's words for the parameters of a layer norm


def rename(name: str) -> str:
    """The torch name for a tensor that a checkpoint calls `name`."""
    for old, new in _ENDINGS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
