"""Processors and warpers beside the reference's, elementwise, on random logits."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import generation

import formers
from formers.errors import ArgumentError, InputError, RangeError
from formers.generation.largest import best, largest, ordered

SHAPES = [(1, 1, 7), (2, 5, 40), (4, 30, 300), (2, 12, 5000)]  # B, T, V
SOURCE = torch.tensor([[3, 4, 5, 3, 4, 6], [1, 2, 1, 3, 1, 2]])


def made(B: int, T: int, V: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ids (B, T) with repetitions, and logits (B, V), some of them -inf."""
    torch.manual_seed(seed)
    scores = torch.randn(B, V) * 3
    scores[:, 1::5] = -torch.inf
    return torch.randint(min(V, 7), (B, T)), scores


def allowed(text: int, ids: Tensor) -> list[int]:
    return [0, 1 + text, 2, 5, 6]


CASES: list[tuple[str, dict[str, Any]]] = [
    ("MinLengthLogitsProcessor", {"min_length": 6, "eos_token_id": 3}),
    ("MinLengthLogitsProcessor", {"min_length": 60, "eos_token_id": [3, 4, 10**6]}),
    ("MinLengthLogitsProcessor", {"min_length": 60, "eos_token_id": torch.tensor([2])}),
    ("MinNewTokensLengthLogitsProcessor", {"prompt_length_to_skip": 3, "min_new_tokens": 4, "eos_token_id": [0, 1]}),
    ("TemperatureLogitsWarper", {"temperature": 0.6}),
    ("RepetitionPenaltyLogitsProcessor", {"penalty": 1.7}),
    ("RepetitionPenaltyLogitsProcessor", {"penalty": 0.5, "prompt_ignore_length": 4}),
    ("EncoderRepetitionPenaltyLogitsProcessor", {"penalty": 1.7, "encoder_input_ids": SOURCE[:1]}),
    *(("TopPLogitsWarper", {"top_p": p, "min_tokens_to_keep": k}) for p in (0.0, 0.3, 0.9, 0.999, 1.0) for k in (1, 3)),
    ("TopPLogitsWarper", {"top_p": 0.4, "filter_value": -7.0}),
    *(("TopKLogitsWarper", {"top_k": k}) for k in (1, 5, 50, 10**6)),
    ("TopKLogitsWarper", {"top_k": 2, "min_tokens_to_keep": 4}),
    *(("TopHLogitsWarper", {"top_h": h}) for h in (0.1, 0.4, 1.0)),
    *(("MinPLogitsWarper", {"min_p": p, "min_tokens_to_keep": k}) for p in (0.0, 0.05, 0.5, 1.0) for k in (1, 3)),
    *(("TypicalLogitsWarper", {"mass": p, "min_tokens_to_keep": k}) for p in (0.2, 0.9, 0.99) for k in (1, 3)),
    *(("EpsilonLogitsWarper", {"epsilon": e, "min_tokens_to_keep": k}) for e in (1e-4, 0.1, 0.9) for k in (1, 3)),
    *(("EtaLogitsWarper", {"epsilon": e, "min_tokens_to_keep": k}) for e in (1e-4, 0.1, 0.9) for k in (1, 3)),
    *(("NoRepeatNGramLogitsProcessor", {"ngram_size": n}) for n in (1, 2, 3, 20)),
    *(
        ("EncoderNoRepeatNGramLogitsProcessor", {"encoder_ngram_size": n, "encoder_input_ids": SOURCE[0]})
        for n in (1, 2, 3, 20)
    ),
    (
        "SequenceBiasLogitsProcessor",
        {"sequence_bias": {(2,): -1.0, (1, 3): 5.0, (3, 3): -float("inf"), (4, 5, 3): 2.0}},
    ),
    ("SequenceBiasLogitsProcessor", {"sequence_bias": [[[2], -1.0], [[1, 3], 5.0], [[0, 3], 0.5]]}),
    ("NoBadWordsLogitsProcessor", {"bad_words_ids": [[1], [2], [3, 4], [0, 0]], "eos_token_id": 2}),
    ("PrefixConstrainedLogitsProcessor", {"prefix_allowed_tokens_fn": allowed, "num_beams": 1}),
    ("ForcedBOSTokenLogitsProcessor", {"bos_token_id": 4}),
    ("ForcedEOSTokenLogitsProcessor", {"max_length": 6, "eos_token_id": [3, 4]}),
    ("InfNanRemoveLogitsProcessor", {}),
    (
        "ExponentialDecayLengthPenalty",
        {"exponential_decay_length_penalty": (3, 1.2), "eos_token_id": [1, 2], "input_ids_seq_length": 1},
    ),
    ("LogitNormalization", {}),
    ("SuppressTokensAtBeginLogitsProcessor", {"begin_suppress_tokens": [1, 2, 10**6], "begin_index": 5}),
    ("SuppressTokensLogitsProcessor", {"suppress_tokens": [1, 2, 10**6]}),
]


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "arguments"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])
def test_beside_the_reference(name: str, arguments: dict[str, Any], shape: tuple[int, int, int]) -> None:
    ids, scores = made(*shape)
    before = scores.clone()
    ours, theirs = getattr(formers, name)(**arguments), getattr(generation, name)(**arguments)
    for _ in range(2):  # what they prepare at first stays right
        same(ours(ids, scores), theirs(ids, before.clone()))
    assert torch.equal(scores, before), "the scores that were given have changed"


def test_more_of_the_reference() -> None:
    ids, scores = made(4, 9, 50)
    starts = torch.tensor([0, 3, 8, 9])
    arguments: dict[str, Any] = {"penalty": 1.3, "prompt_ignore_length": starts}
    theirs = generation.RepetitionPenaltyLogitsProcessor(**arguments)
    same(formers.RepetitionPenaltyLogitsProcessor(**arguments)(ids, scores), theirs(ids, scores))
    for source in (SOURCE, SOURCE[:1]):  # several beams a text
        for n in (1, 2, 3):
            theirs = generation.EncoderNoRepeatNGramLogitsProcessor(n, source)
            same(formers.EncoderNoRepeatNGramLogitsProcessor(n, source)(ids, scores), theirs(ids, scores))
        theirs = generation.EncoderRepetitionPenaltyLogitsProcessor(2.0, source)
        same(formers.EncoderRepetitionPenaltyLogitsProcessor(2.0, source)(ids, scores), theirs(ids, scores))
    ids[:, 2] = 50  # beyond the vocabulary
    same(
        formers.RepetitionPenaltyLogitsProcessor(1.3)(ids, scores),
        generation.RepetitionPenaltyLogitsProcessor(1.3)(ids, scores),
    )
    same(formers.NoRepeatNGramLogitsProcessor(1)(ids, scores), generation.NoRepeatNGramLogitsProcessor(1)(ids, scores))
    odd = torch.tensor([[torch.nan, torch.inf, -torch.inf, 1.0]])
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        same(
            formers.InfNanRemoveLogitsProcessor()(ids, odd.to(dtype)),
            generation.InfNanRemoveLogitsProcessor()(ids, odd.to(dtype)),
        )


def test_constraints_that_cannot_be_met_beside_the_reference() -> None:
    ids, scores = made(4, 3, 20)
    scores[:3, :7] = -torch.inf  # all that is allowed, of both beams of the first text
    arguments: dict[str, Any] = {"prefix_allowed_tokens_fn": allowed, "num_beams": 2}
    theirs = generation.PrefixConstrainedLogitsProcessor(**arguments)
    same(formers.PrefixConstrainedLogitsProcessor(**arguments)(ids, scores), theirs(ids, scores))
    with pytest.raises(InputError, match="allows nothing"):
        formers.PrefixConstrainedLogitsProcessor(lambda *_: [], 2)(ids, scores)


@given(
    st.integers(1, 3),
    st.integers(2, 40),
    st.sampled_from([0.05, 0.5, 0.9, 0.99]),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_equal_scores_beside_the_reference(B: int, V: int, top_p: float, least: int, seed: int) -> None:
    torch.manual_seed(seed)
    scores = torch.randint(4, (B, V)).float()
    ids = torch.zeros(B, 1, dtype=torch.long)
    for name, value in (("TopPLogitsWarper", top_p), ("TopKLogitsWarper", 1 + seed % 20)):
        ours, theirs = (getattr(m, name)(value, min_tokens_to_keep=least) for m in (formers, generation))
        got, expected = ours(ids, scores), theirs(ids, scores)
        # where shares add up to top_p but for rounding, one token more or less is kept
        shares = scores.softmax(1).sort(descending=True)[0].double().cumsum(1)
        if name == "TopKLogitsWarper" or (shares - top_p).abs().min() > 1e-6:
            same(got.sort()[0], expected.sort()[0])  # which of equal scores are kept depends on the machine's sort


def test_top_p_of_many_that_are_alike_and_of_few() -> None:
    torch.manual_seed(0)
    rows = torch.stack([torch.randn(6000) * 0.1, torch.randn(6000) * 8, torch.randn(6000).bfloat16().float()])
    ids = torch.zeros(3, 1, dtype=torch.long)
    for p in (0.2, 0.8, 0.95):
        got, expected = formers.TopPLogitsWarper(p)(ids, rows), generation.TopPLogitsWarper(p)(ids, rows)
        same(got[:2], expected[:2])
        same(got.sort()[0], expected.sort()[0])
        same(formers.TypicalLogitsWarper(p)(ids, rows[:2]), generation.TypicalLogitsWarper(p)(ids, rows[:2]))


@pytest.mark.parametrize("V", [1, 10, 999, 5000, 20000])
@pytest.mark.parametrize("k", [1, 7, 60, 1000])
def test_largest(V: int, k: int) -> None:
    torch.manual_seed(V + k)
    for scores in (torch.randn(3, V), torch.randint(9, (3, V)).float(), torch.full((3, V), -torch.inf)):
        k = min(k, V)
        values, columns = largest(scores, k)
        assert torch.equal(values, scores.topk(k)[0]) and torch.equal(scores.gather(1, columns), values)
        assert all(len(set(row.tolist())) == k for row in columns)
        stable = scores.flip(1).argsort(dim=1, descending=True, stable=True)  # the last column first among equals
        values, columns = ordered(scores, k)
        assert torch.equal(columns[:, :k], V - 1 - stable[:, :k]) or bool((scores == -torch.inf).all())
        count = torch.full((3, 1), k)
        found = best(scores, count, values[:, k - 1 : k])
        assert torch.equal(found, torch.zeros_like(found).scatter(1, V - 1 - stable[:, :k], True))


# ---- what the reference has no more, or never had


def test_penalties_of_what_was_there() -> None:
    ids = torch.tensor([[1, 2, 2, 5, 9], [0, 0, 0, 0, 1]])  # 9 is beyond the vocabulary
    scores = torch.zeros(2, 6)
    presence = formers.PresencePenaltyLogitsProcessor(0.5)(ids, scores)
    assert presence.tolist() == [[0, -0.5, -0.5, 0, 0, -0.5], [-0.5, -0.5, 0, 0, 0, 0]]
    frequency = formers.FrequencyPenaltyLogitsProcessor(0.5, prompt_ignore_length=1)(ids, scores)
    assert frequency.tolist() == [[0, 0, -1, 0, 0, -0.5], [-1.5, -0.5, 0, 0, 0, 0]]
    ragged = formers.FrequencyPenaltyLogitsProcessor(0.5, torch.tensor([5, 4]))(ids, scores)
    assert ragged.tolist() == [[0] * 6, [0, -0.5, 0, 0, 0, 0]]


def test_diverse_groups() -> None:
    current = torch.tensor([1, 1, 2, 3, 0, 4, 4, 4])  # two texts of four beams
    scores = torch.zeros(4, 5)  # two rows a group
    processor = formers.HammingDiversityLogitsProcessor(0.5, num_beams=4, num_beam_groups=2)
    assert torch.equal(processor(None, scores, current, 0), scores)
    second = processor(None, scores, current, beam_group_idx=1)
    assert second.tolist() == [[0, -1, 0, 0, 0]] * 2 + [[-0.5, 0, 0, 0, -0.5]] * 2
    chain = formers.LogitsProcessorList([processor])
    assert torch.equal(chain(None, scores, current_tokens=current, beam_group_idx=1), second)
    with pytest.raises(ArgumentError, match="current_tokens, beam_group_idx"):
        chain(None, scores)


def test_tokens_that_are_forced() -> None:
    processor = formers.ForceTokensLogitsProcessor([[1, 3], [2, None]])
    scores = torch.ones(1, 4)
    assert processor(torch.zeros(1, 1), scores).tolist() == [[-torch.inf] * 3 + [0.0]]
    assert torch.equal(processor(torch.zeros(1, 2), scores), scores)
    assert torch.equal(processor(torch.zeros(1, 3), scores), scores)


@pytest.mark.parametrize("use_cache", [True, False])
def test_guidance_beside_the_reference(use_cache: bool) -> None:
    torch.manual_seed(0)
    table = torch.randn(9, 9)

    class Out(SimpleNamespace):
        def get(self, name: str, default: Any = None) -> Any:
            return getattr(self, name, default)

    def model(ids: Tensor, attention_mask: Tensor, use_cache: bool, past_key_values: Any) -> Out:
        past = past_key_values or 0.0
        asked.append((ids.tolist(), attention_mask.tolist()))
        return Out(logits=table[ids].cumsum(1) + past, past_key_values=past + 1.0 if use_cache else None)

    answers = []
    for module in (formers, generation):
        for prompt in (None, torch.tensor([[1, 2], [0, 3]])):
            asked: list[Any] = []
            processor = module.UnbatchedClassifierFreeGuidanceLogitsProcessor(
                1.5, model, unconditional_ids=prompt, use_cache=use_cache
            )
            ids, out = torch.tensor([[4, 5], [6, 7]]), []
            for step in range(3):
                out.append(processor(ids, table[ids[:, -1]]))
                ids = torch.cat([ids, torch.tensor([[step], [8]])], 1)
            answers.append((torch.stack(out), asked))
    for ours, theirs in zip(answers[:2], answers[2:], strict=True):
        same(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    ids, scores = made(2, 3, 9)
    scores = torch.randn(4, 9)
    same(
        formers.ClassifierFreeGuidanceLogitsProcessor(2.0)(ids, scores),
        generation.ClassifierFreeGuidanceLogitsProcessor(2.0)(ids, scores),
    )


# ---- lists


def test_a_list_takes_what_callers_make() -> None:
    ids, scores = made(2, 5, 40)

    class Own(transformers.LogitsProcessor):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            return scores + 1

    def with_more(input_ids: Tensor, scores: Tensor, factor: float, other: float = 0.0) -> Tensor:
        return scores * factor + other

    chain = formers.LogitsProcessorList(
        [
            Own(),
            lambda input_ids, scores: scores + 1,
            functools.partial(with_more, factor=1.0),
            transformers.TopKLogitsWarper(5),
            with_more,
        ]
    )
    expected = generation.TopKLogitsWarper(5)(ids, scores + 2) * 2
    same(chain(ids, scores, factor=2.0, unused=3), expected)
    with pytest.raises(ArgumentError, match="with_more needs factor"):
        chain(ids, scores)
    assert formers.LogitsProcessorList()(ids, scores) is scores
    ours = [formers.TemperatureLogitsWarper(0.5), formers.TopPLogitsWarper(0.8)]
    same(transformers.LogitsProcessorList(ours)(ids, scores), formers.LogitsProcessorList(ours)(ids, scores))


# ---- values that break a rule


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MinLengthLogitsProcessor", (-1, 2)),
        ("MinLengthLogitsProcessor", (3, [1.5])),
        ("MinNewTokensLengthLogitsProcessor", (1, -1, 2)),
        ("TemperatureLogitsWarper", (0.0,)),
        ("TemperatureLogitsWarper", (-1.0,)),
        ("RepetitionPenaltyLogitsProcessor", (0.0,)),
        ("RepetitionPenaltyLogitsProcessor", (1.1, -1)),
        ("EncoderRepetitionPenaltyLogitsProcessor", (-1.0, SOURCE)),
        ("TopPLogitsWarper", (1.5,)),
        ("TopPLogitsWarper", (0.5, 0.0, 0)),
        ("TopKLogitsWarper", (0,)),
        ("TopHLogitsWarper", (0.0,)),
        ("MinPLogitsWarper", (-0.1,)),
        ("TypicalLogitsWarper", (1.0,)),
        ("EpsilonLogitsWarper", (0.0,)),
        ("EtaLogitsWarper", (1.0,)),
        ("NoRepeatNGramLogitsProcessor", (0,)),
        ("EncoderNoRepeatNGramLogitsProcessor", (0, SOURCE)),
        ("SequenceBiasLogitsProcessor", ({},)),
        ("SequenceBiasLogitsProcessor", ({(-1,): 1.0},)),
        ("SequenceBiasLogitsProcessor", ([[[1], "a"]],)),
        ("NoBadWordsLogitsProcessor", ([],)),
        ("NoBadWordsLogitsProcessor", ([[]],)),
        ("HammingDiversityLogitsProcessor", (0.0, 4, 2)),
        ("HammingDiversityLogitsProcessor", (0.5, 2, 4)),
        ("ForcedEOSTokenLogitsProcessor", (5, -1)),
        ("ClassifierFreeGuidanceLogitsProcessor", (1.0,)),
    ],
)
def test_values_that_break_a_rule(name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="="):
        getattr(formers, name)(*arguments)


def test_tokens_that_the_vocabulary_has_not() -> None:
    ids, scores = made(2, 1, 10)
    with pytest.raises(RangeError, match="outside of the vocabulary"):
        formers.SequenceBiasLogitsProcessor({(3, 10): 1.0})(ids, scores)
    with pytest.raises(RangeError, match="forced_bos_token_id"):
        formers.ForcedBOSTokenLogitsProcessor(10)(ids, scores)
    with pytest.raises(RangeError, match="forced_eos_token_id"):
        formers.ForcedEOSTokenLogitsProcessor(2, [1, 10])(ids, scores)
    with pytest.raises(NotImplementedError, match="LogitsProcessor has no __call__"):
        formers.LogitsProcessor()(ids, scores)
    with pytest.raises(InputError, match="one number a text"):
        formers.RepetitionPenaltyLogitsProcessor(1.1, torch.tensor([1]))(ids, scores)


def test_filtering_by_its_name_in_4_20() -> None:
    scores = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    expected = formers.TopPLogitsWarper(0.7)(scores, formers.TopKLogitsWarper(9)(scores, scores))
    assert torch.equal(formers.top_k_top_p_filtering(scores, top_k=9, top_p=0.7), expected)
    assert torch.equal(formers.top_k_top_p_filtering(scores), scores)
