"""The searches with beams that a task asks for, and what they return.

Letters: B texts, T columns of prompts, s generated columns, R = num_return_sequences, K beams, C candidates,
V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import beams, groups, outputs
from .constrained import Banks
from .constraints import constraints_of
from .penalties import HammingDiversityLogitsProcessor
from .runner import Runner

if TYPE_CHECKING:
    from .scorers import Finished
    from .task import Task


def beam_search(task: Task) -> Any:
    """Beams, the best or drawn."""
    c, K, R = task.config, task.beams, task.returned
    runner, logits = task.begin()
    rules, stores = task.rules(), _stores(c)

    def apply(tokens: Tensor, found: Tensor, texts: Tensor) -> Tensor:
        rows = None if len(tokens) == len(task.ids) else beams.rows_of(texts, K)
        ids, real = _so_far(task, tokens, rows)
        return (rules if rows is None else rules.of(rows))(ids, real, found, range(len(ids)))

    of_caller = task.given or task.criteria or rules.guidance is not None  # which expect the whole batch
    leave = type(runner) is Runner and not (c.do_sample or of_caller) and stores == (None, None)
    asked = beams.Search(
        K, max(task.longest), len(task.eos), lambda tokens, texts: _ends(task, tokens, texts), _length_penalty(c),
        c.early_stopping or False, bool(c.do_sample), task.pad, leave,
    )  # fmt: skip
    if task.whole.dim() == 2:
        runner.recall = lambda row: torch.cat([task.prompts[row // K], runner.written[row]])
    done = beams.search(asked, runner, logits, apply, stores, task.deadline)
    origins = done.origins[:, :R].flatten(0, 1)
    length = int((origins >= 0).sum(1).max())
    tokens = done.tokens[:, :R].flatten(0, 1)[:, :length]
    return _results(task, runner, tokens, done.scores[:, :R].flatten(), origins[:, :length], stores)


def group_search(task: Task) -> Any:
    """Beams in groups, or one group of texts that have to contain something."""
    c, K, R = task.config, task.beams, task.returned
    before = task.tokens
    wanted = constraints_of(c, getattr(task.model.config, "vocab_size", None))
    guide = Banks(wanted, before, K) if wanted else None
    runner, logits = task.begin()
    runner.recall = None  # of groups it is not known which tokens a row has
    rules, stores, count = task.rules(), _stores(c), (c.num_beam_groups or 1) if guide is None else 1
    diverse = HammingDiversityLogitsProcessor(c.diversity_penalty, K, count) if c.diversity_penalty else None

    def apply(g: int, rows: list[int], tokens: Tensor, found: Tensor, taken: Tensor, live: list[int]) -> Tensor:
        ids, real = _so_far(task, tokens, rows)
        if diverse is not None:
            found = diverse(ids, found, taken, g)
        return rules.of(rows)(ids, real, found, live, current_tokens=taken, beam_group_idx=g)

    lengths = [len(prompt) for prompt in before]
    asked = groups.Search(
        K, count, lengths, task.longest[::K], task.eos, lambda tokens: _stopped(task, tokens), _length_penalty(c),
        c.early_stopping or False, R, guide,
    )  # fmt: skip
    kept = groups.search(asked, runner, logits, apply, stores, task.deadline)
    best = [text for one in kept for text in one.best(R)]
    if guide is not None:
        guide.warn_of_lacking(before, [text.tokens for text in best])
    return _results(task, runner, *_padded(task, best), stores)


def _padded(task: Task, texts: list[Finished]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (B · R, s), scores (B · R,) and origins (B · R, s) of finished texts."""
    device, length = task.ids.device, max(len(text.tokens) for text in texts)
    tokens = [text.tokens + [task.pad] * (length - len(text.tokens)) for text in texts]
    origins = [text.origins + [-1] * (length - len(text.origins)) for text in texts]
    scores = torch.tensor([text.score for text in texts], device=device)
    return torch.tensor(tokens, device=device), scores, torch.tensor(origins, device=device)


def _results(task: Task, runner: Any, tokens: Tensor, scores: Tensor, origins: Tensor, stores: tuple[Any, Any]) -> Any:
    c, ids = task.config, task.ids[:: task.beams].repeat_interleave(task.returned, 0)
    sequences = torch.cat([ids, tokens], dim=1)
    if not c.return_dict_in_generate:
        return sequences
    most = max(runner.cache.lengths, default=0)  # at least as many new columns as there are
    beams_of = outputs.GenerateBeamDecoderOnlyOutput
    kind = beams_of if task.encoder is None else outputs.GenerateBeamEncoderDecoderOutput
    return kind(
        sequences=sequences,
        sequences_scores=scores if c.output_scores else None,
        scores=None if stores[0] is None else tuple(stores[0]),
        logits=None if stores[1] is None else tuple(stores[1]),
        beam_indices=origins,
        **outputs.collected(runner, c, task.encoder),
        past_key_values=runner.finish(task.columns(torch.ones(len(task.ids), most, dtype=torch.bool))),
    )


def _stores(c: Any) -> tuple[list[Tensor] | None, list[Tensor] | None]:
    named = bool(c.return_dict_in_generate)
    return [] if named and c.output_scores else None, [] if named and c.output_logits else None


def _length_penalty(c: Any) -> float:
    return 1.0 if c.length_penalty is None else c.length_penalty


def _so_far(task: Task, tokens: Tensor, rows: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """The texts of these rows with their generated tokens, and which columns hold some."""
    at = slice(None) if rows is None else torch.tensor(rows, device=tokens.device)
    new = torch.ones_like(tokens, dtype=torch.bool)
    return torch.cat([task.ids[at], tokens], 1), torch.cat([task.real[at], new], 1)


def _stopped(task: Task, tokens: Tensor) -> Tensor:
    """(B · K,) which rows are to end, by the caller's criteria."""
    if not task.criteria:
        return torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    return task.criteria(_so_far(task, tokens)[0], None)


def _ends(task: Task, tokens: Tensor, texts: Tensor) -> Tensor:
    """(B, C) which candidates (B, C, s) of these texts are at their end."""
    B, C, s = tokens.shape
    ends = torch.zeros(B, C, dtype=torch.bool, device=tokens.device)
    for token in task.eos:
        ends |= tokens[:, :, -1] == token
    longest = torch.tensor(task.longest[:: task.times], device=tokens.device)[texts]
    ends |= (s >= longest)[:, None]
    if task.criteria:
        ids = task.ids[:: task.times][texts].repeat_interleave(C, 0)
        ends |= task.criteria(torch.cat([ids, tokens.flatten(0, 1)], 1), None).view(B, C)
    return ends
