"""Step: what one pass through a model's layers carries beside the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import InputError
from .attention import scores_hidden
from .layout import Layout


@dataclass(frozen=True)
class Step:
    """One pass: made by the model, or by a module that is called by hand, and read by attention.

    layout: where the rows are in the batch.
    causal: whether no column sees a later one; it is for modules that are decoders by their configuration.
    output_attentions, output_hidden_states: what is asked for beside the last rows.
    shared: what the family derives once for all layers: rotary turns, biases.
    cache: the keys and values of earlier tokens, to which those of this pass are added; None for none.
    layer: the number of the layer that is being run.
    memory: what layers attend to beside their own text: the rows of an encoder and their layout.
    crossing: what weights of attention to the memory are multiplied by, for each layer; None where nothing is.
    routed: what layers that choose among experts add their logits to, rows of the layout; None where nobody asks.
    """

    layout: Layout
    causal: bool = False
    output_attentions: bool = False
    output_hidden_states: bool = False
    shared: Any = None
    cache: Any = None
    layer: int = 0
    memory: tuple[Tensor, Layout] | None = None
    crossing: Sequence[Tensor | None] | None = None
    routed: list[Tensor] | None = None

    def alone(self) -> Step:
        """The same pass for modules that attend to their own text."""
        return self if self.memory is None else replace(self, memory=None)

    def across_mask(self) -> Tensor | None:
        """What weights of attention to the memory are multiplied by in this layer."""
        return None if self.crossing is None else self.crossing[self.layer]

    def crossed(
        self, project: Callable[[Tensor], tuple[Tensor, Tensor]], heads: int
    ) -> tuple[tuple[Tensor, Tensor], Layout]:
        """Keys and values of the memory in this layer, and their layout; `project` makes them, once for a cache."""
        assert self.memory is not None  # layers ask where there is one
        rows, layout = self.memory
        if self.cache is None:
            return project(rows), layout
        made: Any
        if self.layer not in self.cache.crossed:
            whole = (layout.unpack(x) for x in project(rows))
            made = tuple(x.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous() for x in whole)  # (M, H, K, d)
            self.cache.crossed[self.layer] = made
        found = self.cache.crossed[self.layer]
        if self.cache.memory is None:
            given, shape = (len(found[0]), found[0].shape[2]), (layout.batch, layout.columns)
            if given != shape:  # of tuples that a caller made
                raise InputError(
                    f"past_key_values hold keys of {given[0]} texts of {given[1]} columns for the encoder, but its "
                    f"rows are of {shape[0]} texts of {shape[1]} columns: give both of the same texts."
                )
            self.cache.memory = layout if layout.index is None else Layout(*shape, mask=layout.tokens)
        made = self.cache.memory_of_pass(self.layer)
        return made

    def extended(self, like: Tensor) -> Tensor:
        """The mask as other people's modules expect it, in the type of `like`: (B, 1 or H, 1 or T, T), 0 where a query
        sees a key and the smallest number where it does not. It has this step as the attribute `step`, for modules of
        ours that it is handed on to."""
        T = self.layout.columns
        hidden = scores_hidden(self.layout, T, T, like, causal=self.causal)
        mask: Any = like.new_zeros(self.layout.batch, 1, 1, T) if hidden is None else hidden.clone()
        mask.step = self
        return mask
