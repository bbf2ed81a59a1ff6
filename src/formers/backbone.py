"""Backbones: models that give maps of a picture's features, of some of their stages, to models built on top of them.

    pixel_values ─ stem ─ stage1 ─ stage2 ─ … ─▶
                     │       │        │
                     └───────┴────────┴─▶ feature_maps, one for each name in out_features
Letters: B batch, D width of a stage, H and W height and width of its map.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from . import outputs, vision
from .config import PretrainedConfig
from .errors import ConfigError
from .modeling import OPTIONS

KEYS = ("out_features", "out_indices")


class BackboneConfig(PretrainedConfig):
    """A configuration that says of which stages a backbone gives maps.

    out_features: their names, out_indices: their numbers, the stem's 0. Both are in the order of `stage_names`; one
    follows the other, and it is the last stage alone where neither is given. A family lists both among its keys.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("stage_names", None)
        super().__init__(*args, **kwargs)
        super().__setattr__("stage_names", ["stem", *(f"stage{i + 1}" for i in range(self.stages()))])
        self._align(self.out_features, self.out_indices)

    def stages(self) -> int:
        """How many stages follow the stem."""
        found = getattr(self, "depths", None)
        count = self.num_hidden_layers if found is None else len(found)
        return count if isinstance(count, int) and 0 <= count <= 1000 else 0

    def __setattr__(self, name: str, value: Any) -> None:
        if name in KEYS and "stage_names" in vars(self):
            self._align(**{name: value})
        else:
            super().__setattr__(name, value)

    def _align(self, out_features: Any = None, out_indices: Any = None) -> None:
        names = self.stage_names
        if out_features is None and out_indices is None:
            out_indices = [len(names) - 1]
        numbers = None if out_indices is None else self._numbers(out_indices)
        numbered = None if numbers is None else [names[i] for i in numbers]
        chosen = self._named(out_features) if out_features is not None else numbered
        if numbered not in (None, chosen):
            raise ConfigError(
                f"{type(self).__name__}: out_features={out_features!r} and out_indices={out_indices!r} are different "
                "stages; give one of them."
            )
        assert chosen is not None  # one of them was given
        super().__setattr__("out_features", chosen)
        super().__setattr__("out_indices", [names.index(n) for n in chosen] if numbers is None else list(out_indices))

    def _named(self, given: Any) -> list[str]:
        names = self.stage_names
        if not isinstance(given, list | tuple) or list(given) != [name for name in names if name in given]:
            raise ConfigError(
                f"{type(self).__name__}: out_features={given!r}; give a list of some of {names}, in this order."
            )
        return list(given)

    def _numbers(self, given: Any) -> list[int]:
        """Numbers of stages from 0; negative ones count from the end."""
        count = len(self.stage_names)
        whole = isinstance(given, list | tuple) and all(type(i) is int and -count <= i < count for i in given)
        numbers = [i % count for i in given] if whole else []
        if not whole or numbers != sorted({*numbers}):
            raise ConfigError(
                f"{type(self).__name__}: out_indices={given!r}; give a list of numbers, from 0 to {count - 1}, "
                "ascending."
            )
        return numbers


class Backbone(vision.ReadsImages):
    """The part of a backbone that chooses among the hidden states of the model that it is. `num_features`: D, of the
    stem and each stage."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "output_hidden_states", "output_attentions", "return_dict")
    # what files of the same model with another head lack
    OPTIONAL: ClassVar[tuple[str, ...]] = ("hidden_states_norms.", "fpn")
    num_features: list[int]
    has_attentions: bool = True

    @property
    def stage_names(self) -> list[str]:
        """The stages that there are, the stem first."""
        return list(self.config.stage_names)

    @property
    def out_features(self) -> list[str]:
        """The stages of which maps are given."""
        return list(self.config.out_features)

    @property
    def out_indices(self) -> list[int]:
        """Their numbers."""
        return list(self.config.out_indices)

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """D of each stage."""
        return dict(zip(self.stage_names, self.num_features, strict=True))

    @property
    def channels(self) -> list[int]:
        """D of each map that is given."""
        return [self.out_feature_channels[name] for name in self.out_features]

    def forward_with_filtered_kwargs(self, *args: Any, **kwargs: Any) -> Any:
        """The output, of arguments of which those that the model lacks are left out."""
        return self(*args, **{name: value for name, value in kwargs.items() if name in self.arguments()})

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Maps of the stages that `out_features` names. pixel_values: (B, C, H, W)."""
        options: dict[str, Any] = {name: inputs.pop(name, None) for name in OPTIONS if name in self.SIGNATURE}
        return_dict, asked = options.pop("return_dict"), self.options(**options)
        found = super().compute({**inputs, **asked, "output_hidden_states": True, "return_dict": True})
        states = self.of_stages(found)
        chosen = zip(self.stage_names, states, strict=True)
        size = (inputs["pixel_values"].shape[2], inputs["pixel_values"].shape[3])
        maps = tuple(self.as_map(name, state, size) for name, state in chosen if name in self.config.out_features)
        kept = states if asked["output_hidden_states"] else None
        return self.returned(outputs.BackboneOutput(self.finish(maps), kept, found.get("attentions")), return_dict)

    def of_stages(self, body: Any) -> tuple[Tensor, ...]:
        """Of what the model without its choice returns, the state after the stem and each stage."""
        return body.hidden_states

    def as_map(self, name: str, state: Tensor, size: tuple[int, int]) -> Tensor:
        """The map of a stage, from its state. size: of the pictures."""
        raise NotImplementedError

    def finish(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What is given, from the maps that were chosen."""
        return maps


class PatchBackbone(Backbone):
    """A backbone of rows of patches, each of whose layers is a stage.

    `reshape_hidden_states` False leaves the rows as they are, (B, T, D)."""

    @property
    def num_features(self) -> list[int]:  # type: ignore[override]
        """D, of the stem and each stage."""
        return [self.config.hidden_size] * len(self.config.stage_names)

    def as_map(self, name: str, state: Tensor, size: tuple[int, int]) -> Tensor:
        if not self.config.reshape_hidden_states:
            return state
        patches = state[:, self.before() :]
        return vision.as_map(patches, vision.grid_of(self.config, *size)).contiguous()
