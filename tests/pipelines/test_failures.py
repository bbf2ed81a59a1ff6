"""Every task: streams are lazy and in order, and an input that cannot be used is found, named, raised or handed out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import pytest
from pipelines.conftest import Make, texts
from torch.utils.data import Dataset

from formers import errors, pipeline
from formers.pipelines import Pipeline, TextClassificationPipeline

TEXTS = texts(60, (1, 9))
BESIDE = [list(pair) for pair in pairwise(TEXTS)]
LONG = "good " * 100
# task: architecture, configuration, arguments, inputs that are fine, and inputs that are not
TASKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[Any], list[Any]]] = {
    "text-classification": ("BertForSequenceClassification", {"num_labels": 3}, {}, TEXTS, [None, LONG, "\ud83d"]),
    "token-classification": ("BertForTokenClassification", {}, {}, TEXTS, [3, ("a", "b"), b"a"]),
    "question-answering": (
        "BertForQuestionAnswering",
        {},
        {"doc_stride": 5},
        [{"question": a, "context": b} for a, b in BESIDE],
        [None, {"question": "a"}, {"question": LONG, "context": "a film"}, {"question": "\ud83d", "context": "a"}],
    ),
    "zero-shot-classification": (
        "BertForSequenceClassification",
        {"num_labels": 3},
        {"candidate_labels": ["film", "story"]},
        TEXTS,
        ["", None, ("a", "b"), LONG],
    ),
    "fill-mask": ("BertForMaskedLM", {}, {}, [f"{text} [MASK]" for text in TEXTS], ["a film", None, f"[MASK] {LONG}"]),
    "feature-extraction": ("BertModel", {}, {"pooling": "mean"}, TEXTS, [None, LONG, 4.5]),
    "text-ranking": (
        "BertForSequenceClassification",
        {"num_labels": 1},
        {},
        [{"query": a, "documents": [b, a, "film"]} for a, b in BESIDE],
        ["a", {"query": "a", "documents": ["b", None]}, {"query": "a", "documents": ["b", LONG]}],
    ),
    "multiple-choice": (
        "BertForMultipleChoice",
        {},
        {},
        [{"prompt": a, "choices": [b, "film", a][: 1 + len(a) % 3]} for a, b in BESIDE],
        [None, {"prompt": "a", "choices": []}, {"prompt": LONG, "choices": ["b"]}],
    ),
    "next-sentence": (
        "BertForNextSentencePrediction",
        {},
        {},
        [tuple(pair) for pair in BESIDE],
        ["a", None, ("a", LONG), ("a", 3)],
    ),
}


class Rows(Dataset[Any]):
    def __init__(self, rows: list[Any]) -> None:
        self.rows, self.read = rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return self.rows[index]


@pytest.fixture(scope="module", params=list(TASKS))
def case(request: pytest.FixtureRequest, make: Make) -> tuple[Any, list[Any], list[Any]]:
    """A pipeline, inputs that it can use, and inputs that it cannot."""
    architecture, config, options, good, bad = TASKS[request.param]
    return pipeline(request.param, model=make(architecture, **config), **options), good, bad


def near(found: Any, expected: Any) -> bool:
    """Whether two results are the same, but for what rounding does to numbers."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(near(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(near, found, expected))
    return found == pytest.approx(expected, abs=1e-5) if isinstance(expected, float) else bool(found == expected)


def mixed(good: list[Any], bad: list[Any]) -> tuple[list[Any], list[int]]:
    """The good inputs with a bad one after every eighth and at both ends, and where the bad ones are."""
    rows, places = list(good), []
    for number, place in enumerate([*range(0, len(good), 9), len(good)]):
        rows.insert(place, bad[number % len(bad)])
    places = [place for place, row in enumerate(rows) if any(row is one for one in bad)]
    return rows, places


@pytest.mark.parametrize("size", [None, 4])
def test_streams(case: Any, size: int | None) -> None:
    pipe, good, _ = case
    expected = [pipe(item) for item in good]
    expected = [one[0] if pipe.task == "text-classification" else one for one in expected]
    assert near(list(pipe((item for item in good), batch_size=size)), expected)
    rows = Rows(good * 10)
    results = pipe(rows, batch_size=size)
    assert rows.read == 0
    assert near(list(islice(results, len(good))), expected)
    assert len(good) <= rows.read <= 200  # of 600

    read = 0

    def endless() -> Iterator[Any]:
        nonlocal read
        while True:
            yield good[read % len(good)]
            read += 1

    assert near(list(islice(pipe(endless(), batch_size=size), len(good))), expected)
    assert read <= 4096


@pytest.mark.parametrize("size", [None, 4])
def test_errors_in_the_places_of_results(case: Any, size: int | None) -> None:
    pipe, good, bad = case
    rows, places = mixed(good, bad)
    expected = pipe(good, batch_size=size)
    for given in (rows, iter(rows), Rows(rows)):
        found = list(pipe(given, batch_size=size, on_error="return"))
        assert len(found) == len(rows)
        assert [place for place, result in enumerate(found) if isinstance(result, Exception)] == places
        for place in places:
            assert isinstance(found[place], errors.FormersError)
            assert f"inputs[{place}]" in str(found[place])
            assert found[place].__traceback__ is None
        assert near([result for result in found if not isinstance(result, Exception)], expected)
    for item in bad:
        if not isinstance(item, tuple):  # which is a list of inputs
            assert str(pipe(item, on_error="return")).startswith("The input")


def test_errors_that_are_raised(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, good, bad = case
    for item in bad:
        with pytest.raises(errors.InputError, match=r"inputs\[7\]"):
            pipe([*good[:7], item, *good[7:]])
        for stream in (iter([*good[:7], item]), Rows([*good[:7], item])):
            results = iter(pipe(stream))
            assert len(list(islice(results, 7))) == 7  # what comes before it is not lost
            with pytest.raises(errors.InputError, match=r"inputs\[7\]"):
                next(results)
    monkeypatch.setattr(type(pipe), "forward", lambda *_, **__: pytest.fail("work was done"))
    monkeypatch.setattr(type(pipe), "preprocess_batch", lambda *_, **__: pytest.fail("work was done"))
    wrong = [item for item in bad if LONG not in str(item)]  # what is too long is known when it is tokenized
    assert wrong
    for item in wrong:
        with pytest.raises(errors.InputError, match=rf"inputs\[{len(good)}\]"):
            pipe([*good, item])


def test_nothing_is_encoded_or_run_twice_while_nothing_fails(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, good, bad = case
    shapes: list[Any] = []
    forward = type(pipe).forward

    def watched(self: Any, inputs: Any, **parameters: Any) -> Any:
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(self, inputs, **parameters)

    monkeypatch.setattr(type(pipe), "forward", watched)
    pipe(good)
    plain = list(shapes)
    for rows in (good, mixed(good, bad)[0]):
        shapes.clear()
        pipe(rows, on_error="return")
        assert shapes == plain


def test_the_argument(classifier: Any, classifier_folder: Any) -> None:
    for make in (
        lambda: classifier("a", on_error="retrun"),
        lambda: pipeline(model=classifier_folder, on_error="retrun"),
    ):
        with pytest.raises(errors.ArgumentError, match=r"on_error='retrun' is not known\. Did you mean 'return'"):
            make()
    pipe = pipeline(model=classifier_folder, on_error="return")
    assert "is None" in str(pipe(["a", None])[1])
    with pytest.raises(errors.InputError, match=r"inputs\[1\] is None"):
        pipe(["a", None], on_error="raise")
    with pytest.raises(errors.ArgumentError, match="no argument 'topk'"):
        pipe(["a"], topk=1)
    with pytest.raises(errors.ArgumentError, match="pading"):
        pipe(["a"], padding="pading")


def test_a_model_that_does_not_fit_is_no_error_of_an_input(base_folder: Any, classifier_folder: Any) -> None:
    for task in ("text-classification", "question-answering"):
        pipe = pipeline(task, model=pipeline("feature-extraction", model=base_folder).model, on_error="return")
        with pytest.raises(errors.HeadError, match="gives no logits"):
            pipe([{"question": "a", "context": "b"}] * 2 if task == "question-answering" else ["a", "b"])


class Strict(TextClassificationPipeline):
    """Hooks of one's own that fail for some inputs."""

    def preprocess(self, inputs: Any, **parameters: Any) -> Any:
        if inputs["text"] == "odd":
            raise KeyError("odd")
        return super().preprocess(inputs["text"].lower(), **parameters)

    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        found = super().postprocess(model_outputs, **parameters)
        if model_outputs["logits"].shape[0] != 1:
            raise AssertionError("one at a time")
        return 1 / (found["label"] != "LABEL_9") and found


class Checked(Strict):
    """A check of one's own."""

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        if not isinstance(item, dict):
            raise errors.InputError(f"{name} is no dictionary")


def test_hooks_of_one_s_own(classifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": "odd" if number % 4 == 1 else text} for number, text in enumerate(TEXTS[:12])]
    strict = Strict(model=classifier.model, tokenizer=classifier.tokenizer)
    for given in (rows, iter(rows)):
        found = list(strict(given, on_error="return"))
        assert [isinstance(result, errors.InputError) for result in found] == [n % 4 == 1 for n in range(12)]
        assert str(found[5]) == "inputs[5]: KeyError: 'odd'"
        assert isinstance(found[5].__cause__, KeyError)
    with pytest.raises(KeyError, match="odd"):
        strict(rows)
    checked = Checked(model=classifier.model, tokenizer=classifier.tokenizer)
    with pytest.raises(errors.InputError, match=r"inputs\[2\] is no dictionary"):
        checked([*rows[2:4], "a"])
    assert str(checked([rows[2], "a"], on_error="return")[1]) == "inputs[1] is no dictionary"

    def failing(self: Any, model_outputs: Any, **parameters: Any) -> Any:
        raise ZeroDivisionError("no result")

    monkeypatch.setattr(TextClassificationPipeline, "postprocess", failing)
    assert [str(one) for one in classifier(["a", "b"], on_error="return")] == [
        f"inputs[{n}]: ZeroDivisionError: no result" for n in range(2)
    ]
    for given in (["a", "b"], iter(["a", "b"])):
        with pytest.raises(ZeroDivisionError) as error:
            list(classifier(given))
        if sys.version_info >= (3, 11):
            assert error.value.__notes__ == ["The input in question is inputs[0]."]


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_an_error_of_a_batch_says_what_it_held(classifier: Any, monkeypatch: pytest.MonkeyPatch, on_error: str) -> None:
    def failing(self: Any, model_inputs: Any, **parameters: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(Pipeline, "forward", failing)
    with pytest.raises(MemoryError, match="no room") as error:
        classifier(["a film", "a", "a good film"], on_error=on_error)
    if sys.version_info >= (3, 11):
        assert error.value.__notes__ == ["The batch held inputs[1], inputs[0], inputs[2]."]
        with pytest.raises(MemoryError) as error:
            classifier(["a"] * 30, batch_size=25)
        assert error.value.__notes__[0].endswith("inputs[19] and 5 more.")
        with pytest.raises(MemoryError) as error:
            classifier("a")
        assert not hasattr(error.value, "__notes__")


def test_an_input_that_the_model_refuses(classifier_folder: Any) -> None:
    """A token that the model has no row for: the batch is run again one by one."""
    pipe = pipeline("text-classification", model=classifier_folder)
    pipe.tokenizer.add_tokens(["zebra"])
    texts = ["a film", "a zebra", "good", "zebra"]
    found = pipe(texts, on_error="return")
    assert [isinstance(result, errors.InputError) for result in found] == [False, True, False, True]
    assert "inputs[3]: RangeError: " in str(found[3])
    assert near([found[0], found[2]], pipe(["a film", "good"]))
    with pytest.raises(errors.RangeError):
        pipe(texts)
