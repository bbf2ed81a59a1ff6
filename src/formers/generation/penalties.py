"""Rules about tokens that were written before, or that may follow them. Letters and calls: see processors.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError, RangeError
from .processors import Ids, LogitsProcessor, Tokens, positive, token_ids, whole


def _changed(scores: Tensor, ids: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Scores (B, V) with those of each row's ids (B, T) changed, once each; an id of V or more is passed over."""
    V = scores.shape[1]
    ids, wider = ids.clamp(max=V), F.pad(scores, (0, 1))
    return wider.scatter(1, ids, change(wider.gather(1, ids)))[:, :V]


def _after(input_ids: Tensor, start: int | Tensor | None, V: int) -> Tensor:
    """The ids from each row's column `start` on; those before are V where rows start at different columns."""
    if not isinstance(start, Tensor):
        return input_ids[:, start:]
    if start.shape != input_ids.shape[:1]:
        raise InputError(
            f"prompt_ignore_length has shape {tuple(start.shape)} for {len(input_ids)} texts: give one number a text."
        )
    columns = torch.arange(input_ids.shape[1], device=input_ids.device)
    return input_ids.masked_fill(columns < start.to(columns.device)[:, None], V)


def _start(value: Any) -> int | Tensor | None:
    return value if value is None or isinstance(value, Tensor) else whole("prompt_ignore_length", value, 0)


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Scores of tokens that were there divided by `penalty`, or multiplied where they are negative.

    prompt_ignore_length: columns of the prompt that do not count, a number or one a text (B,).
    Source: Keskar et al. 2019 (arXiv 1909.05858).
    """

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor | None = None) -> None:
        self.penalty = positive("penalty", penalty)
        self.prompt_ignore_length = _start(prompt_ignore_length)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids = _after(input_ids, self.prompt_ignore_length, scores.shape[1])
        return _changed(scores, ids, lambda old: torch.where(old < 0, old * self.penalty, old / self.penalty))


class PresencePenaltyLogitsProcessor(LogitsProcessor):
    """`penalty` off the scores of tokens that were there; arguments as those of the repetition penalty."""

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor | None = None) -> None:
        self.penalty = float(penalty)
        self.prompt_ignore_length = _start(prompt_ignore_length)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids = _after(input_ids, self.prompt_ignore_length, scores.shape[1])
        return _changed(scores, ids, lambda old: old - self.penalty)


class FrequencyPenaltyLogitsProcessor(PresencePenaltyLogitsProcessor):
    """The same, as often as they were there."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        V = scores.shape[1]
        ids = _after(input_ids, self.prompt_ignore_length, V).clamp(max=V)
        off = scores.new_full((1, 1), -self.penalty).expand_as(ids)
        return F.pad(scores, (0, 1)).scatter_add(1, ids, off)[:, :V]


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Scores of tokens of the source, `encoder_input_ids` (B or a part of it, S), raised by the factor `penalty`."""

    def __init__(self, penalty: float, encoder_input_ids: Tensor) -> None:
        self.penalty = 1 / positive("penalty", penalty)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids = _a_row_each(self.encoder_input_ids, len(scores))
        return _changed(scores, ids, lambda old: torch.where(old < 0, old * self.penalty, old / self.penalty))


def _a_row_each(source: Tensor, rows: int) -> Tensor:
    """The source (b, S) of each row (B, S), where b texts have B / b rows each."""
    return source.repeat_interleave(max(1, rows // len(source)), 0)


def _without_repeats(scores: Tensor, input_ids: Tensor, history: Tensor, n: int) -> Tensor:
    """Scores (B, V) without the tokens that made an n-gram of `history` (B, S) with the last n - 1 of input_ids."""
    windows = history.shape[1] - n + 1
    if windows < 1 or input_ids.shape[1] < n - 1:
        return scores
    same = torch.ones_like(history[:, :windows], dtype=torch.bool)  # (B, windows)
    for back in range(1, n):
        same &= history[:, n - 1 - back :][:, :windows] == input_ids[:, -back, None]
    rows, starts = same.nonzero(as_tuple=True)
    ids = history[rows, starts + n - 1]
    known = ids < scores.shape[1]
    return scores.index_put((rows[known], ids[known]), scores.new_tensor(-torch.inf))


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No n-gram twice."""

    def __init__(self, ngram_size: int) -> None:
        self.ngram_size = whole("no_repeat_ngram_size", ngram_size, 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return _without_repeats(scores, input_ids, input_ids, self.ngram_size)


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No n-gram of the source, `encoder_input_ids` (S,) or (B or a part of it, S)."""

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Tensor) -> None:
        self.ngram_size = whole("encoder_no_repeat_ngram_size", encoder_ngram_size, 1)
        self.encoder_input_ids = encoder_input_ids[None] if encoder_input_ids.dim() == 1 else encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        source = _a_row_each(self.encoder_input_ids, len(scores)).to(input_ids.device)
        return _without_repeats(scores, input_ids, source, self.ngram_size)


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """A number added to the score of a token where it would complete a sequence.

    sequence_bias: {(5, 8): -2.0} or [[[5, 8], -2.0]]: sequences of ids and what is added.
    Errors: InputError for another form, RangeError for ids that the vocabulary has not, when it is first called.
    """

    def __init__(self, sequence_bias: Any) -> None:
        self.sequence_bias = _biases(sequence_bias)
        self._placed: tuple[Any, list[tuple[Tensor, Tensor, Tensor]]] | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        for before, last, bias in self._groups(scores):
            length = before.shape[1]
            if length > input_ids.shape[1]:
                continue
            ends = input_ids[:, input_ids.shape[1] - length :]
            follows = (ends[:, None] == before).all(-1)  # (B, sequences)
            scores = scores.index_add(1, last, torch.where(follows, bias, 0.0).to(scores.dtype))
        return scores

    def _groups(self, scores: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each length: what comes before (sequences, length - 1), the last ids and the biases, on the device."""
        place = (scores.shape[1], scores.device)
        if self._placed is None or self._placed[0] != place:
            if outside := [ids for ids in self.sequence_bias if max(ids) >= place[0]]:
                raise RangeError(
                    f"The sequence {list(outside[0])} has an id outside of the vocabulary, 0 to {place[0] - 1}. "
                    "Make sequences with the tokenizer of this model."
                )
            groups: dict[int, list[tuple[int, ...]]] = {}
            for ids in self.sequence_bias:
                groups.setdefault(len(ids), []).append(ids)
            made = []
            for n, sequences in groups.items():
                table = torch.tensor(sequences, device=scores.device)
                bias = torch.tensor([self.sequence_bias[s] for s in sequences], device=scores.device)
                made.append((table[:, : n - 1], table[:, -1], bias))
            self._placed = place, made
        return self._placed[1]


def _biases(given: Any) -> dict[tuple[int, ...], float]:
    try:
        pairs = list(given.items() if isinstance(given, Mapping) else given)
        table = {tuple(ids): float(bias) for ids, bias in pairs}
    except (TypeError, ValueError):
        table = {}
    if not table or not all(_is_sequence(ids) for ids in table):
        raise InputError(
            f"sequence_bias={str(given)[:200]}: give sequences of token ids with what is added to them, "
            "{(5, 8): -2.0} or [[[5, 8], -2.0]]."
        )
    return table


def _is_sequence(ids: Any) -> bool:
    numbers = isinstance(ids, (list, tuple)) and len(ids) > 0
    return numbers and all(hasattr(i, "__index__") and not isinstance(i, bool) and i >= 0 for i in ids)


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """Some sequences of ids never come. The end alone, if it is among them, may."""

    def __init__(self, bad_words_ids: Sequence[Sequence[int]], eos_token_id: Ids | None = None) -> None:
        lists = isinstance(bad_words_ids, (list, tuple))
        if not lists or not bad_words_ids or not all(_is_sequence(ids) for ids in bad_words_ids):
            raise InputError(
                f"bad_words_ids={str(bad_words_ids)[:200]}: give a list of lists of token ids, "
                "tokenizer(words, add_special_tokens=False).input_ids."
            )
        ends = [] if eos_token_id is None else token_ids("eos_token_id", eos_token_id).tolist()
        self.bad_word_ids = bad_words_ids
        self.sequence_bias = {tuple(ids): -torch.inf for ids in bad_words_ids if not (len(ids) == 1 and ids[0] in ends)}
        self._placed = None


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Only the tokens that `prefix_allowed_tokens_fn(text, ids)` gives: the text's number, and its ids so far (T,).

    Where all that is allowed to the beams of a text has -inf, it gets 0. Errors: InputError where nothing is allowed.
    Source: De Cao et al. 2020 (arXiv 2010.00904).
    """

    def __init__(self, prefix_allowed_tokens_fn: Callable[[int, Tensor], Any], num_beams: int) -> None:
        self._prefix_allowed_tokens_fn, self._num_beams = prefix_allowed_tokens_fn, num_beams

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        mask = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids):
            mask[row, self._allowed(row // self._num_beams, ids, scores)] = 0
        left = scores + mask
        none = left.amax(-1).isneginf().view(-1, self._num_beams).all(-1)  # (texts,)
        return torch.where(none.repeat_interleave(self._num_beams)[:, None], mask, left)

    def _allowed(self, text: int, ids: Tensor, scores: Tensor) -> Tensor:
        given = self._prefix_allowed_tokens_fn(text, ids)
        if isinstance(given, str) or not (isinstance(given, Tensor) or hasattr(given, "__iter__")):
            raise InputError(f"prefix_allowed_tokens_fn gave {given!r} for text {text}: give a list of token ids.")
        allowed = token_ids("prefix_allowed_tokens_fn", given, 0)
        if not len(allowed):
            raise InputError(
                f"prefix_allowed_tokens_fn allows nothing after the {len(ids)} tokens of text {text}: it has to give "
                "at least one id, the end's for example."
            )
        return Tokens(allowed).required("prefix_allowed_tokens_fn", scores)


class HammingDiversityLogitsProcessor(LogitsProcessor):
    """`diversity_penalty` off the scores of tokens that earlier groups of beams have just taken, for each of them.

    current_tokens (texts·num_beams,): what each beam takes in this step, known for the groups before. Gives scores of
    the rows of group `beam_group_idx`. Source: Vijayakumar et al. 2016 (arXiv 1610.02424).
    """

    def __init__(self, diversity_penalty: float, num_beams: int, num_beam_groups: int) -> None:
        self._diversity_penalty = positive("diversity_penalty", diversity_penalty)
        self._num_beams = whole("num_beams", num_beams, 2)
        self._num_beam_groups = whole("num_beam_groups", num_beam_groups, 2)
        if num_beam_groups > num_beams:
            raise InputError(f"num_beam_groups={num_beam_groups}: at most one a beam, and num_beams={num_beams}.")
        self._num_sub_beams = num_beams // num_beam_groups

    def __call__(  # type: ignore[override]
        self, input_ids: Tensor, scores: Tensor, current_tokens: Tensor, beam_group_idx: int
    ) -> Tensor:
        start = beam_group_idx * self._num_sub_beams
        size = min(self._num_sub_beams, self._num_beams - start)
        taken = current_tokens.view(-1, self._num_beams)[:, :start].repeat_interleave(size, 0)  # (rows, start)
        return scores.scatter_add(1, taken, scores.new_full((1, 1), -self._diversity_penalty).expand_as(taken))
