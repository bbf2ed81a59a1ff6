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


@dataclass
class GenerateEncoderDecoderOutput(ModelOutput):
    """As GenerateDecoderOnlyOutput, of the decoder, whose `sequences` begin with its start token; and what the encoder
    said."""

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Any, ...] | None = None
    encoder_hidden_states: tuple[Any, ...] | None = None
    decoder_attentions: tuple[Any, ...] | None = None
    cross_attentions: tuple[Any, ...] | None = None
    decoder_hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None
    ended: list[str] | None = None


@dataclass
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """The same of beams."""

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    encoder_attentions: tuple[Any, ...] | None = None
    encoder_hidden_states: tuple[Any, ...] | None = None
    decoder_attentions: tuple[Any, ...] | None = None
    cross_attentions: tuple[Any, ...] | None = None
    decoder_hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None


def collected(runner: Any, config: Any, source: Any = None) -> dict[str, Any]:
    """Attentions and hidden states of every pass, where they were asked for; of a decoder, its encoder's too."""
    passes, found = getattr(runner, "outputs", []), {}
    own, part = ("attentions", "hidden_states"), "" if source is None else "decoder_"
    kept = [name for name in own if getattr(config, f"output_{name}") and passes]
    for name in own:
        found[part + name] = tuple(one[part + name] for one in passes) if name in kept else None
        if source is not None:
            found[f"encoder_{name}"] = source.encoded.get(name) if name in kept else None
    if source is not None:
        crossed = "attentions" in kept
        found["cross_attentions"] = tuple(one.cross_attentions for one in passes) if crossed else None
    return found


# by the ways of choosing, in 4.20
GreedySearchDecoderOnlyOutput = SampleDecoderOnlyOutput = ContrastiveSearchDecoderOnlyOutput = GenerateDecoderOnlyOutput
BeamSearchDecoderOnlyOutput = BeamSampleDecoderOnlyOutput = GenerateBeamDecoderOnlyOutput
GreedySearchEncoderDecoderOutput = SampleEncoderDecoderOutput = GenerateEncoderDecoderOutput
ContrastiveSearchEncoderDecoderOutput = GenerateEncoderDecoderOutput
BeamSearchEncoderDecoderOutput = BeamSampleEncoderDecoderOutput = GenerateBeamEncoderDecoderOutput
