"""Models of sound run from derived weights, which generated sounds decide on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import difference
from images.towers import config_of, flat, pair
from of_families import facts

import formers
from formers import registry, speech
from formers.optimize import stack_of
from sounds.test_wav2vec2 import CASES, GROUP, LAYER, padded, real


def alike(a: torch.Tensor, b: torch.Tensor) -> float:
    """The cosine of two results."""
    return float(torch.nn.functional.cosine_similarity(a.flatten().float(), b.flatten().float(), dim=0))


@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_derived_weights(family: str, head: str, norm: str) -> None:
    _, ours = pair(family, head, **(LAYER if norm == "layer" else GROUP))
    inputs = padded()
    with torch.inference_mode():
        expected = flat(ours(**inputs, output_hidden_states=True))
        ours.optimize("float32")
        stacks = [m for m in ours.modules() if stack_of(m) is not None]
        assert bool(stacks) == (facts(family).fused is not None)
        for name, value in flat(ours(**inputs, output_hidden_states=True)).items():
            compared = (real(ours, inputs, name, x) for x in (value, expected[name]))
            assert difference(*compared) < 1e-5, name
        ours.optimize("int8")
        for name, value in flat(ours(**inputs)).items():
            compared = (real(ours, inputs, name, x) for x in (value, expected[name]))
            assert alike(*compared) > 0.98, name


def test_what_is_compared_on() -> None:
    made = speech.sounds()
    assert torch.equal(made, speech.sounds()) and made.shape == (2, 16_000)
    assert abs(float(made.mean())) < 1e-5 and abs(float(made.std()) - 1) < 0.05
    model = registry.load("wav2vec2").HEADS["ctc"](config_of("wav2vec2", "ctc", **LAYER)).eval()
    batch: dict[str, Any] = padded()
    model.optimize("int8", check=[batch])
    assert model.optimized.agreement.texts == 4 and model.optimized.agreement.labels_changed is not None
    with pytest.raises(formers.ArgumentError, match="reads sound"):
        model.optimize(check=["a text"])
