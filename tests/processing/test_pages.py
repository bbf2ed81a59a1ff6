"""Pages with their words, for LayoutLMv3: what its processor gives is what the reference's gives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from page_folders import page, play_tesseract, write_layoutlmv3
from PIL import Image

import formers
from formers.errors import ArgumentError, InputError

PICTURES = [Image.fromarray(np.random.RandomState(i).randint(0, 255, (50 + 7 * i, 60, 3), np.uint8)) for i in range(3)]
PAGES = [page(count, count) for count in (4, 30, 9)]
WORDS, BOXES = ([[pair[side] for pair in own] for own in PAGES] for side in (0, 1))
LABELS = [[number % 5 for number in range(len(own))] for own in WORDS]
QUESTIONS = ["what is it?", "who", "where is"]
ONE: dict[str, Any] = {"images": PICTURES[0], "text": WORDS[0], "boxes": BOXES[0]}
SEVERAL: dict[str, Any] = {"images": PICTURES, "text": WORDS, "boxes": BOXES, "padding": True}
ASKED: dict[str, Any] = {"images": PICTURES, "text": QUESTIONS, "text_pair": WORDS, "boxes": BOXES, "padding": True}
CUT: dict[str, Any] = {
    "padding": "max_length", "max_length": 40, "stride": 4, "return_overflowing_tokens": True,
    "return_offsets_mapping": True,
}  # fmt: skip
GIVEN = {
    "a page": ONE,
    "a page with labels": {**ONE, "word_labels": LABELS[0]},
    "one in a list": {"images": PICTURES[:1], "text": WORDS[:1], "boxes": BOXES[:1]},
    "several": {**SEVERAL, "word_labels": LABELS},
    "padding on the left": {**SEVERAL, "padding_side": "left"},
    "windows": {**SEVERAL, **CUT, "word_labels": LABELS, "truncation": True},
    "a question": {**ONE, "text": QUESTIONS[0], "text_pair": WORDS[0]},
    "questions": ASKED,
    "windows of questions": {**ASKED, **CUT, "truncation": "only_second"},
    "masks and lengths": {**ONE, "return_special_tokens_mask": True, "return_length": True},
}
READ: dict[str, dict[str, Any]] = {
    "a page": {"images": PICTURES[0]},
    "several": {"images": PICTURES, "padding": True},
    "a question": {"images": PICTURES[1], "text": QUESTIONS[0]},
    "questions": {"images": PICTURES, "text": QUESTIONS, "padding": True},
    "windows": {"images": PICTURES, **CUT, "max_length": 12, "truncation": True},
}
Open = Callable[[Any], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_layoutlmv3(tmp_path_factory.mktemp("page"), apply_ocr=False)


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor | np.ndarray):
        shaped = type(ours) is type(theirs) and ours.dtype == theirs.dtype and ours.shape == theirs.shape
        return shaped and bool((ours == theirs).all())
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


def compare(ours: Any, theirs: Any) -> None:
    assert [*ours] == [*theirs] and "pixel_values" in ours
    for name in theirs:
        assert same(ours[name], theirs[name]), name


@pytest.mark.parametrize("tensors", [None, "pt", "np"])
@pytest.mark.parametrize("case", GIVEN)
def test_words_that_are_given(folder: str, case: str, tensors: str | None) -> None:
    ours, theirs = (library.LayoutLMv3Processor.from_pretrained(folder) for library in (formers, transformers))
    compare(ours(**GIVEN[case], return_tensors=tensors), theirs(**GIVEN[case], return_tensors=tensors))
    assert ours.model_input_names == theirs.model_input_names


@pytest.mark.parametrize("tensors", [None, "pt"])
@pytest.mark.parametrize("case", READ)
def test_words_that_are_read(folder: str, case: str, tensors: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = play_tesseract(monkeypatch)
    ours, theirs = (library.LayoutLMv3Processor.from_pretrained(folder) for library in (formers, transformers))
    ours.image_processor.apply_ocr = theirs.image_processor.apply_ocr = True
    compare(ours(**READ[case], return_tensors=tensors), theirs(**READ[case], return_tensors=tensors))
    half = len(asked) // 2
    assert sorted(asked[:half]) == asked[half:] and half  # ours in threads
    pages = READ[case]["images"]
    mine, other = ours.image_processor(pages), theirs.image_processor(pages)
    compare(mine, other)
    assert mine["words"][0][0] == "due" and all(word.strip() for word in mine["words"][0])


def test_reading_in_one_call(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = play_tesseract(monkeypatch)
    processor = formers.LayoutLMv3Processor.from_pretrained(folder)
    read = processor(PICTURES[0], apply_ocr=True, ocr_lang="deu", tesseract_config="--psm 6")
    assert asked == [("deu", "--psm 6", (60, 50), "RGB")]
    processor.image_processor.apply_ocr = True
    assert same(read["bbox"], processor(PICTURES[0])["bbox"])
    given = processor(**ONE, apply_ocr=False)
    assert same(given["bbox"], formers.LayoutLMv3Processor.from_pretrained(folder)(**ONE)["bbox"])
    for more in ({"boxes": BOXES[0]}, {"word_labels": LABELS[0]}):
        with pytest.raises(ArgumentError, match="apply_ocr=True reads them"):
            processor(PICTURES[0], WORDS[0], **more)
    monkeypatch.setitem(sys.modules, "pytesseract", None)
    with pytest.raises(ImportError, match=r"apply_ocr=False.*pip install pytesseract"):
        processor(PICTURES[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": None}, "needs its words.*apply_ocr=True"),
        ({"boxes": None}, "boxes= is missing"),
        ({"boxes": BOXES[0][:3]}, "of 3 words, and there are 4"),
        ({"word_labels": LABELS[0][:3]}, "word_labels is of 3 words, and there are 4"),
        ({"images": PICTURES}, "3 images, and the words of 1 pages"),
        ({"images": PICTURES, "text": WORDS[:2], "boxes": BOXES[:2]}, "3 images, and the words of 2 pages"),
        ({"images": None}, "An image is"),
    ],
)
def test_what_does_not_fit(folder: str, changes: dict[str, Any], said: str) -> None:
    processor = formers.LayoutLMv3Processor.from_pretrained(folder)
    with pytest.raises((InputError, ArgumentError), match=said):
        processor(**{**ONE, **changes})


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (formers.LayoutLMv3Processor, transformers.AutoProcessor),
        (transformers.LayoutLMv3Processor, formers.AutoProcessor),
        (formers.LayoutLMv3Processor, formers.AutoProcessor),
    ],
)
def test_files(folder: str, tmp_path: Path, write: Any, read: Any) -> None:
    first = write.from_pretrained(folder)
    first.image_processor.ocr_lang = "deu"
    first.save_pretrained(tmp_path)
    again = read.from_pretrained(tmp_path)
    assert type(again).__name__ == "LayoutLMv3Processor"
    assert again.image_processor.apply_ocr is False and again.image_processor.ocr_lang == "deu"
    for case in ("a page", "windows of questions"):
        compare(again(**GIVEN[case], return_tensors="np"), first(**GIVEN[case], return_tensors="np"))


def test_names(folder: str) -> None:
    names = ("FeatureExtractor", "ImageProcessor", "ImageProcessorFast", "ImageProcessorPil")
    found = {getattr(formers, f"LayoutLMv3{name}") for name in names}
    assert found == {formers.LayoutLMv3ImageProcessor}
    old = formers.LayoutLMv3FeatureExtractor(apply_ocr=False, size=32)
    tokenizer = formers.LayoutLMv3TokenizerFast.from_pretrained(folder)
    made = formers.LayoutLMv3Processor(feature_extractor=old, tokenizer=tokenizer)
    compare(made(**ONE), formers.AutoProcessor.from_pretrained(folder)(**ONE))
    assert type(formers.AutoFeatureExtractor.from_pretrained(folder)) is formers.LayoutLMv3ImageProcessor
    mine, theirs = formers.LayoutLMv3ImageProcessor(), transformers.LayoutLMv3ImageProcessorPil()
    for key in ("apply_ocr", "ocr_lang", "tesseract_config"):
        assert getattr(mine, key) == getattr(theirs, key), key
