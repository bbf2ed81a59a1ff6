"""Whether what derived weights were made from is still as it was, and whether anybody watches it."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim.optimizer import register_optimizer_step_post_hook


class Guard:
    """The state of some modules and of their parameters, remembered.

    Seen: parameters written, moved, replaced or converted, and steps of optimizers on them, fused ones too; modules
    replaced, added or removed, and given another class; numbers that modules compute with, such as the `eps` of a
    norm; methods put in the place of `forward`; hooks; training mode. Not seen, since torch does not count it: writing
    into `parameter.data`, or into what `parameter.numpy()` shares with it.
    """

    def __init__(self, modules: Iterable[nn.Module], holders: Iterable[tuple[dict[str, Any], str]] = ()) -> None:
        """holders: the dictionaries and names by which other modules have these, so that it is seen when they have
        something else there: an adapter around a layer may write into its weights uncounted."""
        modules = list(modules)
        # flat lists, since they are gone through before every call
        self._members: list[dict[str, Any]] = [d for m in modules for d in (m._modules, m._parameters)]
        self._sizes = [len(members) for members in self._members]
        self._slots = [(members, name) for members in self._members for name in members] + list(holders)
        self._values = [members[name] for members, name in self._slots]
        self._states = [vars(m) for m in modules]
        self._hooks = hooks_of(modules)
        self._tensors = list({id(x): x for x in self._values if isinstance(x, Tensor)}.values())
        self._counted = [x for x in self._tensors if not x.is_inference()]
        self._marks = self._mark()
        self._modules, self._kinds = modules, [type(m) for m in modules]
        self._counted_on = [(state, name) for state in self._states for name in state if _counts(state, name)]
        self._numbers = [state[name] for state, name in self._counted_on]
        self._stepped = False
        _watch_optimizers()
        _guards.add(self)

    def stepped(self, parameters: set[int]) -> None:
        """An optimizer has made a step on tensors with these ids."""
        self._stepped = self._stepped or any(id(x) in parameters for x in self._tensors)

    def unchanged(self) -> bool:
        """Whether modules and parameters are those remembered, with the same values."""
        return (
            all(map(operator.is_, [members.get(name) for members, name in self._slots], self._values))
            and [len(members) for members in self._members] == self._sizes
            and not self._stepped
            and list(map(type, self._modules)) == self._kinds
            and [state.get(name) for state, name in self._counted_on] == self._numbers
            and self._mark() == self._marks
        )

    def free(self) -> bool:
        """Whether the modules' own code may be passed by: no hooks, no training, no other `forward`."""
        return not (watched(self._hooks) or any(state["training"] or "forward" in state for state in self._states))

    def _mark(self) -> list[int]:
        return [x.data_ptr() for x in self._tensors] + [x._version for x in self._counted]

    def learns(self, x: Tensor) -> bool:
        """Whether gradients are recorded, for the input or for some of the parameters."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in (x, *self._tensors))


def _counts(state: dict[str, Any], name: str) -> bool:
    """Whether a module's attribute is a number that it computes with."""
    return not name.startswith("_") and name not in _KNOWN and type(state[name]) in (int, float)


_KNOWN = {"training", "in_features", "out_features"}  # seen otherwise, or without effect
_guards: weakref.WeakSet[Guard] = weakref.WeakSet()


@cache
def _watch_optimizers() -> None:
    """Hear of all optimizers' steps from now on: fused ones write without being counted."""

    def stepped(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if guards := list(_guards):
            parameters = {id(x) for group in optimizer.param_groups for x in group["params"]}
            for guard in guards:
                guard.stepped(parameters)

    register_optimizer_step_post_hook(stepped)


def hooks_of(modules: Iterable[nn.Module]) -> list[Any]:
    """The hooks of modules, in dictionaries that change as hooks come and go."""
    # private to torch, but these names have been there for years and there is no public way to ask
    return [
        hooks
        for m in modules
        for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks)
    ]


def watched(hooks: Iterable[Any]) -> bool:
    """Whether there are any of these `hooks_of` modules, or hooks on all modules."""
    return any(hooks) or torch_module._has_any_global_hook()
