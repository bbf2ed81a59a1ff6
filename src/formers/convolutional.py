"""What models of convolutions share: a picture stays a map, which stages make smaller and deeper.

Letters: B batch, C channels, D width, H and W height and width of a picture or of a map.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import heads, outputs, vision
from .backbone import Backbone
from .errors import InputError
from .ops.layout import Layout

OPTIONS = ("output_hidden_states", "return_dict")


class ReadsMaps(vision.ReadsImages):
    """A model whose layers see maps (B, D, H, W): there are no columns, and nothing attends."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "labels", *OPTIONS)

    def layout_of_inputs(self, inputs: dict[str, Any], *_: Any, **__: Any) -> Layout:
        images = inputs.get("pixel_values")
        return Layout(len(vision.checked_images(type(self).__name__, images, self.config.num_channels)), 1)


class Encoder(nn.Module):
    """A stack of `stages`."""

    stages: nn.ModuleList
    gradient_checkpointing: bool = False

    def forward(
        self, hidden_states: Tensor, output_hidden_states: bool | None = False, return_dict: bool | None = True
    ) -> Any:
        """A map (B, D, H, W) through all stages."""
        if hidden_states.dim() != 4:
            raise InputError(
                f"a map has four dimensions, (batch, width, height, width), not {tuple(hidden_states.shape)}."
            )
        states = [hidden_states]
        for stage in self.stages:
            kept = not (self.gradient_checkpointing and self.training)
            states.append(stage(states[-1]) if kept else checkpoint(stage, states[-1], use_reentrant=False))
        found = outputs.BaseModelOutputWithNoAttention(states[-1], tuple(states) if output_hidden_states else None)
        return found if return_dict in (None, True) else found.to_tuple()


class MapBody(ReadsMaps):
    """A model without a head: STEM, `encoder`, and the mean of the last map."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", *OPTIONS)
    STEM: ClassVar[str] = "embeddings"
    encoder: Any

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Encode pictures. pixel_values: (B, C, H, W)."""
        self.layout_of_inputs(inputs)
        asked = self.options(output_hidden_states=inputs.get("output_hidden_states"))
        found = self.encoder(getattr(self, self.STEM)(inputs["pixel_values"]), **asked)
        last, states = found.last_hidden_state, found.hidden_states
        made = outputs.BaseModelOutputWithPoolingAndNoAttention(last, self.pooled(last), states)
        return self.returned(made, inputs.get("return_dict"))

    def pooled(self, last: Tensor) -> Tensor | None:
        """The vector of a picture, from its last map."""
        raise NotImplementedError


class MapClassification(ReadsMaps, vision.PooledImageClassification):
    """Label a picture. logits (B, L)."""

    OUTPUT = outputs.ImageClassifierOutputWithNoAttention
    KEYWORDS = (heads.ITEMS,)

    def body(self, inputs: dict[str, Any]) -> Any:
        return self.base_model(**{name: x for name, x in inputs.items() if name in self.base_model.arguments()})

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(rows)


class MapBackbone(Backbone):
    """A backbone of convolutions."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", *OPTIONS)
    has_attentions = False

    def as_map(self, name: str, state: Tensor, size: tuple[int, int]) -> Tensor:
        return state

    def pooled(self, last: Tensor) -> Tensor | None:
        """None: nobody reads it."""
        return None
