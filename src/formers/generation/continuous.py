"""Many texts with few at a time: as one ends, the next joins.

    step   1 2 3 4 5 6 7 8
    a      ■ ■ ■ ■ ■ ■ ■ ■        the prompt of d is computed in the pass after b has ended,
    b      ■ ■ ■ d ■ ■ ■ ■        and no pass waits for the longest of a batch
    c      ■ ■ ■ ■ ■ ■ e ■

Source: Yu et al. 2022 (Orca: A Distributed Serving System for Transformer-Based Generative Models).
Letters: B texts at a time, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import sampling
from .chain import Text, chain, eos_ids
from .processors import LogitsProcessorList
from .runner import Runner
from .writing import chosen

AT_ONCE = 16  # texts; more cost about as much as they are, and make the first wait


@dataclass
class Written:
    """One text. ids: its tokens, the prompt's first. prompt: how many of them that are. ended: why: "eos", "length",
    "stop" or "time"; "" while it goes on. new: what the last step added."""

    number: int
    ids: Tensor
    prompt: int
    longest: int
    ended: str = ""
    rules: LogitsProcessorList | None = None
    generator: torch.Generator | None = None

    @property
    def new(self) -> Tensor:
        """The tokens that were written."""
        return self.ids[self.prompt :]


def write_many(
    model: Any,
    prompts: Iterable[Any],
    config: Any,
    room: Any,
    at_once: int = AT_ONCE,
    given: Sequence[Any] = (),
    criteria: Any = None,
    every_step: bool = False,
    numbered: bool = False,
) -> Iterator[Written]:
    """Write after each prompt (t,), by greedy search or sampling; yields texts as they end, or with `every_step` each
    text at each step.

    config: a GenerationConfig with all its values. room: from a prompt's length to how many new tokens it may get.
    criteria: a StoppingCriteriaList. numbered: prompts are (number, (t,)), else they are counted. They are taken when
    there is a place for them; an iterator that has none now is asked again while texts are written.
    """
    waiting = iter(prompts) if numbered else enumerate(prompts)
    eos, runner = eos_ids(config.eos_token_id), Runner(model)
    texts: dict[int, Written] = {}
    logits: dict[int, Tensor] = {}
    deadline = None if config.max_time is None else time.monotonic() + config.max_time
    while True:
        joining = _joining(waiting, at_once - len(texts), config, room, eos, given)
        for text in joining:
            texts[text.number] = text
        if joining:
            found = runner.begin([text.ids for text in joining], [text.number for text in joining])
            logits.update(zip((text.number for text in joining), found, strict=True))
            runner.cache.check_room(sum(text.longest - len(text.new) for text in texts.values()))
        if not texts:
            return
        order = sorted(texts)
        tokens = _choose(torch.stack([logits[number] for number in order]), [texts[n] for n in order], config)
        for number, token in zip(order, tokens.tolist(), strict=True):
            text = texts[number]
            text.ids = torch.cat([text.ids, tokens.new_tensor([token])])
            over = deadline is not None and time.monotonic() >= deadline
            stop = bool(criteria) and bool(criteria(text.ids[None], None)[0])
            most = len(text.new) >= text.longest
            text.ended = "eos" if token in eos else "stop" if stop else "length" if most else "time" if over else ""
            if text.ended or every_step:
                yield text
        gone = [number for number in order if texts[number].ended]
        for number in gone:
            del texts[number]
        if gone:
            runner.keep(list(texts))
        if texts:
            last = torch.stack([texts[number].ids[-1] for number in sorted(texts)])
            logits = dict(zip(sorted(texts), runner.step(last), strict=True))


def _joining(
    waiting: Iterator[tuple[int, Tensor]], places: int, config: Any, room: Any, eos: list[int], given: Sequence[Any]
) -> list[Written]:
    """The next texts, at most so many."""
    found: list[Written] = []
    while len(found) < places and (one := next(waiting, None)) is not None:
        number, ids = one
        text = Written(number, ids, len(ids), room(len(ids)))
        text.rules = chain(config, Text(number, len(ids), len(ids) + text.longest, ids), eos, given)
        if config.do_sample and config.seed is not None:
            text.generator = torch.Generator(ids.device).manual_seed(config.seed + number)
        found.append(text)
    return found


def _choose(logits: Tensor, texts: Sequence[Written], config: Any) -> Tensor:
    """(B,) the next token of each text, each by its own rules."""
    scores = logits.float()
    if any(text.rules for text in texts):
        scores = torch.cat(
            [text.rules(text.ids[None], row[None]) for text, row in zip(texts, scores, strict=True) if text.rules]
        )
    if not config.do_sample:
        return chosen(scores, (), False, None)  # which says where logits are not finite
    generators = [text.generator for text in texts if text.generator is not None]
    return sampling.draw(scores, generators or None)
