"""What `generate` returns when it is asked for more than tokens.

Letters: B texts, times `num_return_sequences`; T columns, s generated ones; V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..outputs import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    """`sequences` (B, T + s). `scores`, `logits`: (B, V) for each generated column, after and before the processors.
    `attentions`, `hidden_states`: for each pass what the model returned. `ended`: why each text ended: "eos", "length",
    "stop" or "time"."""

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    attentions: tuple[Any, ...] | None = None
    hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None
    ended: list[str] | None = None


@dataclass
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """As GenerateDecoderOnlyOutput; `scores` are of all beams. `sequences_scores` (B,): the sum of log probabilities
    over the length to the power `length_penalty`. `beam_indices` (B, s): the row of `scores` that each token came
    from."""

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    attentions: tuple[Any, ...] | None = None
    hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None


def collected(runner: Any, config: Any) -> dict[str, Any]:
    """Attentions and hidden states of every pass, where they were asked for."""
    passes = getattr(runner, "outputs", [])
    found = {}
    for name, asked in (("attentions", config.output_attentions), ("hidden_states", config.output_hidden_states)):
        found[name] = tuple(one[name] for one in passes) if asked and passes else None
    return found


# by the ways of choosing, in 4.20
GreedySearchDecoderOnlyOutput = SampleDecoderOnlyOutput = ContrastiveSearchDecoderOnlyOutput = GenerateDecoderOnlyOutput
BeamSearchDecoderOnlyOutput = BeamSampleDecoderOnlyOutput = GenerateBeamDecoderOnlyOutput
