"""DoLa: what the last layer says of the next token, against what an earlier one would have said.

    layer  0  2  4  …  last       of some early layers the one whose distribution is farthest from the last one's
    scores ▂▇▂▂     ▂▂█▇          last minus early, among the tokens that the last one finds likely

Source: Chuang et al. 2023 (arXiv 2309.03883). Letters: N rows, L early layers, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError

_LIKELY = 0.1  # of the best token's probability: tokens below it are ruled out
_DEEP, _NEAR = 40, 20  # in models of more layers, only so many of the first or the last are looked at


class Contrasted:
    """A model whose logits are contrasted with those of its early layers.

    dola_layers: "low" or "high", or the numbers of hidden states, of which 0 is what the first layer reads.
    Errors: ArgumentError for something else, and for a model whose head reads no early layer; InputError for numbers
    that it has no layer for.
    """

    def __init__(self, model: Any, dola_layers: Any) -> None:
        self.model, self.layers = model, early_layers(dola_layers, model.config)
        self.scores: Any = model.get_output_embeddings()

    def border(self) -> int | None:
        """As the model's own."""
        found: int | None = self.model.border()
        return found

    def next_logits(self, inputs: dict[str, Any], layout: Any, cache: Any, every: bool = False) -> Tensor:
        """As the model's own: (B, V) after each text, or with `every` in all rows."""
        body = self.model.base_model(
            **inputs, layout=layout, past_key_values=cache, return_dict=True, output_hidden_states=True
        )

        def read(rows: Tensor) -> Tensor:
            found: Tensor = rows.flatten(0, -2) if every else layout.last(rows)
            return found

        late = self.model.compute_logits(read(body.last_hidden_state))
        if body.hidden_states[0].shape[-1] != self.scores.weight.shape[1]:
            raise ArgumentError(
                f"dola_layers: {type(self.model).__name__} narrows its rows after the last layer, so that its head "
                "reads no earlier one. Leave dola_layers out."
            )
        early = [self.scores(read(layout.pack(body.hidden_states[i]))) for i in self.layers]
        return contrast(late.float(), torch.stack(early).float())


def early_layers(asked: Any, config: Any) -> list[int]:
    """The hidden states that `dola_layers` stands for.

    With shared embeddings the words themselves, state 0, would only say again what was read: they are left out.
    """
    last: int = config.num_hidden_layers
    tied = bool(getattr(config, "tie_word_embeddings", True))
    first = min(2, last - 1) if tied else 0
    if asked == "low":
        most = last // 2 if last <= _DEEP else _NEAR
        return list(range(first, most, 2)) or [first]
    if asked == "high":
        return list(range(last // 2 if last <= _DEEP else last - _NEAR, last, 2))
    if not isinstance(asked, (list, tuple)) or not all(isinstance(i, int) for i in asked):
        raise ArgumentError(f"dola_layers={asked!r}: give 'low', 'high', or a list of numbers of layers.")
    if not asked or not all(0 <= i < last for i in asked):
        raise InputError(
            f"dola_layers={list(asked)}: the last layer is {last}, and those before it are 0 to {last - 1}."
        )
    return list(asked)


def contrast(late: Tensor, early: Tensor) -> Tensor:
    """Scores (N, V) from logits (N, V) of the last layer and (L, N, V) of early ones: -inf for unlikely tokens."""
    chosen = early[0] if len(early) == 1 else early[_farthest(late, early), torch.arange(len(late), device=late.device)]
    mature, premature = late.log_softmax(-1), chosen.log_softmax(-1)
    likely = mature >= mature.amax(-1, keepdim=True) + math.log(_LIKELY)
    return (mature - premature).masked_fill(~likely, -torch.inf)


def _farthest(late: Tensor, early: Tensor) -> Tensor:
    """(N,) the early layer of the largest Jensen-Shannon divergence from the last."""
    p, q = late.log_softmax(-1), early.log_softmax(-1)
    middle = 0.5 * (p.exp() + q.exp())  # (L, N, V)
    apart = [(middle * (middle.log() - x)).nan_to_num().mean(-1) for x in (p, q)]
    return (apart[0] + apart[1]).argmax(0)
