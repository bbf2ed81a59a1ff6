"""Attention of one layer to its own text or, where a pass has a memory, to an encoder's rows.

Letters: H heads, d width of a head.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from .ops.attention import Bias, attention
from .ops.layout import Layout
from .ops.step import Step
from .optimize import Cross


class EitherAttention(nn.Module):
    """What families with an encoder and a decoder attend by.

    LINEAR: the names of its layers: queries, keys, values, and the last. SCALE: of scores, 1/√d for None. heads: H.
    rate: of dropout. kernel: "sdpa" or "eager". is_causal: whether no column of its own text sees a later one; None
    for what the pass says.
    """

    LINEAR: ClassVar[tuple[str, str, str, str]] = ("q_proj", "k_proj", "v_proj", "out_proj")
    SCALE: ClassVar[float | None] = None
    heads: int
    rate: float
    kernel: str
    is_causal: bool | None = None

    @property
    def num_heads(self) -> int:
        """H."""
        return self.heads

    @property
    def head_dim(self) -> int:
        """d."""
        width: int = self.linear()[0].out_features
        return width // self.heads

    def linear(self) -> tuple[Any, Any, Any, Any]:
        """The four layers."""
        query, key, value, last = (getattr(self, name) for name in self.LINEAR)
        return query, key, value, last

    def bias(self, step: Step) -> Bias | None:
        """What is added to scores of the layer's own text."""
        return None

    def keys(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of rows, H · d numbers a row."""
        _, key, value, _ = self.linear()
        return key(rows), value(rows)

    def attended(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Rows to what is added to them; and the weights, where they are asked for."""
        query, _, _, last = self.linear()
        if step.memory is None:
            (key, value), memory = self.keys(rows), None
        else:
            (key, value), memory = step.crossed(self.keys, self.heads)
        context, *weights = self.attend(query(rows), key, value, step, head_mask, memory)
        return last(context), *weights

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        head_mask: Tensor | None = None,
        memory: Layout | None = None,
    ) -> tuple[Tensor, ...]:
        """Rows of H · d to the context. memory: where keys and values are, when they are an encoder's."""
        own = memory is None
        return attention(
            *(query, key, value, step),
            heads=self.heads,
            memory=memory,
            bias=self.bias(step) if own else None,
            causal=own and (step.causal if self.is_causal is None else self.is_causal),
            scale=self.SCALE,
            dropout=self.rate if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )

    def cross(self, norm: nn.Module) -> Cross:
        """The parts of attention to an encoder's rows, and the norm that a layer has for it."""
        query, key, value, last = self.linear()
        return Cross(self.heads, (query, key, value), last, norm, self.attend)
