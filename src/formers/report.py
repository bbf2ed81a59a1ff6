"""What of a checkpoint fits a model and what does not, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .checkpoints import LazyTensor
from .checkpoints.names import wrapper
from .errors import CheckpointError
from .logging import logger

if TYPE_CHECKING:
    from .modeling import PreTrainedModel


@dataclass
class LoadingReport:
    """What did not go from file to model. `mismatched` has (name, shape in the file, shape in the model).

    `mistyped` has weights that are no floating-point numbers, with their type; `apart`, tied ones of different values.
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    mistyped: list[tuple[str, torch.dtype]] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """In the form that `output_loading_info=True` returns."""
        return {
            "missing_keys": self.missing,
            "unexpected_keys": self.unexpected,
            "mismatched_keys": self.mismatched,
            "error_msgs": [],
        }


def compare(
    groups: list[list[str]],
    state: Mapping[str, Tensor],
    found: Mapping[str, LazyTensor | Tensor],
    buffers: tuple[str, ...],
) -> LoadingReport:
    """What a checkpoint lacks of a model's weights, tied names together, has in another form, or has beside them.

    buffers: endings of names of what the model computes itself: files may have or lack it, nobody needs to hear of it.
    """
    report = LoadingReport(unexpected=[name for name in found if name not in state and not name.endswith(buffers)])
    for group in groups:
        there = next((name for name in group if name in found), None)
        if there is None:
            report.missing.extend(name for name in group if not name.endswith(buffers))
        elif state[there].is_floating_point() and not found[there].dtype.is_floating_point:
            report.mistyped.append((there, found[there].dtype))
        elif tuple(found[there].shape) != tuple(state[there].shape):
            report.mismatched.append((there, tuple(found[there].shape), tuple(state[there].shape)))
    return report


def differing(groups: list[list[str]], found: Mapping[str, LazyTensor | Tensor]) -> list[str]:
    """Names of tied weights of which a checkpoint has other values, or another shape, than of their group's first."""
    apart = []
    for group in groups:
        first, *rest = [name for name in group if name in found] or [""]
        apart += [name for name in rest if not torch.equal(_loaded(found[first]), _loaded(found[name]))]
    return apart


def _loaded(weight: LazyTensor | Tensor) -> Tensor:
    return weight.detach() if isinstance(weight, Tensor) else weight.load()


def judge(model: PreTrainedModel, report: LoadingReport) -> None:
    """Raise if weights of the body are missing; say in one line which others are new."""
    name = model.config.name_or_path or "the checkpoint"
    known = model.config.architectures
    holds = f", which holds a {known[0]}" if isinstance(known, list) and known else ""
    if report.mistyped:
        raise CheckpointError(f"{type(model).__name__}: {name} cannot be used: {mistyped(report)}.")
    if lost := missing_from_body(model, report):
        raise CheckpointError(
            f"{type(model).__name__}: {len(lost)} of its body's weights are not in {name}{holds}: {listed(lost)}. "
            + (wrapped(model, report) or "Is it a checkpoint of this architecture, and complete?")
        )
    new = report.missing + [key for key, _, _ in report.mismatched]
    if new:
        logger.warning(
            "%s: new weights, not in %s%s: %s. Train them before use.", type(model).__name__, name, holds, listed(new)
        )
    prefix = f"{model.base_model_prefix}."
    parts = {child for child, _ in model.base_model.named_children()}
    if lost := [key for key in report.unexpected if key.removeprefix(prefix).partition(".")[0] in parts]:
        logger.warning(
            "%s: weights in %s that this configuration has no place for: %s.", type(model).__name__, name, listed(lost)
        )


# what attends to an encoder: a checkpoint of a model that was alone has none of it
_CROSS = {"crossattention", "ln_cross_attn"}


def missing_from_body(model: PreTrainedModel, report: LoadingReport) -> list[str]:
    """The missing weights without which the base model is none; those of heads may be drawn anew."""
    if not report.missing:
        return []
    prefix = f"{model.base_model_prefix}."
    is_base = model.base_model is model
    empty = len(report.missing) == len(model.state_dict())

    def in_body(key: str) -> bool:
        if not model.base_model_prefix:  # which part is the body, the class does not say
            return empty
        inside = key if is_base else key.removeprefix(prefix)
        crosses = not {*_CROSS, *model.OPTIONAL}.isdisjoint(inside.split("."))
        return (is_base or key.startswith(prefix)) and not crosses and not inside.startswith(model.OPTIONAL)

    return [key for key in report.missing if in_body(key)]


def mismatched(model: PreTrainedModel, report: LoadingReport) -> str:
    """The weights whose shapes do not fit, and the keys of the configuration that say which would."""
    lines = []
    values = {k: v for k, v in model.config.to_dict().items() if isinstance(v, int) and not isinstance(v, bool)}
    values["num_labels"] = model.config.num_labels
    for name, found, expected in report.mismatched[:8]:
        differing = (
            {e for e, f in zip(expected, found, strict=False) if e != f} if len(expected) == len(found) else set()
        )
        keys = [f"{k}={v}" for k, v in values.items() if v in differing]
        lines.append(
            f"  {name}: {found} in the file, {expected} in the model" + (f" (see {', '.join(keys)})" if keys else "")
        )
    if len(report.mismatched) > 8:
        lines.append(f"  … and {len(report.mismatched) - 8} more")
    name = model.config.name_or_path or "the checkpoint"
    return (
        f"{type(model).__name__}: shapes in {name} do not fit the configuration:\n"
        + "\n".join(lines)
        + "\nCorrect the configuration, or pass ignore_mismatched_sizes=True to start these weights anew."
    )


def mistyped(report: LoadingReport) -> str:
    """The weights that are no floating-point numbers, in words."""
    names = [f"{name} is {str(dtype).removeprefix('torch.')}" for name, dtype in report.mistyped]
    return (
        f"{listed(names, 3)}, and weights are floating-point numbers. If they were quantised, only the program that "
        "did it can read them; get the model's own weights, or convert them with it"
    )


def wrapped(model: PreTrainedModel, report: LoadingReport) -> str:
    """How to take off what another program put before all names of a checkpoint; empty when nothing was."""
    first = wrapper(report.unexpected, set(model.state_dict()), model.base_model_prefix)
    if first is None:
        return ""
    return (
        f"The names there begin with {first!r}, as DataParallel, torch.compile and trainers leave them. Take it off: "
        f"from_pretrained(…, state_dict={{k.removeprefix({first!r}): v for k, v in weights.items()}}), with weights = "
        "torch.load(file) or safetensors.torch.load_file(file)."
    )


def listed(words: list[str], most: int = 6) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(words[:most]) + (f" and {len(words) - most:,} more" if len(words) > most else "")
