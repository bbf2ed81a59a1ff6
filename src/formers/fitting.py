"""Which class a checkpoint is for, and what of it has a place there: told from names and shapes, no data is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import registry
from .checkpoints import LazyTensor
from .checkpoints.names import align, torch_names
from .checkpoints.scales import scaled
from .classes import config_class
from .config import PretrainedConfig
from .loading import build, tied_names
from .modeling import PreTrainedModel
from .report import LoadingReport, compare, listed


@dataclass(frozen=True)
class Fit:
    """A checkpoint held against a class.

    Attributes:
        model: of that class, on the meta device.
        groups: the names of its tensors, those that share one together, as `tied_names` gives them.
        found: the checkpoint's tensors, by the model's names or, what it has no place for, by names in torch's form.
        report: what a load would report.
    """

    model: PreTrainedModel
    groups: list[list[str]]
    found: dict[str, LazyTensor]
    report: LoadingReport

    def others(self) -> dict[str, LazyTensor]:
        """What the model has no place for."""
        places = {name for group in self.groups for name in group}
        return {name: lazy for name, lazy in self.found.items() if name not in places}

    def misfits(self) -> str:
        """The shapes that are not as the configuration says, in words."""
        wrong = [f"{name} is {found} and should be {wanted}" for name, found, wanted in self.report.mismatched]
        return listed(wrong, most=3)


def fit(kind: type[PreTrainedModel], config: PretrainedConfig, weights: Mapping[str, LazyTensor]) -> Fit:
    """Hold the tensors of a checkpoint, by the names that they have there, against a class.

    Errors: ConfigError for sizes that no model can have, CheckpointError for two tensors of one name.
    """
    renamed = torch_names(scaled(weights))
    model = build(lambda: kind(config), config, renamed)
    state = model.state_dict()
    found, groups = align(renamed, set(state), model.base_model_prefix, kind.RENAMES), tied_names(model)
    return Fit(model, groups, found, compare(groups, state, found, model.BUFFERS))


def named_classes(values: Mapping[str, Any], where: str) -> tuple[type[PretrainedConfig], type[PreTrainedModel] | None]:
    """The configuration class of a config.json, and the first of its "architectures" that is a model of that class.

    Errors: ConfigError, naming `where`, when the family is not known here.
    """
    names = values.get("architectures")
    found = [registry.find_class(str(name)) for name in (names if isinstance(names, list) else ())]
    models = [kind for kind in found if kind is not None and issubclass(kind, PreTrainedModel)]
    if "model_type" in values or not models:
        config = config_class(str(values.get("model_type")), where)
    else:
        config = models[0].config_class
    return config, next((kind for kind in models if kind.config_class is config), None)


def closest_class(config: PretrainedConfig, weights: Mapping[str, LazyTensor]) -> type[PreTrainedModel] | None:
    """The class of the configuration's family that has a place for most tensors, then lacks fewest, then has a head."""
    family = registry.family_of(type(config).model_type)
    heads = dict(family.HEADS) if family else {}
    if {"masked-lm", "causal-lm"} <= heads.keys():
        del heads["masked-lm" if config.is_decoder else "causal-lm"]  # of two with the same names, the one not meant
    kinds = dict.fromkeys(heads.values())

    def score(kind: type[PreTrainedModel]) -> tuple[int, int, int]:
        held = fit(kind, config, weights)
        filled = [group[0] for group in held.groups if not held.found.keys().isdisjoint(group)]
        body = "" if held.model.base_model is held.model else f"{kind.base_model_prefix}."
        return len(filled), -len(held.report.missing), sum(not name.startswith(body) for name in filled)

    return max(kinds, key=score, default=None)
