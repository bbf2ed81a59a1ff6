"""Each unusable input: an error that says which one it is, what is wrong and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from formers import errors

LONG = "good " * 100


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, r"The input is None; a text \(str\) is needed"),
        (["a", None], r"inputs\[1\] is None"),
        (3, r"The input is 3 \(int\)"),
        (["a", 3.5], r"inputs\[1\] is 3\.5 \(float\)"),
        (b"a", r"The input is bytes.*decode\('utf-8'\)"),
        ([["a", "b"]], r'inputs\[0\] is a list.*\{"text": …, "text_pair": …\}'),
        ([[]], r"inputs\[0\] is a list"),
        ([("a", None, "b")], r"inputs\[0\] is .*\(tuple\)"),
        ({"txt": "a"}, r"The input is a dictionary of 'txt'"),
        ([{"text": "a", "label": 1}], r"inputs\[0\] is a dictionary of 'text', 'label'.*KeyDataset"),
        ({"text": ["a", "b"]}, r"The input is a pair, and one side of it is a list"),
        ([("a", 1)], r"inputs\[0\] is a pair, and one side of it is 1 \(int\)"),
        ("a \ud83d", r"The input has half of a surrogate pair, U\+D83D, at character 2"),
        (["a", ("b", "\udc00")], r"inputs\[1\] has half of a surrogate pair, U\+DC00"),
        (
            LONG,
            r"The input, which starts 'good good .* has 102 tokens; .* at most 64\. Pass truncation=True",
        ),
        (["a"] * 2000 + [LONG], r"inputs\[2000\], which starts 'good .* has 102 tokens"),
    ],
)
def test_unusable_inputs(classifier: Any, inputs: Any, message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        classifier(inputs)


def test_a_bad_item_late_in_a_list_is_found_before_the_work(classifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(classifier), "forward", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(errors.InputError, match=r"inputs\[5000\] is None"):
        classifier(["a"] * 5000 + [None])


def test_errors_are_those_that_transformers_code_catches(classifier: Any) -> None:
    with pytest.raises(ValueError, match="is None"):
        classifier(["a", None])
    with pytest.raises(TypeError, match="no argument"):
        classifier("a", no_such_argument=1)


@pytest.mark.parametrize("text", ["", " ", "\x00", "\x00a", "x" * 1_000_000, "🎬 good", "\n\t", "\ufeffgood"])
def test_odd_texts_that_are_fine(classifier: Any, text: str) -> None:
    alone = classifier(text, truncation=True)[0]
    together = classifier(["a good film", text, "a bad film"], truncation=True)[1]
    assert together["label"] == alone["label"]
    assert together["score"] == pytest.approx(alone["score"], abs=1e-5)


def test_long_texts_are_cut_at_the_model_s_limit_when_asked(classifier: Any) -> None:
    cut = classifier(LONG, truncation=True)
    assert cut == classifier("good " * 62)
    assert classifier(LONG, truncation=True, max_length=10) == classifier("good " * 8)
    with pytest.raises(errors.InputError, match="has 70 tokens"):
        classifier(LONG, truncation=True, max_length=70)


@pytest.mark.parametrize(
    ("name", "near"),
    [("topk", "top_k"), ("max_lenght", "max_length"), ("trunction", "truncation"), ("batchsize", "batch_size")],
)
def test_misspelt_arguments(classifier: Any, name: str, near: str) -> None:
    with pytest.raises(errors.ArgumentError, match=f"no argument '{name}'.*'{near}'"):
        classifier("a", **{name: 1})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"top_k": -1}, "top_k=-1"),
        ({"top_k": "2"}, "top_k='2'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": "2"}, "batch_size='2'"),
    ],
)
def test_impossible_values(classifier: Any, call: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        classifier("a", **call)


def test_two_positional_arguments(classifier: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="one list"):
        classifier("a", "b")
