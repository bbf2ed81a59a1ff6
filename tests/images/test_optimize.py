"""Towers run from derived weights, which a batch of generated pictures decides on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import IMAGE_CASES, difference
from of_families import facts

import formers
from formers import registry, vision
from formers.optimize import stack_of
from images.towers import batch, flat, pair, pixels


def alike(a: torch.Tensor, b: torch.Tensor) -> float:
    """The cosine of two results."""
    return float(torch.nn.functional.cosine_similarity(a.flatten().float(), b.flatten().float(), dim=0))


HEADS = ("base", "image-classification")


@pytest.mark.parametrize(("family", "head"), [(f, h) for f, h in IMAGE_CASES if h in HEADS])
def test_derived_weights(family: str, head: str) -> None:
    _, ours = pair(family, head, **facts(family).fused_pictures)
    inputs = batch(ours, head, labels=False)
    with torch.inference_mode():
        expected = flat(ours(**inputs, output_hidden_states=True))
        ours.optimize("float32")
        stacks = [m for m in ours.modules() if stack_of(m) is not None]
        assert bool(stacks) == (facts(family).fused is not None)
        for name, value in flat(ours(**inputs, output_hidden_states=True)).items():
            assert difference(value, expected[name]) < 1e-5, name
        alone = flat(ours(**inputs))
        for name, value in alone.items():
            assert difference(value, expected[name]) < 1e-5, name
        ours.optimize("int8")
        for name, value in flat(ours(**inputs)).items():
            assert alike(value, expected[name]) > 0.98, name


@pytest.fixture
def model() -> Any:
    module = registry.load("vit")
    torch.manual_seed(0)
    return module.HEADS["image-classification"](module.HEADS["base"].config_class(**module.TINY)).eval()


def test_what_is_compared_on(model: Any) -> None:
    made = vision.pictures(2, 3, model.config)
    assert made.shape == (2, 3, 24, 24) and torch.equal(made, vision.pictures(2, 3, model.config))
    assert abs(float(made.mean())) < 1e-5 and abs(float(made.std()) - 1) < 0.05
    model.optimize("int8", check=[{"pixel_values": pixels(model, count=5)}])
    assert model.optimized.agreement.texts == 5 and model.optimized.agreement.labels_changed is not None


def test_what_cannot_be_compared_on(model: Any) -> None:
    with pytest.raises(formers.ArgumentError, match="reads pictures"):
        model.optimize(check=["a text"])
    with pytest.raises(formers.InputError, match="no texts"):
        model.optimize(check=[])
    assert model.optimized is None
