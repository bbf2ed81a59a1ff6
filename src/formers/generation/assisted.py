"""Assisted decoding: tokens are guessed, all guesses are checked in one pass, and those that hold are kept.

    guess     the cat sat on the
    checked   the cat sat by          the first three hold; "by" is the model's own: four tokens for one pass

What is written is what would be without guesses. Source: Leviathan et al. 2022 (arXiv 2211.17192); prompt lookup:
Saxena 2023 (https://github.com/apoorvumang/prompt-lookup-decoding).
Letters: n guessed tokens, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import sampling
from .chain import Rules
from .runner import Runner
from .writing import chosen

_GUESSES, _NGRAM = 20, 2
# from the text so far, (T,), and how many tokens are wanted, to guesses (n,), and what they were drawn from, (n, V)
Guess = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]


def lookup(config: Any) -> Guess:
    """Guesses that what followed the last tokens earlier in the text follows again."""
    longest = int(config.max_matching_ngram_size or _NGRAM)

    def guess(text: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
        for size in range(min(longest, len(text) - 1), 0, -1):
            places = (text.unfold(0, size, 1) == text[-size:]).all(-1).nonzero().flatten()
            places = places[places + size < len(text)]
            if len(places):
                start = int(places[0]) + size
                return text[start : start + most], None
        return text[:0], None

    return guess


def helper(assistant: Any, rules: Callable[[Tensor, Tensor], Tensor], sample: bool, vocabulary: int) -> Guess:
    """Guesses of a smaller model with the same tokens."""
    if assistant.config.vocab_size != vocabulary:
        raise InputError(
            f"assistant_model has {assistant.config.vocab_size} tokens, and the model {vocabulary}: they must share a "
            "vocabulary."
        )
    runner = Runner(assistant)

    def guess(text: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
        if runner.cache.lengths:  # of guesses that did not hold, nothing is kept
            runner.back([len(text) - 1])
        logits, tokens, chances = runner.begin([text], [0]), text, []
        for _ in range(most):
            scores = rules(tokens[None], logits.float())
            chances.append(scores.softmax(-1)[0])
            token = sampling.draw(scores) if sample else scores.argmax(-1)
            tokens = torch.cat([tokens, token])
            logits = runner.step(token)
        return tokens[len(text) :], torch.stack(chances) if sample else None

    return guess


def assisted(
    draft: Any,
    runner: Runner,
    logits: Tensor,
    rules: Rules,
    config: Any,
    assistant: Any,
    generators: Sequence[torch.Generator] | None,
    criteria: Any,
    deadline: float | None = None,
) -> Iterator[Tensor]:
    """Write one text; yields each token (1,). deadline: of time.monotonic(), after which it ends."""
    sample = bool(config.do_sample)
    apply = lambda ids, scores: rules(ids, torch.ones_like(ids, dtype=torch.bool), scores, [0])  # noqa: E731
    if assistant is None:
        guess, most = lookup(config), int(config.prompt_lookup_num_tokens)
    else:
        guess = helper(assistant, apply, sample, logits.shape[-1])
        most = int(config.num_assistant_tokens or _GUESSES)
    ahead = logits[:, None]  # (1, n, V) what follows the text, and each guess that holds
    guessed, chances = draft.ids[0, :0], None
    while not draft.ended[0]:
        text = draft.ids[0][draft.real[0]]
        for i, (token, scores) in enumerate(_held(text, guessed, chances, ahead[0], apply, sample, generators)):
            draft.keep(scores, ahead[0, i : i + 1].float())
            draft.add(torch.tensor([token], device=text.device))
            if criteria:
                draft.stop(criteria(draft.ids, draft.kept()).tolist(), "stop")
            if deadline is not None and time.monotonic() >= deadline:
                draft.stop([True], "time")
            yield draft.ids[:, -1]
            if draft.ended[0]:
                return
        text = draft.ids[0][draft.real[0]]
        runner.back([len(text) - 1])  # without the guesses that did not hold
        left = draft.longest[0] - (draft.ids.shape[1] - draft.prompt) - 1
        if (border := runner.model.border()) is not None and len(text) <= border:
            left = min(left, border - len(text))  # what is on its other side is computed in another way
        guessed, chances = guess(text, min(most, left)) if left > 0 else (text[:0], None)
        ahead = runner.feed([0], [torch.cat([text[-1:], guessed])], every=True)[None, -1 - len(guessed) :]


def _held(
    text: Tensor,
    guessed: Tensor,
    chances: Tensor | None,
    logits: Tensor,
    rules: Callable[[Tensor, Tensor], Tensor],
    sample: bool,
    generators: Sequence[torch.Generator] | None,
) -> list[tuple[int, Tensor]]:
    """The guesses that hold, and the model's own token after them, each with its scores (1, V). logits: (n + 1, V)."""
    found: list[tuple[int, Tensor]] = []
    for i in range(len(guessed) + 1):
        scores = rules(text[None], logits[i : i + 1].float())
        if not sample:
            own = int(chosen(scores, [0], False, None))
        elif i == len(guessed) or chances is None:
            own = int(sampling.draw(scores, generators))
        else:
            own = _drawn(scores.softmax(-1)[0], chances[i], int(guessed[i]), generators)
        found.append((own, scores))
        if i == len(guessed) or own != int(guessed[i]):
            break
        text = torch.cat([text, guessed[i : i + 1]])
    return found


def _drawn(own: Tensor, chances: Tensor, token: int, generators: Sequence[torch.Generator] | None) -> int:
    """The guess with the chance own / chances, else a token drawn from what the guesses give too little of, (V,)."""
    generator = None if generators is None else generators[0]
    if float(torch.rand((), generator=generator)) < float(own[token] / chances[token]):
        return token
    left = (own - chances).clamp(min=0)
    return int(sampling.pick(left[None], generators))
