"""The processors that a configuration asks for, in the order in which they are applied.

Letters: B texts, T columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import penalties, processors, warpers
from .processors import InfNanRemoveLogitsProcessor, LogitNormalization, LogitsProcessorList

Allowed = Callable[[int, Tensor], Sequence[int]]
# what looks at scores alone
_OF_SCORES = (warpers.LogitsWarper, InfNanRemoveLogitsProcessor, LogitNormalization)


@dataclass(frozen=True)
class Text:
    """What the rules of one text need to know of it: its number, the prompt's tokens, and the longest it may become."""

    number: int
    prompt: int
    longest: int


def chain(
    config: Any, text: Text, eos: list[int], given: Sequence[Any] = (), allowed: Allowed | None = None
) -> LogitsProcessorList:
    """All processors of a text, those that are `given` by the caller among them."""
    found = LogitsProcessorList([*_rules(config, text, eos, allowed), *given])
    if config.do_sample:
        found += list(_warpers(config, len(eos) + 1 if (config.num_beams or 1) > 1 else 1))
    if config.renormalize_logits:
        found.append(LogitNormalization())
    return found


def _rules(config: Any, text: Text, eos: list[int], allowed: Allowed | None) -> Iterator[Any]:
    c = config
    if c.sequence_bias is not None:
        yield penalties.SequenceBiasLogitsProcessor(c.sequence_bias)
    if c.repetition_penalty not in (None, 1.0):
        yield penalties.RepetitionPenaltyLogitsProcessor(c.repetition_penalty)
    if getattr(c, "presence_penalty", None):
        yield penalties.PresencePenaltyLogitsProcessor(c.presence_penalty, text.prompt)
    if getattr(c, "frequency_penalty", None):
        yield penalties.FrequencyPenaltyLogitsProcessor(c.frequency_penalty, text.prompt)
    if c.no_repeat_ngram_size:
        yield penalties.NoRepeatNGramLogitsProcessor(c.no_repeat_ngram_size)
    if c.bad_words_ids is not None:
        yield penalties.NoBadWordsLogitsProcessor(c.bad_words_ids, eos or None)
    if c.min_length and eos:
        yield processors.MinLengthLogitsProcessor(c.min_length, eos)
    if c.min_new_tokens and eos:
        yield processors.MinNewTokensLengthLogitsProcessor(text.prompt, c.min_new_tokens, eos)
    if allowed is not None:
        yield penalties.PrefixConstrainedLogitsProcessor(lambda _, ids: allowed(text.number, ids), 1)
    if c.forced_bos_token_id is not None:
        yield processors.ForcedBOSTokenLogitsProcessor(c.forced_bos_token_id)
    if c.forced_eos_token_id is not None:
        yield processors.ForcedEOSTokenLogitsProcessor(text.longest, c.forced_eos_token_id)
    if c.remove_invalid_values:
        yield InfNanRemoveLogitsProcessor()
    if c.exponential_decay_length_penalty is not None:
        yield processors.ExponentialDecayLengthPenalty(c.exponential_decay_length_penalty, eos, text.prompt)
    if c.suppress_tokens is not None:
        yield processors.SuppressTokensLogitsProcessor(c.suppress_tokens)
    if c.begin_suppress_tokens is not None:
        later = text.prompt > 1 or c.forced_bos_token_id is None
        yield processors.SuppressTokensAtBeginLogitsProcessor(c.begin_suppress_tokens, text.prompt + (not later))


def _warpers(config: Any, least: int) -> Iterator[Any]:
    c = config
    if c.temperature not in (None, 1.0):
        yield warpers.TemperatureLogitsWarper(c.temperature)
    if getattr(c, "top_h", None) is not None:
        yield warpers.TopHLogitsWarper(c.top_h)
    if c.top_k:
        yield warpers.TopKLogitsWarper(c.top_k, min_tokens_to_keep=least)
    if c.top_p is not None and c.top_p < 1:
        yield warpers.TopPLogitsWarper(c.top_p, min_tokens_to_keep=least)
    if getattr(c, "min_p", None) is not None:
        yield warpers.MinPLogitsWarper(c.min_p, min_tokens_to_keep=least)
    if c.typical_p is not None and c.typical_p < 1:
        yield warpers.TypicalLogitsWarper(c.typical_p, min_tokens_to_keep=least)
    if c.epsilon_cutoff:
        yield warpers.EpsilonLogitsWarper(c.epsilon_cutoff, min_tokens_to_keep=least)
    if c.eta_cutoff:
        yield warpers.EtaLogitsWarper(c.eta_cutoff, min_tokens_to_keep=least)


class Rules:
    """The processors of a batch of texts, each applied to a text as if it were alone.

    Where no text has padding, or no processor looks at tokens, it is one call for all.
    """

    def __init__(self, chains: Sequence[LogitsProcessorList], padded: bool, given: bool) -> None:
        self.chains, self.empty = list(chains), not any(chains)
        alike = all(isinstance(p, _OF_SCORES) for p in chains[0])
        # a caller's own processors expect the whole batch
        self.together = alike or not padded or (given and len({len(c) for c in chains}) == 1)

    def __call__(self, ids: Tensor, real: Tensor, scores: Tensor, rows: Sequence[int]) -> Tensor:
        """Scores (B, V) after them. ids, real: (B, T) the texts so far, and which of their columns are tokens.
        rows: those that go on."""
        if self.empty:
            return scores
        if self.together:
            return self.chains[0](ids, scores)
        found = scores.clone()
        for row in rows:
            found[row] = self.chains[row](ids[row][real[row]][None], scores[row : row + 1])[0]
        return found


def eos_ids(value: Any) -> list[int]:
    """The ids that end a text, as a list."""
    if value is None or isinstance(value, int):
        return [] if value is None else [value]
    return [int(token) for token in torch.as_tensor(value).flatten().tolist()]
