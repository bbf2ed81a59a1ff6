"""Guidance: scores away from those that the same tokens would have after another prompt.

    prompt          a b c ▏ x y      what is written goes on after both, and is chosen from
    other prompt    d e   ▏ x y      scale · (scores after the prompt - after the other) + after the other

Source: Sanchez et al. 2023 (arXiv 2306.17806). Letters: B texts, S columns of other prompts, T columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..layers import keeps_padding
from ..ops.checks import read_mask
from .runner import Runner


class Guidance:
    """Log probabilities (B, V) guided by `scale`.

    prompts: (B,) the other prompt of each text, (t,). begun: the columns of the texts before what is written.
    It may be asked for any texts, in any order: what it has computed of beams that became others is found again.
    """

    def __init__(self, scale: float, model: Any, prompts: Sequence[Tensor], begun: int) -> None:
        self.scale, self.prompts, self.begun = scale, prompts, begun
        self.runner = Runner(model)
        self.read: dict[int, list[int]] = {}  # tokens of each text that are in the cache

    def __call__(
        self, ids: Tensor, real: Tensor, scores: Tensor, rows: Sequence[int], numbers: Sequence[int]
    ) -> Tensor:
        """ids, real: (B, T) the texts, and which columns are tokens. rows: those that go on, and their numbers."""
        written = [ids[row, self.begun :][real[row, self.begun :]] for row in rows]
        texts = [torch.cat([self.prompts[n], new]) for n, new in zip(numbers, written, strict=True)]
        free = self._logits(texts, numbers).float().log_softmax(-1)
        at = torch.tensor(list(rows), device=scores.device)
        guided = scores.log_softmax(-1)
        return guided.index_copy(0, at, self.scale * (guided[at] - free) + free)

    def _logits(self, texts: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
        wanted = {n: text.tolist() for n, text in zip(numbers, texts, strict=True)}
        runner = self.runner
        if any(n not in self.read for n in numbers):  # all of them come with the first pass, or group by group
            self.read |= wanted
            return runner.begin(texts, numbers)
        origins = {n: self._nearest(n, wanted[n]) for n in numbers}
        if any(n != origin for n, origin in origins.items()):
            runner.move([origins.get(n, n) for n in range(max(runner.rows) + 1)])
        kept = {n: min(_alike(self.read[origins[n]], wanted[n]), len(wanted[n]) - 1) for n in numbers}
        runner.back([kept.get(row, length) for row, length in zip(runner.rows, runner.cache.lengths, strict=True)])
        self.read |= wanted
        if list(numbers) == sorted(runner.rows) and all(kept[n] == len(wanted[n]) - 1 for n in numbers):
            return runner.step(torch.stack([text[-1] for text in texts]))
        return runner.begin(texts, numbers)

    def _nearest(self, number: int, wanted: list[int]) -> int:
        """The text of which most has been read already."""
        if self.read[number] == wanted[:-1]:
            return number
        return max(self.read, key=lambda n: (_alike(self.read[n], wanted), n == number))


def _alike(one: list[int], other: list[int]) -> int:
    """How many tokens at the beginning are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def guidance_of(task: Any) -> Guidance | None:
    """What `guidance_scale` and `negative_prompt_ids` of a call ask for.

    Errors: ArgumentError for a prompt without a scale, and where there is no token to begin with.
    """
    scale, (ids, mask) = task.config.guidance_scale, task.negative
    if scale in (None, 1):
        if ids is not None:
            raise ArgumentError("negative_prompt_ids are for guidance: set guidance_scale, 1.5 for example.")
        return None
    if task.source is not None:
        raise ArgumentError(
            f"guidance_scale is for models that are decoders alone; {type(task.model).__name__} has an encoder: "
            "leave it out."
        )
    if task.more or keeps_padding(task.model.modules()):
        raise ArgumentError(
            "guidance_scale is for input_ids or inputs_embeds alone: leave out further inputs, and take hooks off the "
            "model; or give UnbatchedClassifierFreeGuidanceLogitsProcessor as logits_processor."
        )
    count = len(task.prompts)
    if ids is None:
        if not task.ids.shape[1]:
            raise ArgumentError("guidance_scale needs negative_prompt_ids where the prompts are inputs_embeds.")
        prompts = [tokens[-1:] for tokens in task.tokens]
    else:
        prompts = _negative(ids, mask, count)
    return Guidance(
        float(scale), task.model, [prompts[b] for b in range(count) for _ in range(task.times)], task.ids.shape[1]
    )


def _negative(ids: Any, mask: Any, count: int) -> list[Tensor]:
    if not isinstance(ids, Tensor) or ids.dim() != 2 or len(ids) not in (1, count):
        shape = tuple(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
        raise InputError(f"negative_prompt_ids is {shape}: give token ids (1, S), or ({count}, S), one row a prompt.")
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else read_mask(mask, *ids.shape).to(ids.device)
    if real.dim() != 2 or not bool(real.any(1).all()):
        raise InputError("negative_prompt_attention_mask: give ones and zeros (B, S), and at least one 1 in each row.")
    rows = [row[keep] for row, keep in zip(ids, real, strict=True)]
    return rows * count if len(rows) == 1 else rows
