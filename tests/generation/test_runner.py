"""The runner: texts that begin alike, and share what they begin with."""

from __future__ import annotations

import pytest
import torch
from families import difference, pair

from formers.generation.runner import Runner

TOLERANCE = 1e-5
LENGTHS = (9, 5, 2)
# grouped keys; windows; biases by place; capped scores; learned positions
FAMILIES = ["llama", "mistral", "bloom", "gemma2", "gpt2"]


def runners(family: str, times: int) -> tuple[Runner, Runner]:
    """The same texts, each so many times: with copies of what they begin with, and without."""
    _, model = pair(family, "causal-lm", use_cache=True)
    draw = torch.Generator().manual_seed(0)
    prompts = [torch.randint(3, 99, (length,), generator=draw) for length in LENGTHS]
    copied, shared = Runner(model), Runner(model)
    for runner in (copied, shared):
        runner.begin(prompts)
    copied.cache.batch_repeat_interleave(times)
    copied.rows = [row * times + i for row in copied.rows for i in range(times)]
    shared.repeat(times)
    return copied, shared


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_branches_that_move(family: str) -> None:
    copied, shared = runners(family, 3)
    draw = torch.Generator().manual_seed(1)
    for _ in range(4):
        tokens = torch.randint(3, 99, (9,), generator=draw)
        expected, found = (runner.step(tokens) for runner in (copied, shared))
        assert difference(found, expected) < TOLERANCE
        origins = [3 * (row // 3) + int(torch.randint(3, (), generator=draw)) for row in range(9)]
        for runner in (copied, shared):
            runner.move(origins)
    for one, other in zip(copied.cache, shared.cache, strict=True):
        for x, y in zip(one, other, strict=True):
            assert difference(y, x) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kept", [[0, 1, 3, 4, 6, 7], [2, 3, 4, 5, 8], [4]])
def test_branches_that_end(family: str, kept: list[int]) -> None:
    copied, shared = runners(family, 3)
    for step in range(4):
        tokens = torch.arange(3, 3 + len(copied.rows))
        expected, found = (runner.step(tokens) for runner in (copied, shared))
        assert difference(found, expected) < TOLERANCE
        if step == 1:
            for runner in (copied, shared):
                runner.keep(kept)


@torch.no_grad()
def test_what_texts_begin_with_is_stored_once() -> None:
    _, model = pair("gpt2", "causal-lm", use_cache=True)
    runner = Runner(model)
    runner.begin([torch.arange(3, 23)])
    once = runner.cache.nbytes
    runner.repeat(8)
    logits = runner.step(torch.arange(8))
    assert runner.cache.nbytes < 1.5 * once
    alone = Runner(model)
    alone.begin([torch.arange(3, 23)])
    assert difference(logits[5:6], alone.step(torch.tensor([5]))) < TOLERANCE


@torch.no_grad()
def test_texts_that_join_make_no_room_for_longer_ones() -> None:
    _, model = pair("gpt2", "causal-lm", use_cache=True)
    runner = Runner(model)
    for number in range(12):
        runner.begin([torch.arange(3, 12)], [number])
        runner.step(torch.full((len(runner.rows),), 5))
        runner.keep([row for row in runner.rows if row > number - 3])
    assert max(runner.cache.lengths) == 12
    assert runner.cache.keys[0].shape[2] <= 32
