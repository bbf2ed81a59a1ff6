"""Any tower for pictures with any for texts, whose vectors two new layers bring into one space.

Both are models of their own families, loaded from checkpoints of these.
Source: Zhai et al. 2021 (arXiv 2111.07991).
Letters: B batch, D width of a tower, E width of the space.
"""

from __future__ import annotations

import copy
import os
from typing import Any, ClassVar

import torch
from torch import nn

from .. import hub, registry, two_towers
from ..classes import config_class, model_class, read_config
from ..config import PretrainedConfig
from ..errors import ArgumentError, ConfigError
from ..modeling import OPTIONS, PreTrainedModel
from ..processing import ProcessorMixin


class VisionTextDualEncoderConfig(two_towers.TwoTowersConfig):
    """projection_dim: E. logit_scale_init_value: the logarithm of what cosines are multiplied by, to begin with."""

    model_type = "vision-text-dual-encoder"
    sub_configs = {"vision_config": PretrainedConfig, "text_config": PretrainedConfig}

    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592

    def _part(self, name: str, kind: Any, given: Any, old: dict[str, Any] | None) -> PretrainedConfig:
        if given is None:
            given = {"model_type": "vit" if name == "vision_config" else "bert"}
        found = given.get("model_type") if isinstance(given, dict) else type(given).model_type
        where = f"{type(self).__name__}.{name}"
        if not isinstance(found, str):
            raise ConfigError(f'{where} has no "model_type": give a configuration, or its dictionary.')
        part = given
        if isinstance(given, dict):
            part = config_class(found, where).from_dict(given)
        return getattr(part, name) if name in type(part).sub_configs else part  # of CLIP, the tower for pictures

    @classmethod
    def from_vision_text_configs(cls, vision_config: Any, text_config: Any, **kwargs: Any) -> Any:
        """One of the configurations of both towers, which are copied."""
        return cls.from_text_vision_configs(text_config, vision_config, **kwargs)


class VisionTextDualEncoderModel(two_towers.TwoTowers):
    """Compares texts with pictures: logits are cosines times a learned scale. It is made of a configuration, of both
    towers, or of both and the configuration."""

    config_class: ClassVar[Any] = VisionTextDualEncoderConfig
    base_model_prefix = "vision_text_dual_encoder"
    PROJECTED = False
    KEYWORDS: ClassVar[tuple[str, ...]] = ()
    TEXT: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "position_ids", "token_type_ids")
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "pixel_values", "attention_mask", "position_ids", "return_loss", "token_type_ids"),
        *OPTIONS,
    )

    def __init__(
        self,
        config: PretrainedConfig | None = None,
        vision_model: PreTrainedModel | None = None,
        text_model: PreTrainedModel | None = None,
    ) -> None:
        if config is None:
            if vision_model is None or text_model is None:
                raise ArgumentError(f"{type(self).__name__} needs a configuration, or a vision_model and a text_model.")
            config = self.config_class.from_vision_text_configs(vision_model.config, text_model.config)
        if not isinstance(config, self.config_class):
            raise ArgumentError(
                f"{type(self).__name__} takes a {self.config_class.__name__}, got {type(config).__name__}."
            )
        super().__init__(config)
        self.vision_model = self._tower("vision_config") if vision_model is None else vision_model
        self.text_model = self._tower("text_config") if text_model is None else text_model
        # the same, so that changes reach both
        config.vision_config, config.text_config = self.vision_model.config, self.text_model.config
        widths = [part.hidden_size for part in (config.vision_config, config.text_config)]
        own = [nn.Linear(width, config.projection_dim, bias=False) for width in widths]
        self.visual_projection, self.text_projection = own
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        for layer in own:
            if not layer.weight.is_meta:
                self._init_weights(layer)  # and nothing else: the towers have their weights
        self._name_towers()

    def _name_towers(self) -> None:
        """Say which names of files stand for which weights: since 5.0, those of a tower that is one of two alone are
        without its name."""
        inner = {f"{side}.": f"{side}.{side}." for side in ("vision_model", "text_model")}
        names = [name for name, _ in self.named_parameters()]
        self.RENAMES = {  # type: ignore[misc]
            name.replace(long, short, 1): name
            for short, long in inner.items()
            for name in names
            if name.startswith(long)
        }
        towers: tuple[Any, Any] = (self.vision_model, self.text_model)
        self.BUFFERS = tuple({name: 0 for tower in towers for name in tower.BUFFERS})  # type: ignore[misc]

    def _tower(self, name: str) -> PreTrainedModel:
        """The model of a part's configuration, with drawn weights."""
        config = getattr(self.config, name)
        found = model_class("base", type(config))
        if found is None:
            raise ConfigError(f"{type(self).__name__}: {type(config).__name__} has no model to read {name} with.")
        made: PreTrainedModel = found._from_config(config, attn_implementation=self.config._attn_implementation)
        return made

    def set_attn_implementation(self, attn_implementation: str) -> None:
        super().set_attn_implementation(attn_implementation)
        for tower in self.children():
            if isinstance(tower, PreTrainedModel):
                tower.set_attn_implementation(attn_implementation)

    @classmethod
    def from_vision_text_pretrained(
        cls,
        vision_model_name_or_path: str | os.PathLike[str] | None = None,
        text_model_name_or_path: str | os.PathLike[str] | None = None,
        *model_args: Any,
        **kwargs: Any,
    ) -> VisionTextDualEncoderModel:
        """A model of two checkpoints, in eval mode; the layers that bring both into one space are drawn anew.

        Keywords that begin with vision_ or text_ are for the `from_pretrained` of a tower: keys of its configuration,
        or `vision_config`; `vision_model` is a model to use. Others are keys of the whole's configuration.
        """
        names = {"vision": vision_model_name_or_path, "text": text_model_name_or_path}
        towers: dict[str, Any] = {}
        for side, name in names.items():
            keys = [key for key in kwargs if key.startswith(f"{side}_")]
            own = {key.removeprefix(f"{side}_"): kwargs.pop(key) for key in keys}
            towers[f"{side}_model"] = own.pop("model", None) or _loaded(side, name, model_args, own)
        configs = [towers[f"{side}_model"].config for side in names]
        return cls(config=cls.config_class.from_vision_text_configs(*configs, **kwargs), **towers).eval()


def _loaded(side: str, name: Any, model_args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The tower of a checkpoint; of one with two, the one for that side."""
    if name is None:
        raise ArgumentError(f"{side}_model_name_or_path is needed, or {side}_model.")
    where, config = hub.hub_arguments(kwargs.copy()), kwargs.pop("config", None)
    if config is None:
        config, kwargs = read_config(name, **kwargs)
    part = f"{side}_config"
    config = copy.deepcopy(getattr(config, part) if part in type(config).sub_configs else config)
    found = model_class("base", type(config))
    if found is None:
        raise ConfigError(f"{name}: {type(config).__name__} has no model to be the {side}_model.")
    return found.from_pretrained(name, *(model_args if side == "vision" else ()), config=config, **{**where, **kwargs})


class VisionTextDualEncoderProcessor(ProcessorMixin):
    """An image processor and a tokenizer, of whatever families the towers are."""


MODEL_TYPES = {"vision-text-dual-encoder": VisionTextDualEncoderConfig}
TOKENIZER = None  # that of the text's tower
PROCESSOR = VisionTextDualEncoderProcessor
HEADS = {"base": VisionTextDualEncoderModel}
TINY = {
    "vision_config": {
        "model_type": "vit",
        **{k: v for k, v in registry.load("vit").TINY.items() if k not in ("num_labels", "pooler_output_size")},
    },
    "text_config": {"model_type": "bert", **registry.load("bert").TINY},
    "projection_dim": 20,
}
