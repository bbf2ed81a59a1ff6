"""Which texts are trained together."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.trainer_pt_utils import LengthGroupedSampler as TheirSampler
from transformers.trainer_pt_utils import get_length_grouped_indices as their_indices

from formers.errors import InputError
from formers.training.batching import LengthGroupedSampler, get_length_grouped_indices, packed_batches


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def short(count: int) -> list[int]:
    """Lengths as of SST-2's sentences: a mean of 13, of which most are of 5 to 25 tokens."""
    return torch.randn(count, generator=seeded()).mul(0.6).exp().mul(11).round().clamp(3, 66).int().tolist()


def long_tailed(count: int) -> list[int]:
    """Lengths of a mixture with a long tail: a median of 150, up to 4,096."""
    return torch.randn(count, generator=seeded()).mul(1.3).exp().mul(150).round().clamp(3, 4096).int().tolist()


@given(st.lists(st.integers(1, 50), max_size=300), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_every_text_once(lengths: list[int], seed: int) -> None:
    found = packed_batches(lengths, 50, seeded(seed), window=16)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert all(batch and sum(lengths[i] for i in batch) <= 50 for batch in found)
    assert found == packed_batches(lengths, 50, seeded(seed), window=16)


@pytest.mark.parametrize("lengths", [short(60_000), long_tailed(20_000)])
def test_nearly_full(lengths: list[int]) -> None:
    found = packed_batches(lengths, 4096, seeded())
    assert sum(lengths) / (len(found) * 4096) > 0.97
    assert found != packed_batches(lengths, 4096, seeded(1))
    batches = [sum(lengths[i] for i in batch) for batch in found]
    assert sum(batches[:100]) > 0.9 * 100 * 4096  # and so are those that come first


def test_what_no_batch_holds() -> None:
    for lengths, text in (([3, 9, 2], 1), ([3, 2, 0], 2)):
        with pytest.raises(InputError, match=rf"Text {text} has {lengths[text]} tokens; a batch holds 1 to 8"):
            packed_batches(lengths, 8)
    assert packed_batches([], 8) == []


@given(st.lists(st.integers(1, 9), min_size=1, max_size=200), st.integers(1, 9), st.sampled_from([None, 1, 3]))
@settings(max_examples=200, deadline=None)
def test_grouped_as_the_reference(lengths: list[int], size: int, multiple: int | None) -> None:
    wanted = their_indices(lengths, size, multiple, seeded(4))
    assert get_length_grouped_indices(lengths, size, multiple, seeded(4)) == wanted
    ours, theirs = (kind(size, lengths=lengths, generator=seeded(4)) for kind in (LengthGroupedSampler, TheirSampler))
    assert [*ours] == [*theirs]
    assert [*ours] == [*theirs]  # the next pass
    assert len(ours) == len(theirs)


def test_lengths_of_a_dataset() -> None:
    dataset = [{"input_ids": [0] * n, "others": [0]} for n in (3, 1, 2)]
    assert LengthGroupedSampler(2, dataset).lengths == [3, 1, 2]
    assert LengthGroupedSampler(2, dataset, model_input_name="others").lengths == [1, 1, 1]
    assert sorted(LengthGroupedSampler(2, lengths=torch.tensor([3, 1, 2]))) == [0, 1, 2]
    for wrong in ({}, {"dataset": [[1, 2]]}, {"dataset": dataset, "model_input_name": "words"}):
        with pytest.raises(InputError, match="give"):
            LengthGroupedSampler(2, **wrong)  # type: ignore[arg-type]


def test_a_million() -> None:
    lengths = short(1_000_000)
    start = time.process_time()
    get_length_grouped_indices(lengths, 32, generator=seeded())
    packed_batches(lengths, 4096, seeded())
    assert time.process_time() - start < 60  # some seconds; what grows by the square takes hours
