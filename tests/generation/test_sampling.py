"""Drawing: what is drawn, how often, and that a row's draw is its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import generation

from formers.errors import InputError
from formers.generation.sampling import draw, fused, pick, seeded


def chain(scores: Tensor, temperature: float, top_k: int, top_p: float, least: int) -> Tensor:
    """Probabilities (B, V) that the reference's warpers leave."""
    ids = torch.zeros(len(scores), 1, dtype=torch.long)
    scores = generation.TemperatureLogitsWarper(temperature)(ids, scores)
    if top_k:
        scores = generation.TopKLogitsWarper(top_k, min_tokens_to_keep=least)(ids, scores)
    if top_p < 1:
        scores = generation.TopPLogitsWarper(top_p, min_tokens_to_keep=least)(ids, scores)
    return scores.softmax(-1)


@pytest.mark.parametrize("V", [5, 300, 4000])
@pytest.mark.parametrize("top_k", [0, 1, 20, 2000])
@pytest.mark.parametrize("top_p", [0.1, 0.9, 0.999, 1.0])
@pytest.mark.parametrize(("temperature", "least"), [(1.0, 1), (0.3, 1), (3.0, 3)])
def test_fused_is_the_chain(V: int, top_k: int, top_p: float, temperature: float, least: int) -> None:
    torch.manual_seed(V)
    scores = torch.randn(3, V) * torch.tensor([[0.5], [2.0], [6.0]])
    scores[1, ::3] = -torch.inf
    ids, probabilities = fused(scores, temperature, top_k, top_p, least)
    got = torch.zeros(3, V).scatter_add(1, ids, probabilities)
    expected = chain(scores, temperature, top_k, top_p, least)
    assert torch.equal(got > 0, expected > 0)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    assert all(len(set(row.tolist())) == len(row) for row in ids)


@given(st.integers(2, 30), st.integers(0, 12), st.sampled_from([0.3, 0.77, 1.0]), st.integers(0, 99))
def test_fused_with_equal_scores(V: int, top_k: int, top_p: float, seed: int) -> None:
    torch.manual_seed(seed)
    scores = torch.randint(5, (2, V)).float()
    ids, probabilities = fused(scores, 0.7, top_k, top_p)
    expected = chain(scores, 0.7, top_k, top_p, 1)
    sums = chain(scores, 0.7, top_k, 1.0, 1).sort(descending=True)[0].double().cumsum(1)
    if (sums - top_p).abs().min() > 1e-6 or top_p == 1:
        got = torch.zeros(2, V).scatter_add(1, ids, probabilities)
        # which of equal scores are kept depends on the machine's sort
        torch.testing.assert_close(got.sort()[0], expected.sort()[0], rtol=0, atol=1e-6)


def test_without_generators_tokens_are_those_of_the_reference() -> None:
    scores = torch.randn(4, 500)
    torch.manual_seed(3)
    expected = torch.multinomial(scores.softmax(-1), 1).squeeze(1)
    torch.manual_seed(3)
    assert torch.equal(draw(scores), expected)


def test_a_row_draws_the_same_in_any_batch() -> None:
    torch.manual_seed(0)
    scores = torch.randn(5, 1000)
    together = torch.stack([draw(scores, generators) for generators in [seeded(7, 5)] for _ in range(20)])
    for row in range(5):
        (generator,) = seeded(7 + row, 1)
        alone = torch.cat([draw(scores[row : row + 1], generator) for _ in range(20)])
        assert torch.equal(alone, together[:, row])


def test_tokens_come_as_often_as_they_should() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.2, 0.0, 0.3, 0.0])
    for generators in (torch.Generator().manual_seed(0), None):
        torch.manual_seed(0)
        drawn = draw(probabilities.log().expand(20000, -1), generators)
        shares = torch.bincount(drawn, minlength=6) / len(drawn)
        assert bool((shares[probabilities == 0] == 0).all())
        torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.015)


def test_the_ends_of_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]])
    for number, token in ((0.0, 1), (0.2499, 1), (0.25, 3), (1.0, 3)):
        monkeypatch.setattr(torch, "rand", lambda *_, number=number, **__: torch.tensor([number], dtype=torch.float64))
        assert pick(probabilities, torch.Generator()).tolist() == [token]


@pytest.mark.parametrize("generators", [None, torch.Generator()])
@pytest.mark.parametrize("bad", [float("nan"), -float("inf"), float("inf")])
def test_scores_of_which_nothing_can_be_drawn(bad: float, generators: torch.Generator | None) -> None:
    scores = torch.zeros(3, 4)
    scores[1] = bad
    with pytest.raises(InputError, match="text 1"):
        draw(scores, generators)


def test_a_generator_each() -> None:
    with pytest.raises(InputError, match="2 generators for 3 texts"):
        draw(torch.zeros(3, 4), seeded(0, 2))
