"""Token healing: a prompt's last token, which may be the beginning of a longer one, is chosen anew.

    "http:"    tokens  http · :      the model has mostly seen "://" as one token: what begins with ":" is tried

Source: Lundberg 2023 (https://towardsdatascience.com/the-art-of-prompt-design-prompt-boundaries-and-token-healing).
Letters: B prompts, t tokens of one, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from .runner import Runner

_LONGER, _SAME = 10.0, 11.0  # what tokens that begin with the last one get, and the last one itself


def healed(model: Any, prompts: Sequence[Tensor], tokenizer: Any) -> list[Tensor]:
    """Prompts (t,) with their last tokens chosen anew; spaces at the end are left out.

    Errors: ArgumentError without a tokenizer, InputError for prompts that are vectors.
    """
    if tokenizer is None:
        raise ArgumentError("token_healing needs the text: give generate(…, tokenizer=tokenizer).")
    if any(prompt.dim() > 1 for prompt in prompts):
        raise InputError(
            "token_healing needs prompts of tokens, and these are vectors, as inputs_embeds and texts with pictures in "
            "them are: give input_ids alone, or leave token_healing out."
        )
    texts = _texts(tokenizer, len(tokenizer))
    special = set(tokenizer.all_special_ids)
    found = [_stripped(prompt, texts) for prompt in prompts]
    bias = {}
    for b, prompt in enumerate(found):
        last = int(prompt[-1])
        longer = [i for i, text in enumerate(texts) if i not in special and text.startswith(texts[last])]
        if len(prompt) > 1 and last not in special and len(longer) > 1:
            bias[b] = longer
    if bias:
        logits = Runner(model).begin([found[b][:-1] for b in bias]).float()
        for row, (b, longer) in zip(logits, bias.items(), strict=True):
            raised = torch.zeros_like(row).index_fill(0, torch.tensor(longer, device=row.device), _LONGER)
            raised[found[b][-1]] = _SAME
            found[b] = torch.cat([found[b][:-1], (row + raised).argmax()[None]])
    return found


@lru_cache(4)
def _texts(tokenizer: Any, size: int) -> list[str]:
    """What each token says."""
    found: list[str] = tokenizer.batch_decode([[i] for i in range(size)])
    return found


def _stripped(prompt: Tensor, texts: Sequence[str]) -> Tensor:
    while len(prompt) > 1 and int(prompt[-1]) < len(texts) and texts[int(prompt[-1])].isspace():
        prompt = prompt[:-1]
    return prompt


def padded(prompts: Sequence[Tensor], pad: int) -> tuple[Tensor, Tensor]:
    """Prompts as ids (B, T), padded on the left, and which columns are tokens."""
    longest = max(map(len, prompts))
    rows = [torch.nn.functional.pad(prompt, (longest - len(prompt), 0), value=pad) for prompt in prompts]
    real = [torch.arange(longest, device=p.device) >= longest - len(p) for p in prompts]
    return torch.stack(rows), torch.stack(real)
