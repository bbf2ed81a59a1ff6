"""Texts that grow beyond the length that a model was trained on, while they are written, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from families import pair
from test_cache import SCALED

import formers


def models(family: str, given: dict[str, Any], **changes: Any) -> tuple[Any, Any]:
    theirs, ours = pair(family, "causal-lm", use_cache=True, rope_parameters=given, **changes)
    theirs.generation_config, ours.generation_config = transformers.GenerationConfig(), formers.GenerationConfig()
    return theirs, ours


def text(length: int) -> torch.Tensor:
    return torch.randint(3, 98, (1, length), generator=torch.Generator().manual_seed(length))


GROWING: dict[str, Any] = {"max_new_tokens": 12, "no_repeat_ngram_size": 1}


@pytest.mark.parametrize("name", SCALED)
def test_tokens_before_and_behind_the_border(name: str) -> None:
    """As the reference's with its cache, which keeps the keys of earlier tokens as they were turned first."""
    theirs, ours = models("llama", {"rope_type": name.split()[0], "rope_theta": 100.0, **SCALED[name]})
    for length in (5, 9, 10, 11, 38, 39, 45):
        for beams in (1, 3):
            theirs(text(5))  # with "dynamic" it goes on from the longest text before, until there is a short one
            expected, found = (model.generate(text(length), num_beams=beams, **GROWING) for model in (theirs, ours))
            assert torch.equal(found, expected), (length, beams)
