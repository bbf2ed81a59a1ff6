"""Pipelines of optimized models: the argument, what it does to results, and what it leaves as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from formers import AutoModelForSequenceClassification, AutoTokenizer, errors, pipeline
from formers.pipelines import TextClassificationPipeline

TEXTS = ["a good film", "it was dull and very bad", "the acting", "", "not a fine story, and not a bad one"]
# of scores: shorter types round, and rounding is the larger with the wide weights of the test models
ROUNDING = {"float32": 1e-5, "bf16": 0.05, "int8": 0.15}


@pytest.mark.parametrize("mode", [True, "float32", "bf16", "int8"])
def test_modes(mode: bool | str, classifier_folder: Path, classifier: Any) -> None:
    pipe = pipeline("text-classification", model=classifier_folder, optimize=mode)
    found = pipe.model.optimized
    assert found.asked == mode
    assert repr(pipe).endswith(f"device='cpu', optimize={found.mode!r})")
    for scores, expected in zip(pipe(TEXTS, top_k=None), classifier(TEXTS, top_k=None), strict=True):
        mine, theirs = ({row["label"]: row["score"] for row in rows} for rows in (scores, expected))
        assert mine == pytest.approx(theirs, abs=ROUNDING[found.mode])


@pytest.mark.parametrize("mode", [None, False])
def test_without(mode: bool | None, classifier_folder: Path) -> None:
    pipe = pipeline("text-classification", model=classifier_folder, optimize=mode)
    assert pipe.model.optimized is None
    assert "optimize" not in repr(pipe)


def test_the_argument_of_the_class(classifier_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    pipe = TextClassificationPipeline(model=model, tokenizer=tokenizer, optimize="float32")
    assert model.optimized.mode == "float32"
    model.optimize(None)
    assert "optimize" not in repr(pipe)


def test_a_model_optimized_before_stays_so(classifier_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval().optimize("float32")
    pipe = pipeline("text-classification", model=model)
    assert model.optimized is not None
    assert "optimize='float32'" in repr(pipe)


def test_other_tasks(masked_folder: Path, base_folder: Path, filler: Any, extractor: Any) -> None:
    fill = pipeline("fill-mask", model=masked_folder, optimize="float32")
    text = "a [MASK] film"
    assert [x["token"] for x in fill(text)] == [x["token"] for x in filler(text)]
    extract = pipeline("feature-extraction", model=base_folder, optimize="float32")
    found, expected = (torch.tensor(pipe("a good film")) for pipe in (extract, extractor))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_unknown_mode(classifier_folder: Path) -> None:
    with pytest.raises(errors.ArgumentError, match=r"'int7'.*Did you mean 'int8'"):
        pipeline("text-classification", model=classifier_folder, optimize="int7")


class Foreign(torch.nn.Linear):
    device = torch.device("cpu")


def test_a_model_from_elsewhere(classifier: Any) -> None:
    parts = {"model": Foreign(1, 1), "tokenizer": classifier.tokenizer}
    with pytest.raises(errors.ArgumentError, match=r"optimize='int8' needs a model of formers.*Foreign"):
        TextClassificationPipeline(**parts, optimize="int8")
    parts["model"].config = None
    assert "optimize" not in repr(Bare(**parts))


class Bare(TextClassificationPipeline):
    """Without a look at the model's configuration."""

    def _sanitize_parameters(self, *_: Any, **__: Any) -> Any:
        return {}, {}, {}


def test_saving_is_unaffected(classifier_folder: Path, classifier: Any, tmp_path: Path) -> None:
    pipeline("text-classification", model=classifier_folder, optimize="bf16").save_pretrained(tmp_path / "saved")
    again = pipeline("text-classification", model=tmp_path / "saved")
    assert again.model.optimized is None
    assert again("a good film")[0]["score"] == pytest.approx(classifier("a good film")[0]["score"], abs=1e-6)
    for name, value in classifier.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value)
