"""Whether what derived weights were made from is still as it was, and whether anybody watches it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module


class Guard:
    """The state of some modules and of their parameters, remembered.

    Seen: parameters written, moved, replaced or converted; modules replaced, added or removed; methods put in the
    place of `forward`; hooks; training mode. Not seen: writing into `parameter.data`, which torch does not count.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = list(modules)
        self._members = [(members, dict(members)) for m in self.modules for members in (m._modules, m._parameters)]
        self._states = [vars(m) for m in self.modules]
        self._hooks = [hooks for m in self.modules for hooks in _hooks_of(m)]
        self._tensors = {id(p): p for _, members in self._members for p in members.values() if isinstance(p, Tensor)}
        self._marks = [_mark(p) for p in self._tensors.values()]

    def unchanged(self) -> bool:
        """Whether modules and parameters are those remembered, with the same values."""
        return (
            all(_same(now, then) for now, then in self._members)
            and [_mark(p) for p in self._tensors.values()] == self._marks
        )

    def free(self) -> bool:
        """Whether the modules' own code may be passed by: no hooks, no training, no other `forward`."""
        return not (
            any(self._hooks)
            or any(state["training"] or "forward" in state for state in self._states)
            or torch_module._has_any_global_hook()
        )

    def learns(self, x: Tensor) -> bool:
        """Whether gradients are recorded, for the input or for some of the parameters."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in (x, *self._tensors.values()))


def _same(now: Mapping[str, object], then: Mapping[str, object]) -> bool:
    return len(now) == len(then) and all(now.get(name) is value for name, value in then.items())


def _mark(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _hooks_of(module: nn.Module) -> tuple[object, ...]:
    # private to torch, but these names have been there for years and there is no public way to ask
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
