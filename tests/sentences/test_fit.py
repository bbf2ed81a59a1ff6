"""`fit` of both encoders: what is learned, saved and measured on the way, and what stops it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from formers import CrossEncoder, SentenceEncoder
from formers.errors import ArgumentError, FormersError, InputError, RangeError
from formers.sentences import InputExample, Pooling, Transformer, evaluation, losses
from formers.sentences.cross_encoder import losses as pair_losses
from formers.sentences.cross_encoder.evaluation import CrossEncoderClassificationEvaluator
from formers.sentences.fit import scheduled

from .conftest import TEXTS

PAIRS = [(TEXTS[i], TEXTS[(i + 3) % 8]) for i in range(8)]
SCORED = [InputExample(texts=list(pair), label=float(i % 2)) for i, pair in enumerate(PAIRS)]
QUIET: dict[str, Any] = {"show_progress_bar": False, "warmup_steps": 0}


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def moved(model: Any, before: dict[str, torch.Tensor]) -> float:
    return max(float((value - before[name]).abs().max()) for name, value in model.state_dict().items())


def test_what_is_learned(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()
    before = encoder.similarity_pairwise(*(encoder.encode(column) for column in zip(*PAIRS, strict=True)))
    loss = losses.CosineSimilarityLoss(encoder)
    torch.manual_seed(0)
    encoder.fit([(SCORED, loss)], epochs=30, optimizer_params={"lr": 1e-2}, batch_size=4, **QUIET)
    after = encoder.similarity_pairwise(*(encoder.encode(column) for column in zip(*PAIRS, strict=True)))
    wanted = torch.tensor([example.label for example in SCORED])
    assert (after - wanted).abs().mean() < 0.5 * (before - wanted).abs().mean()
    assert not encoder.training and all(one.grad is None for one in encoder.parameters())


def test_steps_are_those_of_a_loop(small: Callable[..., SentenceEncoder]) -> None:
    """The rule of the optimizer, of weight decay, of clipping and of the schedule, written down once more."""
    ours, by_hand = small(), small()
    loader = DataLoader(SCORED, batch_size=3)
    options: dict[str, Any] = {"weight_decay": 0.5, "max_grad_norm": 0.1, "optimizer_params": {"lr": 0.1}}
    ours.fit(
        [(loader, losses.CosineSimilarityLoss(ours))], epochs=2, warmup_steps=2, optimizer_class=torch.optim.SGD,
        show_progress_bar=False, **options,
    )  # fmt: skip
    loss, named = losses.CosineSimilarityLoss(by_hand), dict(by_hand.named_parameters())
    for step in range(6):
        rows = SCORED[step % 3 * 3 : step % 3 * 3 + 3]
        features = [by_hand.tokenize([row.texts[side] for row in rows]) for side in (0, 1)]
        loss(features, torch.tensor([row.label for row in rows])).backward()
        norm = math.sqrt(sum(float(one.grad.square().sum()) for one in named.values() if one.grad is not None))
        rate = 0.1 * (step / 2 if step < 2 else (6 - step) / 4)
        for name, one in named.items():
            if one.grad is not None:
                decay = 0.0 if "bias" in name or "LayerNorm" in name else 0.5
                one.data -= rate * (one.grad * min(1, 0.1 / norm) + decay * one.data)
                one.grad = None
    assert moved(ours, weights(small())) > 1e-3
    assert moved(ours, weights(by_hand)) < 1e-5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constantlr", [1, 1, 1, 1, 1, 1]),
        ("WarmupConstant", [0, 0.5, 1, 1, 1, 1]),
        ("WarmupLinear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("WarmupCosine", [0, 0.5, 1, *(0.5 + 0.5 * math.cos(math.pi * k / 4) for k in (1, 2, 3))]),
        ("warmupcosinewithhardrestarts", [0, 0.5, 1, *(0.5 + 0.5 * math.cos(math.pi * k / 4) for k in (1, 2, 3))]),
    ],
)
def test_schedules(name: str, expected: list[float]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    schedule, found = scheduled(name, optimizer, 2, 6), []
    for _ in range(6):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert found == pytest.approx(expected)
    with pytest.raises(ArgumentError, match="warmuplinear"):
        scheduled("WarmupLinea", optimizer, 2, 6)


@pytest.mark.parametrize("form", ["examples", "tuples", "dictionaries", "loader"])
def test_forms_of_data(small: Callable[..., SentenceEncoder], form: str) -> None:
    encoder = small()
    data: Any = {
        "examples": SCORED,
        "tuples": [(*pair, example.label) for pair, example in zip(PAIRS, SCORED, strict=True)],
        "dictionaries": [
            {"a": a, "score": e.label, "b": b} if e.label else {"b": b, "a": a, "score": e.label}
            for (a, b), e in zip(PAIRS, SCORED, strict=True)
        ][::-1],
        "loader": DataLoader(SCORED, batch_size=8, collate_fn=len),
    }[form]
    sgd: dict[str, Any] = {"optimizer_class": torch.optim.SGD, "optimizer_params": {"lr": 1e-2}, "batch_size": 8}
    encoder.fit([(data, losses.CoSENTLoss(encoder))], **sgd, **QUIET)
    other = small()
    other.fit([(SCORED, losses.CoSENTLoss(other))], **sgd, **QUIET)
    assert moved(encoder, weights(other)) < 1e-5 < moved(encoder, weights(small()))
    if form == "loader":
        assert data.collate_fn is len  # as it was


def test_what_is_saved_and_measured(small: Callable[..., SentenceEncoder], tmp_path: Path) -> None:
    encoder, told = small(), []
    values = iter([0.1, 0.5, float("nan"), 0.3])
    kept: list[dict[str, torch.Tensor]] = []

    class Own(evaluation.SentenceEvaluator):
        primary_metric = "own"

        def __call__(self, model: Any, output_path: Any = None, epoch: float = -1, steps: int = -1) -> Any:
            assert not model.training and Path(output_path).name == "eval"
            model.encode(TEXTS)
            kept.append(weights(model))
            return {"other": 9, "own": next(values)}

    encoder.fit(
        [(SCORED, losses.CosineSimilarityLoss(encoder)), (PAIRS, losses.MultipleNegativesRankingLoss(encoder))],
        Own(), epochs=2, evaluation_steps=2, output_path=tmp_path / "out", batch_size=2, optimizer_params={"lr": 1e-3},
        callback=lambda *given: told.append(given), checkpoint_path=tmp_path / "copies", checkpoint_save_steps=3,
        checkpoint_save_total_limit=2, **QUIET,
    )  # fmt: skip
    assert [given[1:] for given in told] == [(0.5, 2), (1.0, 4), (1.5, 6), (2.0, 8)]
    assert [given[0] for given in told] == pytest.approx([0.1, 0.5, float("nan"), 0.3], nan_ok=True)
    best, last = SentenceEncoder.from_pretrained(tmp_path / "out"), small()
    assert moved(best, kept[1]) == 0 < moved(best, kept[3])
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == ["checkpoint-6", "checkpoint-8"]
    assert moved(SentenceEncoder.from_pretrained(tmp_path / "copies" / "checkpoint-8"), weights(encoder)) == 0
    last.fit([(SCORED, losses.CosineSimilarityLoss(last))], output_path=tmp_path / "last", **QUIET)
    assert moved(SentenceEncoder(str(tmp_path / "last")), weights(last)) == 0 < moved(last, weights(small()))


def test_less_is_better(small: Callable[..., SentenceEncoder], tmp_path: Path) -> None:
    encoder, values = small(), iter([0.5, 0.9])

    class Own(evaluation.SentenceEvaluator):
        def __init__(self) -> None:
            super().__init__()
            self.greater_is_better = False

        def __call__(self, *_: Any, **__: Any) -> Any:
            seen.append(weights(encoder))
            return next(values)

    seen: list[Any] = []
    loss = losses.CosineSimilarityLoss(encoder)
    encoder.fit([(SCORED, loss)], Own(), epochs=2, output_path=tmp_path, optimizer_params={"lr": 1e-2}, **QUIET)
    assert moved(SentenceEncoder(tmp_path), seen[0]) == 0 < moved(encoder, seen[0])


def test_dropout_and_bfloat16(small: Callable[..., SentenceEncoder]) -> None:
    after = []
    for options in ({}, {"seed": 1}, {"use_amp": True}):
        encoder = small(0.2)
        torch.manual_seed(options.pop("seed", 0))
        loader = DataLoader(SCORED, batch_size=8)
        sgd = {"optimizer_class": torch.optim.SGD, "optimizer_params": {"lr": 0.1}}
        encoder.fit([(loader, losses.CosineSimilarityLoss(encoder))], **sgd, **options, **QUIET)
        after.append(encoder)
    assert moved(after[1], weights(after[0])) > 1e-5  # other draws of dropout
    assert 0 < moved(after[2], weights(after[0])) < moved(after[0], weights(small()))
    assert all(value.dtype == torch.float32 for value in after[2].parameters())


def test_steps_per_epoch_go_round(small: Callable[..., SentenceEncoder]) -> None:
    encoder, told = small(), []
    evaluator = evaluation.TripletEvaluator(TEXTS[:2], TEXTS[2:4], TEXTS[4:6])
    encoder.fit(
        [(SCORED, losses.CosineSimilarityLoss(encoder))], evaluator, epochs=2, steps_per_epoch=5, batch_size=4,
        callback=lambda *given: told.append(given[1:]), **QUIET,
    )  # fmt: skip
    assert told == [(1.0, 5), (2.0, 10)]


def test_modules_as_scripts_make_them(small: Callable[..., SentenceEncoder], tmp_path: Path) -> None:
    made = small()
    first = Transformer(made.model, made.tokenizer, 60)
    encoder = SentenceEncoder(
        modules=[first, Pooling(first.get_word_embedding_dimension(), pooling_mode_mean_tokens=True)]
    )
    assert np.allclose(encoder.encode(TEXTS), made.encode(TEXTS), atol=1e-6)
    encoder.save(tmp_path)
    again = SentenceEncoder(str(tmp_path), prompts={"query": "x: "}, truncate_dim=4)
    assert again.encode(TEXTS).shape == (8, 4) and again.prompts["query"] == "x: " and again.max_seq_length == 60
    opened = SentenceEncoder(modules=[Transformer(str(tmp_path), max_seq_length=60), Pooling(16, "cls")])
    firsts = [one[0] for one in made.encode(TEXTS, output_value="token_embeddings")]
    assert np.allclose(opened.encode(TEXTS), torch.stack(firsts), atol=1e-6)
    assert len(encoder) == 2 and encoder[-1] is encoder[1] and not encoder.training
    encoder.model = made.model  # which is the first module's, and no part beside it
    assert len(encoder) == 2
    with pytest.raises(ArgumentError, match="needs a model, or modules"):
        SentenceEncoder(modules=[Pooling("mean")])
    with pytest.raises(ArgumentError, match="loads its own tokenizer"):
        SentenceEncoder(str(tmp_path), made.tokenizer)
    with pytest.raises(ArgumentError, match="'revision'"):
        SentenceEncoder(made.model, made.tokenizer, revision="main")


def test_pairs(ranker: Callable[[int], CrossEncoder], tmp_path: Path) -> None:
    three = [InputExample(texts=list(pair), label=i % 3) for i, pair in enumerate(PAIRS)]
    for labels, data in ((1, SCORED), (3, three)):
        given, function, own = (ranker(labels) for _ in range(3))
        sgd = {"optimizer_class": torch.optim.SGD, "optimizer_params": {"lr": 0.1}, "batch_size": 8, **QUIET}
        before = weights(given)
        given.fit(data, output_path=tmp_path / "out", epochs=3, **sgd)
        torch_loss = torch.nn.BCEWithLogitsLoss() if labels == 1 else torch.nn.CrossEntropyLoss()
        function.fit(data, loss_fct=torch_loss, epochs=3, **sgd)
        kind = pair_losses.BinaryCrossEntropyLoss if labels == 1 else pair_losses.CrossEntropyLoss
        own.fit(data, loss_fct=kind(own), epochs=3, **sgd)
        assert moved(given, before) > 1e-3
        assert moved(function, weights(given)) < 1e-6 and moved(own, weights(given)) < 1e-6
        again = CrossEncoder(tmp_path / "out", max_length=40)
        assert np.allclose(again.predict(PAIRS), given.predict(PAIRS), atol=1e-6) and again.max_length == 40


def test_pairs_learn(ranker: Callable[[int], CrossEncoder], tmp_path: Path) -> None:
    one = ranker(1)
    torch.manual_seed(0)
    evaluator = CrossEncoderClassificationEvaluator(PAIRS, [int(example.label) for example in SCORED], name="dev")
    one.fit(SCORED, evaluator, epochs=40, optimizer_params={"lr": 1e-2}, output_path=tmp_path, batch_size=4, **QUIET)
    assert evaluator(CrossEncoder(tmp_path))["dev_accuracy"] == 1
    assert (one.predict(PAIRS).round() == [example.label for example in SCORED]).all()
    lines = (tmp_path / "eval" / "CrossEncoderClassificationEvaluator_dev_results.csv").read_text().splitlines()
    assert len(lines) == 41


BAD: list[tuple[Any, str]] = [
    ([], r"train_objectives\[0\] has no examples"),
    ([("a", "b", 0.5), ("a", "b")], "Example 1 has no label, and others have one"),
    ([("a", "b", 0.5), ("a", "b", "c", 0.5)], "Example 1 has 3 texts, and Example 0 has 2"),
    ([("a", "b", 0.5), ("a", "b", {})], r"Example 1 has \{\} \(dict\) as its label"),
    ([InputExample(texts=["a", "b"], label="yes")], r"Example 0 has 'yes' \(str\) as its label"),
    ([InputExample(texts=["a", "b"], label=None)], "Example 0 has None as its label"),
    ([InputExample(texts=["a", "b"], label=float("nan"))], "Example 0 has nan as its label, which is not finite"),
    ([InputExample(texts=["a", 3], label=1)], r"Example 0 has 3 \(int\) where a text"),
    ([InputExample(label=1)], "Example 0 has no texts"),
    ([{"a": "x", "b": "y", "label": 1, "score": 1}], "labels under 'label' and 'score'"),
    ([("", " ", 1.0), ("", "", 0.0)], "There is nothing in the texts"),
    ([7], "Example 0 is a int"),
    ([{"a": "x", "b": "y"}, {"a": "x", "c": "y"}], "Example 1 has the columns a, c, and Example 0 has a, b"),
    ([{"a": "x", "b": "y"}, ("x", "y")], r"Example 1 has no columns: \('x', 'y'\)"),
    ([("a", "b", [1.0]), ("a", "b", [1.0, 2.0])], "do not make one tensor"),
    ([("a", "b")], r"CosineSimilarityLoss needs a label for each example, and the examples have none, as \['a', 'b'\]"),
    ([("a", "b", "c", 1.0)], r"needs 2 columns of texts, and the examples have 3: \['a', 'b', 'c'\]"),
    (DataLoader(SCORED, batch_size=9, drop_last=True), "gives no batch"),
    (iter(SCORED), "a DataLoader, or a list"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_data(small: Callable[..., SentenceEncoder], data: Any, message: str) -> None:
    encoder = small()
    before = weights(encoder)
    with pytest.raises(FormersError, match=message):
        encoder.fit([(data, losses.CosineSimilarityLoss(encoder))], **QUIET)
    assert moved(encoder, before) == 0 and not encoder.training


def test_a_class_that_is_none(small: Callable[..., SentenceEncoder], ranker: Callable[[int], CrossEncoder]) -> None:
    encoder = small()
    rows = [("a", "b", 0), ("the film", "bad", 3)]
    with pytest.raises(RangeError, match=r"The label of \['the film', 'bad'\] is 3; SoftmaxLoss needs a class from 0"):
        encoder.fit([(rows, losses.SoftmaxLoss(encoder, 16, 3))], **QUIET)
    with pytest.raises(RangeError, match=r"The label of \['the film', 'bad'\] is 3; CrossEntropyLoss"):
        ranker(3).fit(rows, **QUIET)


def test_a_loss_that_is_not_finite(small: Callable[..., SentenceEncoder], tmp_path: Path) -> None:
    encoder = small()

    class Own(losses.CosineSimilarityLoss):
        calls, worse = 0, 1.0

        def compute_loss_from_embeddings(self, embeddings: Any, labels: Any) -> Any:
            self.calls += 1
            before.append(weights(encoder))
            value = super().compute_loss_from_embeddings(embeddings, labels)
            return value if self.calls < 3 else value * self.worse

    for worse, found in ((float("nan"), "the loss is nan"), (float("inf"), "the loss is inf")):
        before: list[Any] = []
        loader = DataLoader(SCORED, batch_size=4)
        loss = Own(encoder)
        loss.worse = worse
        with pytest.raises(InputError, match=rf"Step 3: {found}, at a learning rate of 1.33e-05.*'a good film'"):
            encoder.fit([(loader, loss)], epochs=3, output_path=tmp_path / "out", **QUIET)
        assert moved(encoder, before[2]) == 0 < moved(encoder, before[1])
        assert not (tmp_path / "out").exists()
        assert all(one.grad is None for one in encoder.parameters())


def test_arguments_that_are_not_possible(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()
    loss = losses.CosineSimilarityLoss(encoder)
    for options, message in (
        ({"scheduler": "linear"}, "scheduler='linear' is not known"),
        ({"epochs": -1}, "epochs=-1"),
        ({"warmup_steps": 1.5}, r"warmup_steps=1\.5"),
    ):
        with pytest.raises(ArgumentError, match=message):
            encoder.fit([(SCORED, loss)], **{**QUIET, **options})
    for objectives, message in (
        ([], "nothing in it"),
        ([SCORED], r"train_objectives\[0\]"),
        ([(SCORED, 3)], "is needed"),
    ):
        with pytest.raises(ArgumentError, match=message):
            encoder.fit(objectives, **QUIET)
    for one in encoder.parameters():
        one.requires_grad = False
    with pytest.raises(ArgumentError, match="resume_from_checkpoint"):
        encoder.fit([(SCORED, loss)], resume_from_checkpoint=True, **QUIET)
    with pytest.raises(InputError, match="No parameter of the model is trained"):
        encoder.fit([(SCORED, loss)], **QUIET)


@pytest.mark.parametrize("name", ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss", "CoSENTLoss"])
def test_beside_sentence_transformers(minilm: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights after some steps of a published model, by both libraries."""
    theirs = pytest.importorskip("sentence_transformers")
    their_losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    monkeypatch.chdir(tmp_path)  # it writes beside
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    other = theirs.SentenceTransformer(str(minilm), device="cpu", config_kwargs=still)
    encoder = SentenceEncoder.from_pretrained(minilm, **still)
    before = weights(encoder)
    sgd: dict[str, Any] = {"optimizer_class": torch.optim.SGD, "optimizer_params": {"lr": 0.1}, **QUIET}
    for model, example, library in ((encoder, InputExample, losses), (other, theirs.InputExample, their_losses)):
        rows = [example(texts=list(pair), label=i / 8) for i, pair in enumerate(PAIRS)]
        options = {"mini_batch_size": 3} if name.startswith("Cached") else {}
        loss = getattr(library, name)(model, **options)
        model.fit([(DataLoader(rows, batch_size=8), loss)], epochs=3, **sgd)
    expected = {key.rpartition("model.")[2]: value for key, value in other.state_dict().items()}
    found = {key.rpartition("model.")[2]: value for key, value in encoder.state_dict().items()}
    shared = [key for key in found if key in expected]
    assert len(shared) > 100 and moved(encoder, before) > 1e-3
    assert max(float((found[key] - expected[key]).abs().max()) for key in shared) < 1e-5
