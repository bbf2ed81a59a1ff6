"""Ways of choosing tokens that later releases of Transformers have no more, beside what the last that had them wrote."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from goldens import generation

import formers

GOLDENS = json.loads((Path(generation.__file__).parent / "generation.json").read_text())
CASES = [(release, *case) for release in generation.RELEASES for case in generation.cases(release)]


@lru_cache
def model_of(name: str) -> Any:
    return generation.model_of(formers, name)


@pytest.mark.parametrize(("release", "way", "name", "case", "options"), CASES, ids=[", ".join(c[1:4]) for c in CASES])
def test_tokens_are_those_of_the_release(
    release: str, way: str, name: str, case: str, options: dict[str, Any]
) -> None:
    found = [generation.written(model_of(name), options, prompt) for prompt in generation.PROMPTS]
    assert found == GOLDENS[release][f"{way}, {name}, {case}"]
