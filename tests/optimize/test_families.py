"""Families' layers have derived weights, which agree with them."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, batch, difference, pair
from of_families import facts

from formers import optimize
from formers.optimize import probe

LIMITS = {"int8": 0.06, "bf16": 0.02, "fp16": 2e-3, "float32": 1e-5}


@pytest.mark.parametrize("mask", ["none", "right", "holes"])
@pytest.mark.parametrize("mode", probe.MODES)
@pytest.mark.parametrize("family", [family for family in FAMILIES if facts(family).fused is not None])
def test_hidden_states(family: str, mode: str, mask: str) -> None:
    model = pair(family, "base", **(facts(family).fused or {}))[1]
    inputs = batch(model, "base", mask, labels=False)
    with torch.inference_mode():
        expected = model(**inputs, output_hidden_states=True).hidden_states
        found = model.optimize(mode).optimized
        if not probe.makers(mode, "cpu"):
            pytest.skip(f"{mode} is missing here")
        assert found.mode == mode and found.stacks == 1
        got = model(**inputs, output_hidden_states=True).hidden_states
        last = model(**inputs).last_hidden_state
    assert len(got) == len(expected)
    assert max(difference(ours, own) for ours, own in zip(got, expected, strict=True)) < LIMITS[mode]
    assert difference(last, got[-1]) < 1e-6 or mode == "int8"


@pytest.mark.parametrize("family", [family for family in FAMILIES if facts(family).fused is None])
def test_layers_of_other_forms_are_left_alone(family: str) -> None:
    model = pair(family, "base")[1]
    inputs = batch(model, "base", "right", labels=False)
    with torch.inference_mode():
        expected = model(**inputs).last_hidden_state
        assert model.optimize("float32").optimized.stacks == 0
        assert difference(model(**inputs).last_hidden_state, expected) < 1e-6


def test_projections_that_read_distances_too() -> None:
    """As in DeBERTa-v3: keys and queries of distances are made by the layers that make those of tokens."""
    model = pair("deberta_v2", "base", share_att_key=True)[1]
    inputs = batch(model, "base", "right", labels=False)
    with torch.inference_mode():
        expected = model(**inputs).last_hidden_state
        assert difference(model.optimize("int8")(**inputs).last_hidden_state, expected) < LIMITS["int8"]


def test_a_model_that_nothing_makes_faster_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = pair("bert", "base")[1]
    monkeypatch.setattr(optimize, "_NOTICEABLE", 0.0)
    monkeypatch.setattr(probe, "fastest", lambda *runs, times: [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0][: len(runs)])
    assert model.optimize() is model and model.optimized is None
    assert "leaves the model as it is: float32 is slower: one text takes 2e+03 ms instead of 1e+03" in caplog.text
