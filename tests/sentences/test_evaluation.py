"""Evaluators: the numbers, names and tables of sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import goldens
import numpy as np
import pytest
from goldens import training

from formers import SentenceEncoder
from formers.errors import ArgumentError, InputError
from formers.sentences import InputExample, SimilarityFunction, evaluation
from formers.sentences.cross_encoder import evaluation as of_pairs
from formers.sentences.evaluation import metrics

from .conftest import TEXTS

GOLDENS = json.loads((Path(goldens.__file__).parent / "training.json").read_text(encoding="utf-8"))["evaluators"]


@pytest.mark.parametrize("number", range(len(training.EVALUATORS)))
def test_results_and_tables(number: int, tmp_path: Path) -> None:
    name, given, options, labels = training.EVALUATORS[number]
    expected = GOLDENS[number]
    model = training.FixedEncoder() if labels is None else training.FixedRanker(labels)
    evaluator = getattr(evaluation if labels is None else of_pairs, name)(*given, **options)
    for _ in range(2):  # names are put before names once
        found = evaluator(model, tmp_path, 1.0, 5)
        assert list(found) == list(expected["found"]) or sorted(found) == sorted(expected["found"])
        assert found == pytest.approx(expected["found"], rel=1e-5, abs=1e-6)
        assert evaluator.primary_metric == expected["primary"]
    file, header, row = expected["table"]
    lines = (tmp_path / file).read_text().splitlines()
    assert lines[0] == header and len(lines) == 3 and lines[1] == lines[2]
    assert [float(value) for value in lines[1].split(",")] == pytest.approx(row, rel=1e-5, abs=1e-6)
    assert len(list(tmp_path.iterdir())) == 1


def test_several_as_one(small: Callable[..., SentenceEncoder]) -> None:
    encoder = small()
    triplets = evaluation.TripletEvaluator(TEXTS[:2], TEXTS[2:4], TEXTS[4:6], name="t")
    teacher = evaluation.MSEEvaluator(TEXTS, TEXTS[::-1], encoder, name="m")
    whole = evaluation.SequentialEvaluator([triplets, teacher, lambda *_: 0.25])
    found = whole(encoder)
    assert list(found) == ["t_cosine_accuracy", "m_negative_mse", "evaluator_2", "sequential_score"]
    assert found["sequential_score"] == 0.25 and whole.primary_metric == "sequential_score"
    vectors = encoder.encode(TEXTS)
    assert found["m_negative_mse"] == pytest.approx(-100 * ((vectors - vectors[::-1]) ** 2).mean(), rel=1e-5)
    first = evaluation.SequentialEvaluator([triplets, teacher], main_score_function=lambda scores: scores[0])
    assert first(encoder)["sequential_score"] == found["t_cosine_accuracy"]


@pytest.mark.parametrize("precision", ["int8", "ubinary", "binary"])
def test_vectors_of_fewer_bits(small: Callable[..., SentenceEncoder], precision: str) -> None:
    encoder = small()
    examples = [InputExample(texts=list(pair), label=i) for i, pair in enumerate(zip(TEXTS, TEXTS[::-1], strict=True))]
    made = evaluation.EmbeddingSimilarityEvaluator.from_input_examples(
        examples, precision=precision, main_similarity=SimilarityFunction.DOT_PRODUCT
    )
    found = made(encoder)
    vectors = encoder.encode([*TEXTS, *TEXTS[::-1]], precision=precision, normalize_embeddings=True)
    if precision != "int8":
        signed = vectors.astype(np.int16) + (128 if precision == "binary" else 0)
        vectors = np.unpackbits(signed.astype(np.uint8), axis=1)
    first, second = np.split(vectors.astype(np.float64), 2)
    dots = (first * second).sum(1)
    assert found["pearson_dot"] == pytest.approx(np.corrcoef(dots, range(8))[0, 1], abs=1e-6)
    assert made.csv_file == f"similarity_evaluation_{precision}_results.csv"


def test_numbers() -> None:
    assert metrics.ranks([3, 1, 3, 2]).tolist() == [3.5, 1, 3.5, 2]
    assert np.isnan(metrics.pearson([1, 1, 1], [1, 2, 3]))
    assert metrics.spearman([1, 2, 3], [1, 8, 27]) == pytest.approx(1)
    scores = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    assert metrics.best_accuracy(scores, [0, 0, 0, 0]) == (1.0, float(np.nextafter(scores[0], np.float32(np.inf))))
    assert metrics.best_f1(scores, [0, 0, 0, 0]) == (0, 0, 0, 0)
    assert metrics.best_f1(scores, [1, 1, 0, 0]) == (1, 1, 1, pytest.approx(0.75))
    assert metrics.average_precision([0, 0], [1, 2]) == 0
    assert metrics.matthews([1, 1, 0], [1, 1, 1]) == 0
    assert metrics.ndcg([0, 1], [1, 1], 1) == pytest.approx(0.5)  # half of the orders have it first


def test_predictions_are_written(tmp_path: Path) -> None:
    queries, corpus = {"q": "one"}, {f"d{i}": f"text {i}" for i in range(5)}
    made = evaluation.InformationRetrievalEvaluator(queries, corpus, {"q": {"d3"}}, write_predictions=True, name="n")
    found = made(training.FixedEncoder(), tmp_path)
    (line,) = (tmp_path / "Information-Retrieval_evaluation_n_predictions_cosine.jsonl").read_text().splitlines()
    results = json.loads(line)["results"]
    assert json.loads(line)["query"] == "one" and len(results) == 5
    place = [row["corpus_id"] for row in results].index("d3") + 1
    assert found["n_cosine_mrr@10"] == pytest.approx(1 / place)
    assert [row["score"] for row in results] == sorted((row["score"] for row in results), reverse=True)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(InputError, match="2 sentences1 and 1 sentences2"):
        evaluation.EmbeddingSimilarityEvaluator(["a", "b"], ["a"], [1, 2])
    with pytest.raises(ArgumentError, match="'cosin' is not one of"):
        evaluation.TripletEvaluator(["a"], ["b"], ["c"], similarity_fn_names=["cosin"])
    with pytest.raises(ArgumentError, match="margin has 'l2'"):
        evaluation.TripletEvaluator(["a"], ["b"], ["c"], margin={"l2": 1})
    with pytest.raises(InputError, match=r"labels\[1\] is 2"):
        evaluation.BinaryClassificationEvaluator(["a", "b"], ["a", "b"], [0, 2])
    with pytest.raises(InputError, match="'d9', which is not in the corpus"):
        evaluation.InformationRetrievalEvaluator({"q": "a"}, {"d": "b"}, {"q": {"d9"}})
    with pytest.raises(InputError, match="nothing to find"):
        evaluation.InformationRetrievalEvaluator({"q": "a"}, {"d": "b"}, {})
    with pytest.raises(ArgumentError, match="teacher_model"):
        evaluation.MSEEvaluator(["a"], ["a"])
    with pytest.raises(InputError, match=r"samples\[0\] needs"):
        of_pairs.CrossEncoderRerankingEvaluator([{"query": "a", "positive": "b"}])
    with pytest.raises(InputError, match="has 3 labels"):
        of_pairs.CrossEncoderCorrelationEvaluator([("a", "b")], [1])(training.FixedRanker(3))
    examples: Any = [InputExample(texts=["a"])]
    with pytest.raises(InputError, match=r"examples\[0\] has 1 texts; 3 are needed"):
        evaluation.TripletEvaluator.from_input_examples(examples)
