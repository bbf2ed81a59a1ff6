"""Attention over a picture: the page, the figure, and models that cannot be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import dom, needs_chromium

import formers
from formers import visualize

PACKAGED = Path(formers.__file__).parent / "packaged"
SEVEN = PACKAGED / "digits" / "7_seven.png"


@pytest.fixture(scope="module")
def view() -> Any:
    folder = PACKAGED / "digits"
    model = formers.ViTForImageClassification.from_pretrained(folder)
    return visualize.attention(model, formers.AutoImageProcessor.from_pretrained(folder), SEVEN)


def test_what_is_shown(view: Any) -> None:
    picture, model = view.picture, formers.ViTForImageClassification.from_pretrained(PACKAGED / "digits")
    assert (picture.grid, picture.before, tuple(picture.pixels.shape)) == ((8, 8), 1, (32, 32, 3))
    assert view.tokens[0] == "[CLS]" and view.tokens[-1] == "row 7, column 7" and len(view.tokens) == 65
    processor = formers.AutoImageProcessor.from_pretrained(PACKAGED / "digits")
    inputs = processor(SEVEN, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs, output_attentions=True).attentions
    assert all(torch.equal(view.weights[i], own[0]) for i, own in enumerate(expected))
    seen = processor(SEVEN, return_tensors="np", do_normalize=False, do_rescale=False)["pixel_values"][0]
    assert np.array_equal(view.picture.pixels.permute(2, 0, 1).numpy(), seen)


def test_the_figure(view: Any, tmp_path: Path) -> None:
    view.figure(3).savefig(tmp_path / "heat.png")
    figure = view.figure(2, head=1, token=9)
    assert "row 1, column 0 attends to: layer 2, head 1" in figure.axes[0].get_title()
    heat = figure.axes[0].images[1].get_array()
    assert np.allclose(heat, view.matrix(2, 1)[9, 1:].view(8, 8).numpy())
    with pytest.raises(formers.RangeError, match="no token 65"):
        view.figure(2, token=65)


@needs_chromium
def test_the_page(view: Any, tmp_path: Path) -> None:
    view.save(tmp_path / "heat.html")
    found = dom(tmp_path / "heat.html", "#layer=2&head=1&token=9")
    assert found.count('class="patch"') == 64 and found.count('class="token"') == 1 and "data-error" not in found
    assert 'data-layer="2" data-head="1" data-token="9"' in found
    assert "row 1, column 0, attends most to row" in found and "repeat(8, 1fr) / repeat(8, 1fr)" in found


def test_the_tower_of_two_that_reads_pictures() -> None:
    folder = PACKAGED / "digits_and_words"
    model, processor = formers.CLIPModel.from_pretrained(folder), formers.CLIPProcessor.from_pretrained(folder)
    view = visualize.attention(model, processor, SEVEN, layers=[1])
    assert view.picture.grid == (8, 8) and view.layers == [1] and len(view.tokens) == 65
    words = visualize.attention(model.text_model, processor.tokenizer, "a picture of a seven")
    assert words.picture is None and words.tokens[0] == "<|startoftext|>"


def test_what_cannot_be_shown(view: Any) -> None:
    folder = PACKAGED / "digits"
    model = formers.ViTForImageClassification.from_pretrained(folder)
    processor = formers.AutoImageProcessor.from_pretrained(folder)
    with pytest.raises(formers.ArgumentError, match="An image processor is needed"):
        visualize.attention(model, "processor", SEVEN)
    with pytest.raises(formers.ArgumentError, match="text_pair"):
        visualize.attention(model, processor, SEVEN, "a pair")
    with pytest.raises(formers.NotFoundError, match="no file"):
        visualize.attention(model, processor, "nope.png")
    texts = visualize.attention(attentions=[torch.rand(1, 2, 3, 3)], tokens=["a", "b", "c"])
    with pytest.raises(formers.ArgumentError, match="for pictures"):
        texts.figure(0, token=1)
