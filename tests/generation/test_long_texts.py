"""Texts that grow beyond the length that a model was trained on, while they are written, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from families import pair
from test_cache import LONG, SCALED

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


PHI: dict[str, Any] = {
    "original_max_position_embeddings": 10,
    "rope_parameters": {"rope_type": "longrope", "rope_theta": 100.0, **LONG},
}


@pytest.mark.parametrize("way", ["greedy", "beams", "guesses", "a talk"])
@pytest.mark.parametrize("length", [5, 9, 10, 11, 20])
def test_phi_3_turns_all_keys_again_at_the_border(length: int, way: str) -> None:
    """What it writes is what it writes without a cache."""
    theirs, ours = pair("phi3", "causal-lm", use_cache=True, **PHI)
    theirs.generation_config, ours.generation_config = transformers.GenerationConfig(), formers.GenerationConfig()
    assert ours.border() == 10 and pair("phi3", "causal-lm")[1].border() is None
    options = {**GROWING, "num_beams": 3 if way == "beams" else 1}
    expected = theirs.generate(text(length), **options, use_cache=False)
    if way == "guesses":
        assert torch.equal(ours.generate(text(length), **options, assistant_model=ours), expected)
    elif way == "a talk":
        first = ours.generate(text(length), **options | {"max_new_tokens": 3, "return_dict_in_generate": True})
        rest = options | {"max_new_tokens": 9}
        found = ours.generate(first.sequences, past_key_values=first.past_key_values, **rest)
        assert torch.equal(found, expected)
    else:
        assert torch.equal(theirs.generate(text(length), **options), expected)
        assert torch.equal(ours.generate(text(length), **options), expected)
