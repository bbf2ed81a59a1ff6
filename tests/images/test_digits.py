"""The packaged models of digits, on pictures that they were not trained on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from formers import pipeline

ROOT = Path(__file__).parents[2]
PACKAGED = Path(formers.__file__).parent / "packaged"


@pytest.fixture(scope="module")
def tool() -> Any:
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("train_digits", ROOT / "tools" / "train_digits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_digits"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def held_back(tool: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """Files of the pictures that were held back, and their labels."""
    folder, (images, labels, tested) = tmp_path_factory.mktemp("digits"), tool.digits()
    files, words = [], []
    for number, image in enumerate(images):
        if tested[number]:
            files.append(str(folder / f"{number}.png"))
            words.append(tool.WORDS[labels[number]])
            image.save(files[-1])
    return files, words


@pytest.mark.parametrize("optimize", [None, "int8"])
def test_digits_are_told(held_back: tuple[list[str], list[str]], optimize: str | None) -> None:
    files, words = held_back
    pipe = pipeline("image-classification", model=str(PACKAGED / "digits"), optimize=optimize)
    right = sum(found[0]["label"] == word for found, word in zip(pipe(files), words, strict=True))
    assert len(files) == 449 and right >= 0.97 * len(files)


def test_a_picture_of_a_seven_is_found(held_back: tuple[list[str], list[str]], tool: Any) -> None:
    files, words = held_back
    pipe = pipeline("zero-shot-image-classification", model=str(PACKAGED / "digits_and_words"))
    found = pipe(files, candidate_labels=list(tool.WORDS), hypothesis_template="a picture of a {}")
    assert sum(one[0]["label"] == word for one, word in zip(found, words, strict=True)) >= 0.97 * len(files)
    inputs = pipe.tokenizer(["a picture of a seven"], return_tensors="pt")
    pictures = formers.CLIPImageProcessor.from_pretrained(PACKAGED / "digits_and_words")(files, return_tensors="pt")
    with torch.inference_mode():
        logits = pipe.model(**inputs, **pictures).logits_per_text[0]
    best = logits.argsort(descending=True)[:30].tolist()
    assert [words[i] for i in best] == ["seven"] * 30


def test_the_pictures_beside_the_classifier() -> None:
    pipe, files = (
        pipeline("image-classification", model=str(PACKAGED / "digits")),
        sorted(PACKAGED.glob("digits/*.png")),
    )
    assert len(files) == 8
    for path, found in zip(files, pipe(files), strict=True):
        assert found[0]["label"] == path.stem.partition("_")[2] and found[0]["score"] > 0.5
