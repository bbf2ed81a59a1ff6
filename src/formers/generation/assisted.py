"""Assisted decoding: tokens are guessed, all guesses are checked in one pass, and those that hold are kept.

    guess     the cat sat on the
    checked   the cat sat by          the first three hold; "by" is the model's own: four tokens for one pass

What is written is what would be without guesses. Source: Leviathan et al. 2022 (arXiv 2211.17192); prompt lookup:
Saxena 2023 (https://github.com/apoorvumang/prompt-lookup-decoding).
Letters: n guessed tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
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


def guesses(
    model: Any, config: Any, rules: Rules, assistant: Any = None, tokenizers: tuple[Any, Any] = (None, None)
) -> Guess | None:
    """Who guesses, as `generate` is asked; None for nobody. Errors: InputError for an assistant of other tokens without
    the tokenizers of both."""
    if assistant is None:
        if (layers := config.assistant_early_exit) is not None:
            return helper(FirstLayers(model, layers), _alone(rules), bool(config.do_sample))
        return lookup(config) if config.prompt_lookup_num_tokens else None
    if tokenizers[1] is not None:
        if tokenizers[0] is None:
            raise InputError("assistant_tokenizer needs the model's own beside it: give tokenizer=tokenizer.")
        return translated(assistant, *tokenizers)
    ours, others = model.config.vocab_size, assistant.config.vocab_size
    if ours != others:
        raise InputError(
            f"assistant_model has {others} tokens, and the model {ours}: give one that shares the vocabulary, or both "
            "tokenizers, tokenizer= and assistant_tokenizer=."
        )
    return helper(assistant, _alone(rules), bool(config.do_sample))


def _alone(rules: Rules) -> Callable[[Tensor, Tensor], Tensor]:
    """The rules of one text without padding."""
    return lambda ids, scores: rules(ids, torch.ones_like(ids, dtype=torch.bool), scores, [0])


def helper(assistant: Any, rules: Callable[[Tensor, Tensor], Tensor], sample: bool) -> Guess:
    """Guesses of a smaller model with the same tokens."""
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


def translated(assistant: Any, tokenizer: Any, other: Any) -> Guess:
    """Guesses of a model with another tokenizer: what it writes best, read again by ours."""
    runner, read = Runner(assistant), list[int]()

    def guess(text: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
        words = tokenizer.decode(text, skip_special_tokens=True)
        ids = other(words, add_special_tokens=False)["input_ids"]
        if not ids or most < 1:
            return text[:0], None
        same = next((i for i, (a, b) in enumerate(zip(read, ids, strict=False)) if a != b), min(len(read), len(ids)))
        if read:
            runner.back([min(same, len(ids) - 1)])
        new = torch.tensor(ids, device=text.device)
        logits = runner.begin([new], [0])
        for i in range(most):
            new = torch.cat([new, logits.argmax(-1)])
            if i + 1 < most:
                logits = runner.step(new[-1:])
        read[:] = new[:-1].tolist()
        more = other.decode(new, skip_special_tokens=True)[len(words) :]
        tokens = tokenizer(more, add_special_tokens=False)["input_ids"][:most]
        return torch.tensor(tokens, dtype=text.dtype, device=text.device), None

    return guess


class FirstLayers:
    """A model of which only the first layers are computed, and then its head.

    Errors: ArgumentError for a family whose layers are not in one list, InputError for a number that there is not.
    """

    def __init__(self, model: Any, count: int) -> None:
        body = copy.copy(model.base_model)
        name = getattr(body, "LAYERS", None)
        if name is None:
            raise ArgumentError(f"assistant_early_exit is not available for {type(model).__name__}; leave it out.")
        layers = getattr(body, name)
        if count >= len(layers):
            raise InputError(f"assistant_early_exit={count}: the model has {len(layers)} layers; give fewer.")
        body.__dict__["_modules"] = {**body._modules, name: torch.nn.ModuleList(layers[:count])}
        self.body, self.model, self.config = body, model, model.config

    def next_logits(self, inputs: dict[str, Any], layout: Any, cache: Any, every: bool = False) -> Tensor:
        """As the model's own."""
        rows = self.body(**inputs, layout=layout, past_key_values=cache, return_dict=True).last_hidden_state
        found: Tensor = self.model.compute_logits(rows.flatten(0, -2) if every else layout.last(rows))
        return found


def assisted(
    draft: Any,
    runner: Runner,
    logits: Tensor,
    rules: Rules,
    config: Any,
    guess: Guess,
    generators: Sequence[torch.Generator] | None,
    criteria: Any,
    deadline: float | None = None,
) -> Iterator[Tensor]:
    """Write one text; yields each token (1,). deadline: of time.monotonic(), after which it ends."""
    sample, apply = bool(config.do_sample), _alone(rules)
    most = int(config.prompt_lookup_num_tokens or config.num_assistant_tokens or _GUESSES)
    ahead = logits[:, None]  # (1, n, V) what follows the text, and each guess that holds
    guessed, chances = draft.ids[0, :0], None
    while not draft.ended[0]:
        text = draft.ids[0][draft.real[0]]
        for i, (token, scores) in enumerate(_held(text, guessed, chances, ahead[0], apply, sample, generators)):
            draft.keep(scores, ahead[0, i : i + 1].float())
            draft.add(torch.tensor([token], device=text.device))
            draft.check(criteria, deadline)
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
