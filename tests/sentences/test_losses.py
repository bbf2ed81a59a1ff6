"""Losses: the values and gradients of sentence-transformers, all columns in one pass, and large batches in parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import goldens
import pytest
import torch
from goldens import training
from torch import Tensor

from formers import CrossEncoder, SentenceEncoder
from formers.errors import ArgumentError, InputError, RangeError
from formers.sentences import losses
from formers.sentences.cross_encoder import losses as pair_losses
from formers.sentences.losses import cached

from .conftest import TEXTS

GOLDENS = json.loads((Path(goldens.__file__).parent / "training.json").read_text(encoding="utf-8"))["losses"]
COLUMNS = [TEXTS[:4], TEXTS[4:], [*TEXTS[2:5], TEXTS[7]]]


def gradients(model: Any) -> dict[str, Tensor]:
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    assert max(float(one.abs().max()) for one in found.values()) > 0
    return found


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def learned(loss: Any, encoder: SentenceEncoder, labels: Tensor | None = None, seed: int = 0) -> tuple[float, Any]:
    torch.manual_seed(seed)
    value = loss([encoder.tokenize(column) for column in COLUMNS], labels)
    value.backward()
    return value.item(), gradients(encoder)


@pytest.mark.parametrize("number", range(len(training.LOSSES)))
def test_values_and_gradients(number: int) -> None:
    name, options, columns, labels = training.LOSSES[number]
    loss = getattr(losses, name)(training.NoEncoder(), **training.resolved(options, losses))
    vectors, expected = training.vectors(columns), GOLDENS[number]
    value = loss.compute_loss_from_embeddings(vectors, training.LABELS[labels])
    value.backward()
    assert value.item() == pytest.approx(expected["value"], rel=1e-5)
    for column, gradient in zip(vectors, expected["gradients"], strict=True):
        assert torch.allclose(column.grad, torch.tensor(gradient), rtol=1e-4, atol=1e-5)


def test_all_columns_go_through_the_model_at_once(small: Callable[..., SentenceEncoder]) -> None:
    encoder, seen = small(), []
    encoder[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0]["input_ids"])))
    loss = losses.TripletLoss(encoder, triplet_margin=9)
    value, found = learned(loss, encoder)
    assert seen == [12]
    vectors = [encoder(encoder.tokenize(column))["sentence_embedding"] for column in COLUMNS]
    alone = loss.compute_loss_from_embeddings(vectors, None)
    alone.backward()
    assert value == pytest.approx(alone.item(), rel=1e-6)
    assert apart(found, gradients(encoder)) < 1e-5


@pytest.mark.parametrize("options", [{"mini_batch_size": 5}, {"mini_batch_num_tokens": 20}])
@pytest.mark.parametrize("matryoshka", [False, True])
def test_a_large_batch_in_parts(small: Callable[..., SentenceEncoder], options: Any, matryoshka: bool) -> None:
    encoder = small()
    whole: Any = losses.MultipleNegativesRankingLoss(encoder, scale=2)
    parts: Any = losses.CachedMultipleNegativesRankingLoss(encoder, scale=2, **options)
    if matryoshka:
        whole, parts = (losses.MatryoshkaLoss(encoder, one, [16, 4], [1, 0.5]) for one in (whole, parts))
    value, expected = learned(whole, encoder)
    seen: list[int] = []
    encoder[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]["attention_mask"].numel()))
    other, found = learned(parts, encoder)
    assert len(seen) > 4 and seen[: len(seen) // 2] == seen[len(seen) // 2 :]  # each part twice
    assert max(seen) < 60 < sum(seen) // 2
    assert other == pytest.approx(value, rel=1e-6)
    assert apart(found, expected) < 1e-6 * max(1, max(float(one.abs().max()) for one in expected.values()))


def test_parts_are_of_the_size_that_was_asked_for(small: Callable[..., SentenceEncoder]) -> None:
    encoder, seen = small(), []
    encoder[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0]["input_ids"])))
    learned(losses.CachedMultipleNegativesRankingLoss(encoder, mini_batch_size=5), encoder)
    assert seen == [5, 5, 2] * 2


def test_dropout_is_drawn_again(small: Callable[..., SentenceEncoder], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, vectors = small(0.3).train(), []
    original = cached.vectors_of

    def spied(*args: Any) -> Tensor:
        vectors.append(original(*args))
        return vectors[-1]

    monkeypatch.setattr(cached, "vectors_of", spied)
    loss = losses.CachedMultipleNegativesRankingLoss(encoder, mini_batch_size=5)
    _, found = learned(loss, encoder)
    for first, again in zip(vectors[:3], vectors[3:], strict=True):
        assert torch.equal(first, again)
    with torch.no_grad():  # dropout is active: another draw gives other vectors
        assert not torch.allclose(
            original(encoder, encoder.tokenize(TEXTS)), original(encoder, encoder.tokenize(TEXTS))
        )
    _, other = learned(loss, encoder, seed=1)
    assert apart(found, other) > 1e-4


def test_parts_in_bfloat16(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()
    _, expected = learned(losses.MultipleNegativesRankingLoss(encoder, scale=2), encoder)
    with torch.autocast("cpu", torch.bfloat16):
        value = losses.CachedMultipleNegativesRankingLoss(encoder, scale=2, mini_batch_size=5)(
            [encoder.tokenize(column) for column in COLUMNS]
        )
    value.backward()
    found = gradients(encoder)
    assert 1e-6 < apart(found, expected) < 0.3 * max(float(one.abs().max()) for one in expected.values())


def test_a_loss_of_ones_own(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()

    class Own(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: Any, labels: Any) -> Tensor:
            first, second, _ = (self.model(column)["sentence_embedding"] for column in features)
            return (1 - torch.cosine_similarity(first, second)).mean()

    value, found = learned(Own(encoder), encoder)
    one = losses.ContrastiveLoss(encoder)
    with torch.no_grad():
        vectors = [encoder(encoder.tokenize(column))["sentence_embedding"] for column in COLUMNS[:2]]
    assert value == pytest.approx(one.distance_metric(*vectors).mean().item(), rel=1e-5)
    assert {name.split(".")[2] for name in found} == {"embeddings", "encoder"}


def test_widths_of_matryoshka(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()
    inner = losses.CosineSimilarityLoss(encoder)
    vectors = training.vectors(2, 4, 16)
    labels = torch.tensor([0.1, 0.2, 0.3, 0.4])
    whole = losses.MatryoshkaLoss(encoder, inner, [16, 4], [1, 0.5]).compute_loss_from_embeddings(vectors, labels)
    parts = [inner.compute_loss_from_embeddings([one[:, :dim] for one in vectors], labels) for dim in (16, 4)]
    assert whole.item() == pytest.approx((parts[0] + 0.5 * parts[1]).item(), rel=1e-6)
    teacher = losses.MatryoshkaLoss(encoder, losses.MSELoss(encoder), [16, 4])
    assert teacher.compute_loss_from_embeddings(vectors[:1], torch.zeros(4, 16)).item() == pytest.approx(5 / 16)
    for dims, weights in (([32], None), ([], None), ([16, 4], [1.0]), ([0], None)):
        with pytest.raises(ArgumentError, match="matryoshka_dims"):
            losses.MatryoshkaLoss(encoder, inner, dims, weights)


def test_what_losses_do_not_read(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()
    features = [encoder.tokenize(column) for column in COLUMNS]
    with pytest.raises(InputError, match="TripletLoss needs 3 columns of texts, and the examples have 2"):
        losses.TripletLoss(encoder)(features[:2])
    with pytest.raises(InputError, match="CosineSimilarityLoss needs a label for each example"):
        losses.CosineSimilarityLoss(encoder)(features[:2])
    with pytest.raises(InputError, match=r"one label an example; labels have the shape \(4, 2\)"):
        losses.CoSENTLoss(encoder)(features[:2], torch.zeros(4, 2))
    softmax = losses.SoftmaxLoss(encoder, 16, 3)
    with pytest.raises(RangeError, match="row 2 of the batch is 3; SoftmaxLoss needs a class from 0 to 2"):
        softmax(features[:2], torch.tensor([0, 1, 3, 1]))
    with pytest.raises(RangeError, match=r"row 1 of the batch is 0\.5"):
        softmax(features[:2], torch.tensor([0, 0.5, 1, 1]))
    with pytest.raises(InputError, match="projection_dim=7"):
        losses.MSELoss(encoder)(features[:1], torch.zeros(4, 7))
    assert losses.MSELoss(encoder, projection_dim=7)(features[:1], torch.zeros(4, 7)).item() > 0
    wrong: list[dict[str, Any]] = [
        {"scale": 0},
        {"gather_across_devices": True},
        {"directions": ("doc_to_doc",)},
        {"directions": ("query_to_dog",)},
        {"hardness_mode": "hard"},
        {"partition_mode": "each"},
    ]
    for options in wrong:
        with pytest.raises(ArgumentError, match=next(iter(options))):
            losses.MultipleNegativesRankingLoss(encoder, **options)


def test_losses_of_pairs(ranker: Callable[[int], CrossEncoder]) -> None:
    one = ranker(1)
    logits = one.logits(list(zip(*COLUMNS[:2], strict=True)))[:, 0].detach()
    labels = torch.tensor([1, 0, 0, 1])
    for name, expected in {
        "BinaryCrossEntropyLoss": torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float()),
        "MSELoss": torch.nn.functional.mse_loss(logits, labels.float()),
    }.items():
        value = getattr(pair_losses, name)(one)(COLUMNS[:2], labels)
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
        value.backward()
        gradients(one)
    ranking, seen = pair_losses.MultipleNegativesRankingLoss(one, num_negatives=None), []
    one.model.register_forward_pre_hook(lambda *given: seen.append(len(given[2]["input_ids"])), with_kwargs=True)
    value = ranking(COLUMNS)
    every = [*COLUMNS[1], *COLUMNS[2]]  # each query with each of the texts but its own, its own first and last
    others = [[text for i, text in enumerate(every) if i % 4 != row] for row in range(4)]
    rows = [[COLUMNS[1][row], *others[row], COLUMNS[2][row]] for row in range(4)]
    scores = torch.stack([one.logits([(COLUMNS[0][i], text) for text in rows[i]])[:, 0] for i in range(4)])
    right = torch.zeros(4, dtype=torch.long)
    assert value.item() == pytest.approx(
        torch.nn.functional.cross_entropy(scores.sigmoid() * 10, right).item(), rel=1e-5
    )
    assert seen[0] == 4 * 8
    with pytest.raises(ArgumentError, match="needs a model with one label, and this one has 3"):
        pair_losses.BinaryCrossEntropyLoss(ranker(3))
    with pytest.raises(InputError, match=r"needs 2 columns of texts, and the examples have 3: \['a good film'"):
        pair_losses.BinaryCrossEntropyLoss(one)(COLUMNS, labels)
    with pytest.raises(ArgumentError, match="needs a CrossEncoder"):
        pair_losses.MSELoss(training.NoEncoder())


def test_classes_of_pairs(ranker: Callable[[int], CrossEncoder]) -> None:
    three = ranker(3)
    loss, logits = pair_losses.CrossEntropyLoss(three), three.logits(list(zip(*COLUMNS[:2], strict=True))).detach()
    labels = torch.tensor([0, 2, 1, 1])
    expected = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss(COLUMNS[:2], labels).item() == pytest.approx(expected, rel=1e-5)
    shares = torch.nn.functional.one_hot(labels, 3).float()
    assert loss(COLUMNS[:2], shares).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(RangeError, match=r"The label of \['film', 'was'\] is 3"):
        loss(COLUMNS[:2], torch.tensor([0, 1, 3, 1]))
