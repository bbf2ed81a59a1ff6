"""The shapes that Transformers 4.20 returned, and each task's own arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from formers import errors, pipeline

GOOD, BAD = "a good film", "a bad, bad film"


def shape(result: Any) -> Any:
    """The nesting of a result: dictionaries become "d"."""
    return [shape(x) for x in result] if isinstance(result, list) else "d" if isinstance(result, dict) else result


@pytest.mark.parametrize(
    ("inputs", "call", "expected"),
    [
        (GOOD, {}, ["d"]),
        ([GOOD], {}, ["d"]),
        ([GOOD, BAD], {}, ["d", "d"]),
        ((GOOD, BAD), {}, ["d", "d"]),
        ({"text": GOOD}, {}, "d"),
        ({"text": GOOD, "text_pair": BAD}, {}, "d"),
        ([{"text": GOOD, "text_pair": BAD}], {}, ["d"]),
        ([[[GOOD, BAD]]], {}, ["d"]),
        ([(GOOD, BAD), GOOD], {}, ["d", "d"]),
        (GOOD, {"top_k": 1}, ["d"]),
        (GOOD, {"top_k": 2}, ["d", "d"]),
        (GOOD, {"top_k": None}, ["d", "d", "d"]),
        (GOOD, {"top_k": 9}, ["d", "d", "d"]),
        ([GOOD], {"top_k": 1}, [["d"]]),
        ([GOOD, BAD], {"top_k": 2}, [["d", "d"], ["d", "d"]]),
        (GOOD, {"return_all_scores": True}, [["d", "d", "d"]]),
        ({"text": GOOD}, {"return_all_scores": True}, ["d", "d", "d"]),
        ([GOOD], {"return_all_scores": True}, [["d", "d", "d"]]),
        (GOOD, {"return_all_scores": False}, ["d"]),
        ([GOOD], {"return_all_scores": False}, ["d"]),
        ([], {}, []),
        ("", {}, ["d"]),
    ],
)
def test_text_classification_shapes(classifier: Any, inputs: Any, call: Any, expected: Any) -> None:
    assert shape(classifier(inputs, **call)) == expected


def test_pairs_are_the_same_in_every_form(classifier: Any) -> None:
    pair = classifier({"text": GOOD, "text_pair": BAD})
    assert classifier([(GOOD, BAD)]) == classifier([[[GOOD, BAD]]]) == [pair]
    assert pair != classifier(GOOD)[0]


def test_all_scores_keep_the_order_of_the_labels_and_top_k_sorts(classifier: Any) -> None:
    listed, ranked = classifier(GOOD, return_all_scores=True)[0], classifier(GOOD, top_k=None)
    assert [x["label"] for x in listed] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert ranked == sorted(listed, key=lambda x: -x["score"])
    assert sum(x["score"] for x in listed) == pytest.approx(1)
    assert classifier(GOOD) == ranked[:1]


def test_function_to_apply(classifier: Any) -> None:
    from formers.pipelines.text_classification import ClassificationFunction

    listed = classifier([GOOD], return_all_scores=True, function_to_apply="none")[0]
    logits = torch.tensor([x["score"] for x in listed])
    for name, expected in {"sigmoid": logits.sigmoid(), "SoftMax": logits.softmax(0)}.items():
        (found,) = classifier(GOOD, return_all_scores=True, function_to_apply=name)
        assert [x["score"] for x in found] == pytest.approx(expected.tolist())
    assert classifier(GOOD, function_to_apply=ClassificationFunction.NONE)[0]["score"] == logits.max().item()
    with pytest.raises(errors.ArgumentError, match=r"'softmx'.*'softmax'"):
        classifier(GOOD, function_to_apply="softmx")


def test_one_label_gets_a_sigmoid_and_a_regression_none(make: Any) -> None:
    pipe = pipeline("text-classification", model=make("BertForSequenceClassification", num_labels=1))
    raw = pipe(GOOD, function_to_apply="none")[0]["score"]
    assert pipe(GOOD)[0]["score"] == pytest.approx(torch.tensor(raw).sigmoid().item())
    pipe.model.config.problem_type = "regression"
    assert pipe(GOOD)[0]["score"] == raw
    assert pipe(GOOD, function_to_apply="sigmoid")[0]["score"] != raw


ALL = ["d", "d", "d"]
MADE_AND_CALLED = ({}, {"top_k": None}, {"top_k": 1}, {"top_k": 2})


@pytest.mark.parametrize("made", MADE_AND_CALLED, ids=str)
def test_one_text_is_nested_as_in_the_reference(classifier: Any, classifier_folder: Path, made: Any) -> None:
    theirs = transformers.pipeline("text-classification", model=str(classifier_folder), device=-1, **made)
    ours = pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, **made)
    for call in MADE_AND_CALLED:
        for inputs in (GOOD, [GOOD], [GOOD, BAD], {"text": GOOD}):
            assert shape(ours(inputs, **call)) == shape(theirs(inputs, **call)), (call, inputs)


@pytest.mark.parametrize(
    ("made", "call", "one", "each"),  # what one text gives, and each of several
    [
        ({"return_all_scores": True}, {}, [ALL], ALL),
        ({"return_all_scores": True}, {"return_all_scores": False}, ["d"], "d"),
        ({"return_all_scores": True}, {"top_k": None}, ALL, ALL),
        ({"return_all_scores": True}, {"top_k": 2}, ["d", "d"], ["d", "d"]),
        ({"return_all_scores": False}, {}, ["d"], "d"),
        ({"return_all_scores": False}, {"return_all_scores": True}, [ALL], ALL),
        ({"return_all_scores": False}, {"top_k": 1}, ["d"], ["d"]),
        ({"top_k": 1}, {"return_all_scores": True}, [ALL], ALL),
        ({"top_k": None}, {"return_all_scores": False}, [["d"]], ["d"]),
        ({"top_k": None}, {"return_all_scores": True}, [ALL], ALL),
        ({}, {"return_all_scores": True, "top_k": 2}, ["d", "d"], ["d", "d"]),
    ],
    ids=str,
)
def test_return_all_scores_and_top_k(classifier: Any, made: Any, call: Any, one: Any, each: Any) -> None:
    pipe = pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, **made)
    assert shape(pipe(GOOD, **call)) == shape(pipe(GOOD, on_error="return", **call)) == one
    assert shape(pipe([GOOD], **call)) == [each]
    assert shape(pipe([GOOD, BAD], **call)) == [each, each]


def test_defaults_from_construction_and_call(classifier_folder: Path) -> None:
    pipe = pipeline(
        "sentiment-analysis", model=classifier_folder, return_all_scores=True, truncation=True, batch_size=2
    )
    assert pipe.task == "sentiment-analysis"
    assert shape(pipe([GOOD] * 3)) == [["d", "d", "d"]] * 3
    assert shape(pipe(GOOD, top_k=1)) == ["d"]
    assert shape(pipe("good " * 500)) == [["d", "d", "d"]]


def test_fill_mask_shapes(filler: Any) -> None:
    one, two = "a [MASK] film", "a [MASK] film is [MASK]"
    found = filler(one)
    assert shape(found) == ["d"] * 5
    assert list(found[0]) == ["score", "token", "token_str", "sequence"]
    assert found[0]["sequence"] == f"a {found[0]['token_str']} film".replace(" ##", "")
    assert filler([one]) == found  # one text in a list is not nested
    assert shape(filler([one, one], top_k=2)) == [["d", "d"], ["d", "d"]]
    assert shape(filler(two, top_k=2)) == [["d", "d"], ["d", "d"]]
    assert "[MASK]" in filler(two)[0][0]["sequence"]
    assert filler([]) == []


def test_fill_mask_targets(filler: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = filler("a [MASK] film", targets=["bad", "good", "good"])
    assert {x["token_str"] for x in found} == {"good", "bad"}
    everything = {x["token_str"]: x["score"] for x in filler("a [MASK] film", top_k=10_000)}
    assert all(x["score"] == pytest.approx(everything[x["token_str"]]) for x in found)
    assert not caplog.records
    assert filler("a [MASK] film", targets="zebra")[0]["token_str"] == "z"
    assert "'zebra'" in caplog.text
    with pytest.raises(errors.ArgumentError, match=r"targets=\[\]"):
        filler("a [MASK] film", targets=[])


def test_fill_mask_needs_a_mask(filler: Any) -> None:
    from formers.pipelines import PipelineException

    with pytest.raises(PipelineException, match=r"inputs\[1\] has no mask token: 'a film'.*\[MASK\]") as error:
        filler(["a [MASK]", "a film"])
    assert (error.value.task, error.value.model) == ("fill-mask", "bert")
    assert isinstance(error.value, errors.InputError)
    with pytest.raises(PipelineException, match="in the part that truncation leaves"):
        filler("good film " * 60 + "[MASK]", truncation=True)
    with pytest.raises(PipelineException, match="in the part that truncation leaves"):
        filler("good film [MASK]", tokenizer_kwargs={"truncation": True, "max_length": 4})


def test_feature_extraction_shapes(extractor: Any) -> None:
    nested = extractor(GOOD)
    assert (len(nested), len(nested[0]), len(nested[0][0])) == (1, 5, 32)
    tensors = extractor([GOOD, BAD], return_tensors=True)
    assert [tuple(x.shape) for x in tensors] == [(1, 5, 32), (1, 7, 32)]
    torch.testing.assert_close(torch.tensor(nested), tensors[0], atol=1e-5, rtol=1e-5)
    tensors[0].requires_grad_()  # a tensor like any other
    assert extractor(GOOD, tokenize_kwargs={"truncation": True, "max_length": 3}, return_tensors=True).shape[1] == 3
    assert extractor(GOOD, truncation=True, max_length=4, return_tensors=True).shape[1] == 4
    assert extractor(GOOD, padding="max_length", return_tensors=True).shape[1] == 64
    assert [x.shape[1] for x in extractor([GOOD, BAD], padding=True, return_tensors=True)] == [5, 7]
    assert [x.shape[1] for x in extractor([GOOD, BAD], padding=True, pad_to_multiple_of=4, return_tensors=True)] == [
        8,
        8,
    ]
    with pytest.raises(errors.ArgumentError, match="truncation is given twice"):
        extractor(GOOD, truncation=True, tokenize_kwargs={"truncation": True})


def test_a_result_does_not_depend_on_its_batch(classifier: Any, extractor: Any) -> None:
    texts = ["good " * n for n in (1, 50, 3, 20, 8, 40)] * 3
    alone = [classifier([text], return_all_scores=True)[0] for text in texts]
    for size in (None, 1, 2, 5, 100):
        for mine, other in zip(classifier(texts, return_all_scores=True, batch_size=size), alone, strict=True):
            assert [x["score"] for x in mine] == pytest.approx([x["score"] for x in other], abs=1e-5)
    for text, together in zip(texts, extractor(texts, return_tensors=True), strict=True):
        torch.testing.assert_close(together, extractor(text, return_tensors=True), atol=1e-5, rtol=1e-5)
