"""Rules that change scores before a token is chosen: penalties, bans, what must come. Warpers are in warpers.py.

Each is called with input_ids (B, T), the texts so far, and scores (B, V), logits or log probabilities, and returns
scores (B, V); what it was given stays as it is. Names, arguments and results are those of Transformers. Its processors
for single models (Whisper, Bark, Dia, codebooks) and SynthIDTextWatermarkLogitsProcessor are not here; as any function
of these arguments, they work in a list.

Letters: B rows (texts, or beams of them), T columns so far, V vocabulary, n length of an n-gram, S columns of a source.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError, RangeError

Ids = int | Sequence[int] | Tensor


class LogitsProcessor:
    """Base of the processors: `processor(input_ids, scores)` gives scores."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        raise NotImplementedError(
            f"{type(self).__name__} has no __call__(input_ids, scores), which gives the new scores."
        )


class LogitsProcessorList(list[Any]):
    """Processors, or functions of (input_ids, scores), one after the other."""

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        """Scores (B, V) after all of them. Keywords go to those that take more than two arguments.

        Errors: ArgumentError for one that needs an argument that is not given.
        """
        for processor in self:
            if isinstance(processor, type):
                raise ArgumentError(f"{processor.__name__} is a class: give an instance, {processor.__name__}(…).")
            kind: Any = processor if isinstance(processor, (FunctionType, MethodType)) else type(processor)
            more = _arguments(kind)
            if lacking := [name for name, needed in more.items() if needed and name not in kwargs]:
                raise ArgumentError(
                    f"{name_of(processor)} needs {', '.join(lacking)} beside "
                    "input_ids and scores: call the list with it, as a keyword."
                )
            scores = processor(input_ids, scores, **{name: kwargs[name] for name in more if name in kwargs})
        return scores


def name_of(function: Any) -> str:
    """What a function, or an object that is called as one, is named in errors."""
    return str(getattr(function, "__name__", type(function).__name__))


def listed(name: str, given: Any) -> list[Any]:
    """A caller's functions as a list; ArgumentError for one that is none."""
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        raise ArgumentError(f"{name} is a {type(given).__name__}: give a list, {name}=[…].")
    return list(given)


@lru_cache(256)
def _arguments(processor: Any) -> dict[str, bool]:
    """What it takes after input_ids and scores, and whether it needs that."""
    call = processor.__call__ if isinstance(processor, type) else processor
    if not isinstance(call, (FunctionType, MethodType)):
        return {}
    named = [p for p in inspect.signature(call).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {p.name: p.default is p.empty for p in named[3 if isinstance(processor, type) else 2 :]}


# ---- what a caller gives


def positive(name: str, value: Any) -> float:
    """A number above 0, or InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(f"{name}={value!r}: give a number above 0.")
    return float(value)


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`, or InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r}: give a whole number, at least {least}.")
    return value


def token_ids(name: str, value: Any, least: int | None = None) -> Tensor:
    """An id, a list or a tensor of ids as a tensor of one dimension; InputError for what is none."""
    ids = value if isinstance(value, Tensor) else torch.tensor([value] if isinstance(value, int) else list(value))
    if (ids.numel() and ids.is_floating_point()) or (least is not None and bool((ids < least).any())):
        raise InputError(f"{name}={value!r}: give a token id or a list of them, whole numbers from 0.")
    return ids.long().reshape(-1)


class Tokens:
    """Token ids where the scores are: the part of them that the vocabulary has."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids
        self._placed: tuple[Any, Tensor] | None = None

    def on(self, scores: Tensor) -> Tensor:
        """The ids that are columns of scores (B, V), on their device."""
        place = (scores.shape[-1], scores.device)
        if self._placed is None or self._placed[0] != place:
            inside = self.ids[(self.ids >= 0) & (self.ids < place[0])]
            self._placed = place, inside.to(scores.device)
        return self._placed[1]

    def required(self, name: str, scores: Tensor) -> Tensor:
        """The same, but RangeError where the vocabulary lacks one of them."""
        if len(found := self.on(scores)) != len(self.ids):
            raise RangeError(f"{name}={self.ids.tolist()}: the vocabulary has {scores.shape[-1]} tokens, from 0 on.")
        return found


def banned(scores: Tensor, ids: Tensor) -> Tensor:
    """Scores with the columns `ids` at -inf."""
    return scores.index_fill(1, ids, -torch.inf)


def only(scores: Tensor, ids: Any) -> Tensor:
    """Scores with 0 in the columns `ids`, and -inf in all others."""
    forced = torch.full_like(scores, -torch.inf)
    forced[:, ids] = 0
    return forced


# ---- length


class MinLengthLogitsProcessor(LogitsProcessor):
    """No end before there are `min_length` columns, the prompt's among them."""

    def __init__(self, min_length: int, eos_token_id: Ids, device: Any = "cpu") -> None:
        self.min_length = whole("min_length", min_length, 0)
        self.eos_token_id = token_ids("eos_token_id", eos_token_id)
        self._ends = Tokens(self.eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return banned(scores, self._ends.on(scores)) if input_ids.shape[-1] < self.min_length else scores


class MinNewTokensLengthLogitsProcessor(MinLengthLogitsProcessor):
    """No end before there are `min_new_tokens` columns after the prompt's `prompt_length_to_skip`."""

    def __init__(self, prompt_length_to_skip: int, min_new_tokens: int, eos_token_id: Ids, device: Any = "cpu") -> None:
        self.prompt_length_to_skip = whole("prompt_length_to_skip", prompt_length_to_skip, 0)
        self.min_new_tokens = whole("min_new_tokens", min_new_tokens, 0)
        super().__init__(prompt_length_to_skip + min_new_tokens, eos_token_id)


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """Scores of the end that grow by a factor a token, once a text has some length.

    exponential_decay_length_penalty: (new tokens after which it begins, the factor). With s the score of the end, it
    gets |s|·(factorⁱ - 1) more, i tokens later.
    """

    def __init__(
        self, exponential_decay_length_penalty: tuple[int, float], eos_token_id: Ids, input_ids_seq_length: int
    ) -> None:
        self.regulation_start = exponential_decay_length_penalty[0] + input_ids_seq_length
        self.regulation_factor = exponential_decay_length_penalty[1]
        self.eos_token_id = token_ids("eos_token_id", eos_token_id, 0)
        self._ends = Tokens(self.eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        late = input_ids.shape[-1] - self.regulation_start
        if late <= 0:
            return scores
        ends = self._ends.on(scores)
        old = scores[:, ends]
        more = old + old.abs() * (self.regulation_factor**late - 1)
        return scores.index_copy(1, ends, torch.where(old.isfinite(), more, old))


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """The first token after a prompt of one is `bos_token_id`."""

    def __init__(self, bos_token_id: int) -> None:
        self.bos_token_id = bos_token_id
        self._first = Tokens(token_ids("forced_bos_token_id", bos_token_id, 0))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[-1] != 1:
            return scores
        return only(scores, self._first.required("forced_bos_token_id", scores))


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """The token in the last of `max_length` columns is one of `eos_token_id`."""

    def __init__(self, max_length: int, eos_token_id: Ids, device: Any = "cpu") -> None:
        self.max_length = max_length
        self.eos_token_id = token_ids("eos_token_id", eos_token_id, 0)
        self._last = Tokens(self.eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[-1] != self.max_length - 1:
            return scores
        return only(scores, self._last.required("forced_eos_token_id", scores))


class ForceTokensLogitsProcessor(LogitsProcessor):
    """The tokens at some columns, from a list of pairs or a table: {column: token}. A token of None forces none."""

    def __init__(self, force_token_map: Any) -> None:
        self.force_token_map: dict[int, int | None] = dict(force_token_map)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = self.force_token_map.get(input_ids.shape[-1])
        if token is None:
            return scores
        return only(scores, Tokens(token_ids("force_token_map", token, 0)).required("force_token_map", scores))


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """Some tokens never come."""

    def __init__(self, suppress_tokens: Iterable[int], device: Any = "cpu") -> None:
        self.suppress_tokens = token_ids("suppress_tokens", suppress_tokens)
        self._tokens = Tokens(self.suppress_tokens)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return banned(scores, self._tokens.on(scores))


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """Some tokens do not come at column `begin_index`, the first that is written."""

    def __init__(self, begin_suppress_tokens: Iterable[int], begin_index: int, device: Any = "cpu") -> None:
        self.begin_suppress_tokens = token_ids("begin_suppress_tokens", begin_suppress_tokens)
        self.begin_index = begin_index
        self._tokens = Tokens(self.begin_suppress_tokens)

    def set_begin_index(self, begin_index: int) -> None:
        """Move the column."""
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return banned(scores, self._tokens.on(scores)) if input_ids.shape[-1] == self.begin_index else scores


# ---- all scores


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """Numbers instead of what is none: 0 for NaN, the largest and the smallest number for the infinities."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.nan_to_num(0.0)


class LogitNormalization(LogitsProcessor):
    """Log probabilities instead of logits."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.log_softmax(-1)


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Scores away from those without the condition: of scores (2B, V) the first half is with it; gives (B, V).

    Source: Ho & Salimans 2022 (arXiv 2207.12598).
    """

    def __init__(self, guidance_scale: float) -> None:
        if not guidance_scale > 1:
            raise InputError(f"guidance_scale={guidance_scale!r}: give a number above 1, or leave the guidance out.")
        self.guidance_scale = guidance_scale

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if len(scores) != 2 * len(input_ids):
            raise InputError(
                f"{len(scores)} rows of scores for {len(input_ids)} texts: give two a text, all those with the "
                "condition, then all those without."
            )
        guided, free = scores.chunk(2)
        return free + (guided - free) * self.guidance_scale


class UnbatchedClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """The same, asking `model` for the scores of another prompt with the same tokens after it.

    unconditional_ids (B, S): that prompt; the last token of the first one where it is None. With use_cache, the model
    is given one token at a time. Gives log probabilities. Source: Sanchez et al. 2023 (arXiv 2306.17806).
    """

    def __init__(
        self,
        guidance_scale: float,
        model: Callable[..., Any],
        unconditional_ids: Tensor | None = None,
        unconditional_attention_mask: Tensor | None = None,
        use_cache: bool = True,
    ) -> None:
        self.guidance_scale, self.model, self.use_cache = guidance_scale, model, use_cache
        self._ids, self._mask = unconditional_ids, unconditional_attention_mask
        self._past: Any = None
        self._began = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.log_softmax(-1)
        if self.guidance_scale == 1:
            return scores
        free = self._scores(input_ids[:, -1:]).log_softmax(-1)
        return self.guidance_scale * (scores - free) + free

    def _scores(self, last: Tensor) -> Tensor:
        """(B, V), of the other prompt and all that was written since."""
        if self._began and self._ids is not None and self._mask is not None:
            self._ids = last if self.use_cache else torch.cat([self._ids, last], 1)
            self._mask = torch.cat([self._mask, torch.ones_like(last)], 1)
        else:
            self._ids = last if self._ids is None else self._ids
            self._mask = torch.ones_like(self._ids) if self._mask is None else self._mask
            self._began = True
        out = self.model(self._ids, attention_mask=self._mask, use_cache=self.use_cache, past_key_values=self._past)
        self._past = getattr(out, "past_key_values", None) if self.use_cache else None
        return out.logits[:, -1]
