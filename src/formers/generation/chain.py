"""The processors that a configuration asks for, in the order in which they are applied.

Letters: B texts, T columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import penalties, processors, warpers
from .guidance import Guidance
from .processors import InfNanRemoveLogitsProcessor, LogitNormalization, LogitsProcessorList

Allowed = Callable[[int, Tensor], Sequence[int]]


@dataclass(frozen=True)
class Text:
    """What the rules of one text need to know of it: its number, the prompt's length, the longest that it may become,
    and the prompt's tokens (t,), which are none where it is of vectors."""

    number: int
    prompt: int
    longest: int
    ids: Tensor


def chain(
    config: Any, text: Text, eos: list[int], given: Sequence[Any] = (), allowed: Allowed | None = None
) -> LogitsProcessorList:
    """All processors of a text, those that are `given` by the caller among them."""
    last = [LogitNormalization()] if config.renormalize_logits else []
    return LogitsProcessorList([*rules(config, text, eos, allowed), *given, *warping(config, eos), *last])


def warping(config: Any, eos: list[int]) -> LogitsProcessorList:
    """The processors that look at scores alone."""
    found = LogitsProcessorList()
    if config.do_sample:
        found += list(_warpers(config, len(eos) + 1 if (config.num_beams or 1) > 1 else 1))
    return found


def rules(config: Any, text: Text, eos: list[int], allowed: Allowed | None = None) -> Iterator[Any]:
    """The processors that come first, which may look at the text."""
    c = config
    if c.sequence_bias is not None:
        yield penalties.SequenceBiasLogitsProcessor(c.sequence_bias)
    if c.encoder_repetition_penalty not in (None, 1.0) and len(text.ids):
        yield penalties.EncoderRepetitionPenaltyLogitsProcessor(c.encoder_repetition_penalty, text.ids[None])
    if c.repetition_penalty not in (None, 1.0):
        yield penalties.RepetitionPenaltyLogitsProcessor(c.repetition_penalty)
    if getattr(c, "presence_penalty", None):
        yield penalties.PresencePenaltyLogitsProcessor(c.presence_penalty, text.prompt)
    if getattr(c, "frequency_penalty", None):
        yield penalties.FrequencyPenaltyLogitsProcessor(c.frequency_penalty, text.prompt)
    if c.no_repeat_ngram_size:
        yield penalties.NoRepeatNGramLogitsProcessor(c.no_repeat_ngram_size)
    if c.encoder_no_repeat_ngram_size and len(text.ids):
        yield penalties.EncoderNoRepeatNGramLogitsProcessor(c.encoder_no_repeat_ngram_size, text.ids[None])
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


@dataclass(frozen=True)
class Rules:
    """The processors of a batch of texts: own ones, each applied to a text as if it were alone; those that a caller
    gives, which expect the whole batch; and those that look at scores alone.

    own: of each text. alike: whether they are the same for all, and no text has padding: then it is one call.
    guidance: who comes before all. mark: who comes after all, each text as if it were alone. normal: whether scores
    become log probabilities then. numbers: those of the texts.
    """

    own: Sequence[LogitsProcessorList]
    given: LogitsProcessorList
    last: LogitsProcessorList
    alike: bool
    guidance: Guidance | None = None
    mark: Any = None
    normal: bool = False
    numbers: Sequence[int] | None = None

    def of(self, rows: Sequence[int]) -> Rules:
        """Those of these texts alone."""
        own = self.own if self.alike else [self.own[row] for row in rows]
        return replace(self, own=own, numbers=list(rows))

    def __call__(self, ids: Tensor, real: Tensor, scores: Tensor, rows: Sequence[int], **more: Any) -> Tensor:
        """Scores (B, V) after them. ids, real: (B, T) the texts so far, and which of their columns are tokens.
        rows: those that go on. more: what given ones may take beside the texts and scores."""
        if self.guidance is not None:
            numbers = rows if self.numbers is None else [self.numbers[row] for row in rows]
            scores = self.guidance(ids, real, scores, rows, numbers)
        if self.alike:
            scores = self.own[0](ids, scores)
        elif any(self.own):
            scores = _each(self.own.__getitem__, ids, real, scores, rows)
        scores = self.last(ids, self._after_given(ids, scores, **more))
        if self.mark is not None:
            scores = _each(lambda _: self.mark, ids, real, scores, rows)
        return scores.log_softmax(-1) if self.normal else scores

    def _after_given(self, ids: Tensor, scores: Tensor, **more: Any) -> Tensor:
        found: Any = self.given(ids, scores, **more)
        if not isinstance(found, Tensor) or found.shape != scores.shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else found
            raise InputError(
                f"logits_processor gave {got} for scores of shape {tuple(scores.shape)}: a processor returns all of "
                "them, changed, in the same shape."
            )
        return found


def _each(of: Callable[[int], Any], ids: Tensor, real: Tensor, scores: Tensor, rows: Sequence[int]) -> Tensor:
    """Scores after a processor of each text, applied to it without its padding."""
    scores = scores.clone()
    for row in rows:
        scores[row] = of(row)(ids[row][real[row]][None], scores[row : row + 1])[0]
    return scores


def eos_ids(value: Any) -> list[int]:
    """The ids that end a text, as a list."""
    if value is None or isinstance(value, int):
        return [] if value is None else [value]
    return [int(token) for token in torch.as_tensor(value).flatten().tolist()]
