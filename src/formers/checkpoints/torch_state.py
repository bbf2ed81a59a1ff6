"""From what a pickle holds to the tensors of a state dict."""

from __future__ import annotations

from functools import partial
from typing import Any

from .tensor import LazyTensor, MappedFile
from .torch_values import View

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")


def state_dict(file: MappedFile, value: Any) -> dict[str, LazyTensor]:
    """The tensors by name, of a state dict or of one within a training checkpoint. All else in it is left out."""
    found = _tensors(value)
    if not found and isinstance(value, dict):
        inner = {name: table for name, item in value.items() if (table := _tensors(item))}
        chosen = next((name for name in _WRAPPERS if name in inner), None)
        if chosen is None and len(inner) > 1:
            raise file.broken(
                f"it has several sets of tensors, {', '.join(inner)}; save the one that is the model alone"
            )
        found = inner[chosen] if chosen else next(iter(inner.values()), {})
    if not found:
        raise file.broken("it has no tensors with names, as a state_dict has")
    for view in found.values():
        view.storage.users += 1
    return {
        name: LazyTensor(name, view.shape, view.dtype, file.path, partial(view.load, file))
        for name, view in found.items()
    }


def _tensors(value: Any) -> dict[str, View]:
    return {name: item for name, item in value.items() if isinstance(item, View)} if isinstance(value, dict) else {}
