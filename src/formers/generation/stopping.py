"""When a text is done.

Each criterion is called with input_ids (B, T), the texts so far, and the scores of the steps, a tuple of (B, V) or
None, and gives a bool a text, (B,). Letters: B texts, T columns so far, V vocabulary.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..logging import logger, warn_once
from .processors import Ids, name_of, token_ids


class StoppingCriteria:
    """Base of the criteria: `criterion(input_ids, scores)` gives a bool a text, (B,), or one for all."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __call__(input_ids, scores), which says what is done.")


class StoppingCriteriaList(list[Any]):
    """Criteria, or functions of (input_ids, scores): a text is done where any of them says so."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Bool (B,). Errors: InputError for a criterion that gives something else than a bool or (B,)."""
        done = _all(input_ids, False)
        for criterion in self:
            if isinstance(criterion, type):
                raise ArgumentError(f"{criterion.__name__} is a class: give an instance, {criterion.__name__}(…).")
            told = criterion(input_ids, scores, **kwargs)
            if told is None:
                raise InputError(f"{name_of(criterion)} gave None: a criterion returns True or False, or one a text.")
            told = torch.as_tensor(told, device=done.device).bool()
            if told.shape not in ((), (1,), done.shape):
                raise InputError(
                    f"{name_of(criterion)} gave a tensor of shape {tuple(told.shape)} for {len(done)} texts: "
                    "give one bool, or one a text."
                )
            done = done | told
        return done

    @property
    def max_length(self) -> int | None:
        """The columns that a criterion among them allows; None without one."""
        return next((c.max_length for c in self if isinstance(c, (MaxLengthCriteria, MaxNewTokensCriteria))), None)


def _all(input_ids: Tensor, done: bool) -> Tensor:
    return torch.full(input_ids.shape[:1], done, device=input_ids.device)


class MaxLengthCriteria(StoppingCriteria):
    """There are `max_length` columns, the prompt's among them. Texts beyond `max_position_embeddings` are warned of."""

    def __init__(self, max_length: int, max_position_embeddings: int | None = None) -> None:
        self.max_length, self.max_position_embeddings = max_length, max_position_embeddings

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        columns, most = input_ids.shape[1], self.max_position_embeddings
        if most is not None and most < columns < self.max_length:
            warn_once(
                f"A text has more than the {most} tokens that the model was made for, and max_length={self.max_length} "
                "lets it go on: what follows may be poor, or an error. Set max_length or max_new_tokens to fewer."
            )
        return _all(input_ids, columns >= self.max_length)


class MaxNewTokensCriteria(StoppingCriteria):
    """There are `max_new_tokens` columns after the first `start_length`."""

    def __init__(self, start_length: int, max_new_tokens: int) -> None:
        self.start_length, self.max_new_tokens = start_length, max_new_tokens
        self.max_length = start_length + max_new_tokens

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return _all(input_ids, input_ids.shape[1] >= self.max_length)


class MaxTimeCriteria(StoppingCriteria):
    """More than `max_time` seconds are gone since `initial_timestamp`, a `time.time()`; since now where it is None."""

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = max_time
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return _all(input_ids, time.time() - self.initial_timestamp > self.max_time)


class EosTokenCriteria(StoppingCriteria):
    """The end, one of `eos_token_id`, is among the last `new_token_length` columns."""

    def __init__(self, eos_token_id: Ids) -> None:
        self.eos_token_id = token_ids("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Any, new_token_length: int = 1, **kwargs: Any) -> Tensor:
        self.eos_token_id = self.eos_token_id.to(input_ids.device)
        last = input_ids[:, max(0, input_ids.shape[1] - new_token_length) :]
        return (last[..., None] == self.eos_token_id).flatten(1).any(1)


class ConfidenceCriteria(StoppingCriteria):
    """The last token's probability is below a bar: what an assistant model proposes is no longer worth checking."""

    def __init__(self, assistant_confidence_threshold: float) -> None:
        self.assistant_confidence_threshold = assistant_confidence_threshold

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        shares = scores[-1].softmax(-1).gather(1, input_ids[:, -1:])[:, 0]
        return shares < self.assistant_confidence_threshold


class StopStringCriteria(StoppingCriteria):
    """A stop string ends in the last token's text; more may follow it there.

    Strings are looked for in the decoded text, whatever tokens they are made of. One that the prompt holds already does
    not count, but one that begins in it does.

    Errors: InputError without a tokenizer, without strings, or for an empty one.
    """

    def __init__(self, tokenizer: Any, stop_strings: str | Sequence[str]) -> None:
        strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
        if tokenizer is None:
            raise InputError(f"stop_strings={strings!r} needs the tokenizer: model.generate(…, tokenizer=tokenizer).")
        if not strings or not all(isinstance(s, str) and s for s in strings):
            raise InputError(f"stop_strings={stop_strings!r}: give a text or a list of texts, none of them empty.")
        self.tokenizer, self.stop_strings = tokenizer, strings
        # a token may be one byte of a character; some more, because decoders treat the first token in their own way
        self._window = max(len(s.encode()) for s in strings) + 8

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        rows = input_ids[:, max(0, input_ids.shape[1] - self._window) :].tolist()
        return torch.tensor([self._stops(row) for row in rows], device=input_ids.device)

    def _stops(self, ids: list[int]) -> bool:
        text = self._decoded(ids)
        if not any(s in text for s in self.stop_strings):
            return False
        for back in range(1, 5):  # a character whose bytes are not all there yet may hide those before it
            old = self._decoded(ids[:-back])
            if not old.endswith("\ufffd"):
                break
        start = len(old.rstrip("\ufffd"))
        return any(text.find(s, max(0, start - len(s) + 1)) >= 0 for s in self.stop_strings)

    def _decoded(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def validate_stopping_criteria(stopping_criteria: StoppingCriteriaList, max_length: int) -> StoppingCriteriaList:
    """A copy of the criteria with one for `max_length`, if there is none yet."""
    there = stopping_criteria.max_length
    if there is not None and there != max_length:
        logger.warning(
            f"max_length={max_length}, but the stopping criteria have {there}, which holds. Give one of them."
        )
    criteria = copy.deepcopy(stopping_criteria)
    if there is None:
        criteria.append(MaxLengthCriteria(max_length))
    return criteria
