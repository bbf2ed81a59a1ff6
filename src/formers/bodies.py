"""What the bodies of encoders share: embeddings, a stack of layers, and maybe a vector of a text from column 0.

    inputs ─ embeddings ─▶ rows ─ stack ─▶ rows ─┬─▶ last hidden state
                                                 └─ pooler ─▶ (B, D)
Letters: B batch, T columns, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from .errors import InputError
from .layers import memory_of
from .modeling import PreTrainedModel
from .ops.layout import Layout
from .ops.step import Step
from .outputs import BaseModelOutput, ModelOutput


class Body(PreTrainedModel):
    """A model without a head. It has the modules `embeddings`, STACK (layers, each called by `layers.through`), and may
    have a `pooler`; where they are called in another way, a family has its own `embed`, `stack` or `pool`.

    EMBEDDED: of the inputs, those that `embeddings` reads.
    UNUSED: arguments of the reference's that mean something for decoders alone.
    """

    UNUSED: ClassVar[tuple[str, ...]] = ("encoder_hidden_states", "past_key_values")

    OUTPUT: ClassVar[type[ModelOutput]] = BaseModelOutput
    STACK: ClassVar[str] = "encoder"
    EMBEDDED: ClassVar[tuple[str, ...]] = ("input_ids", "token_type_ids", "position_ids", "inputs_embeds")
    embeddings: Any

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Encode a batch.

        input_ids, attention_mask (1 real, 0 padding), token_type_ids, position_ids: integers (B, T). The mask may also
        be given for each query: (B, T, T), or (B or 1, 1 or H, 1 or T, T) bool, ones and zeros, or what is added to
        scores; it then says all that may be seen.
        inputs_embeds: (B, T, D) instead of input_ids. head_mask: (H,) or (layers, H), 1 keeps a head.
        layout: the batch's layout when a head made it; the last hidden state then stays in its rows.
        Hidden states are zeros at padding.
        """
        for name in self.unused():
            if inputs.get(name) is not None:
                raise InputError(f"{type(self).__name__} here takes no {name}; leave it out.")
        pooler = getattr(self, "pooler", None)  # no attribute of the class, which would hide the module
        options: dict[str, Any] = self.options(
            **{n: inputs.get(n) for n in ("output_attentions", "output_hidden_states")}
        )
        layout: Layout | None = inputs.get("layout")
        causal = self.causal_in(inputs)
        handed = layout is not None
        cache = inputs.get("past_key_values") if handed else self.take_cache(inputs)
        if layout is None:
            layout = self.layout_of_inputs(
                inputs,
                keep_padding=cache is not None and not causal,  # what comes before has columns, not rows
                reads_first=pooler is not None or not causal,
                cache=cache,
            )
        read = [name for name in self.EMBEDDED if name in (*self.SIGNATURE, *self.KEYWORDS)]
        embedded = self.embed(layout, {name: inputs.get(name) for name in read})
        shared = self.shared(embedded, layout, inputs)
        routed: list[Tensor] | None = [] if inputs.get("output_router_logits") else None
        beside: dict[str, Any] = {"shared": shared, "cache": cache, "memory": self.memory(inputs), "routed": routed}
        if (mask := inputs.get("cross_attn_head_mask")) is not None:
            beside["crossing"] = self.head_masks(mask, self.depth(), "cross_attn_head_mask")
        step = Step(layout, causal=causal, **beside, **options)
        body = self.stack(embedded, step, self.head_masks(inputs.get("head_mask"), self.depth()))
        rows: Any = body.last_hidden_state
        if cache is not None:
            cache.advance(layout)
        last = rows if handed else layout.unpack(rows)
        fields = dict(body) | {"last_hidden_state": last}
        if cache is not None and step.causal:  # what an encoder reads is a prefix, which does not grow
            fields["past_key_values"] = cache
        if (vector := self.vector(layout, last, inputs)) is not None:
            fields["pooler_output"] = vector
        return self.returned(self.OUTPUT(**fields), inputs.get("return_dict"))

    def causal_in(self, inputs: Mapping[str, Any]) -> bool:
        """Whether no column sees a later one in a call, of which the inputs may say so in some families."""
        return self.causal()

    def unused(self) -> tuple[str, ...]:
        """The arguments that are not to be given to this model."""
        return self.UNUSED

    def depth(self) -> int:
        """How many layers there are."""
        stack = getattr(self, self.STACK)
        return len(stack.layers if hasattr(stack, "layers") else stack.layer)

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Rows from the model's inputs."""
        return self.embeddings(**inputs, layout=layout)

    def memory(self, inputs: dict[str, Any]) -> tuple[Tensor, Layout] | None:
        """The rows of an encoder that layers attend to, and their layout: those that a whole model hands over, or else
        what a call gives."""
        handed: tuple[Tensor, Layout] | None = inputs.get("memory")
        if handed is not None:
            return handed
        both = (inputs.get(name) for name in ("encoder_hidden_states", "encoder_attention_mask"))
        return memory_of(type(self).__name__, *both)

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        """What all layers read, derived once from the model's inputs."""
        return None

    def stack(self, rows: Tensor, step: Step, head_masks: Sequence[Tensor | None]) -> BaseModelOutput:
        """Rows through all layers."""
        return getattr(self, self.STACK)(rows, step, head_masks)

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor | None:
        """The `pooler_output` (B, D), from the last rows, of the layout or (B, T, D); None in models that have none."""
        return None if getattr(self, "pooler", None) is None else self.pool(layout.with_first(rows))

    def pool(self, rows: Tensor) -> Tensor:
        """The vector of a text, (B, D), from column 0 of (B, T, D), or from that column, (B, D)."""
        return self.pooler(rows)  # type: ignore[operator]
