"""Convolutions of sounds piece by piece: the same frames, whatever the pieces, the padding, and who looks on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import difference
from images.towers import pair

from formers import waves
from formers.ops.strided import Strided
from formers.speech import samples_of
from sounds.test_wav2vec2 import padded

FORMS: dict[str, dict[str, Any]] = {
    "group": {},
    "group without bias": {"conv_bias": False},
    "layer": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "layer without bias": {"feat_extract_norm": "layer", "conv_bias": False},
    "relu": {"feat_extract_activation": "relu"},
    "steps as wide as kernels": {"conv_kernel": [5, 2, 2], "conv_stride": [5, 2, 2]},
    "steps wider than kernels": {"conv_kernel": [3, 2, 1], "conv_stride": [5, 2, 2]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piece", [1, 3, 64])
def test_pieces_of_any_size(form: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = pair("wav2vec2", "base", **FORMS[form])
    monkeypatch.setattr(waves, "PIECE", piece)
    heard = padded()
    loud = heard | {"input_values": heard["input_values"].where(heard["attention_mask"] == 1, 3.0)}
    for inputs in (heard, loud, {"input_values": heard["input_values"]}):
        with torch.no_grad():
            got, expected = ours(**inputs), theirs(**inputs)
        mask = inputs.get("attention_mask")
        frames = 1 if mask is None else ours._get_feature_vector_attention_mask(got[0].shape[1], mask)[..., None]
        for name in ("last_hidden_state", "extract_features"):
            assert difference(got[name] * frames, expected[name] * frames) < 1e-5, name


def test_pieces_are_of_the_samples_that_they_need() -> None:
    _, ours = pair("wav2vec2", "base")
    steps = [Strided.of(layer.conv) for layer in ours.feature_extractor.conv_layers]
    for start in range(4):
        for stop in range(start + 1, 8):
            first, last = waves.reach(steps, start, stop)
            assert last - first == samples_of(ours.config, stop - start)


@pytest.mark.parametrize("form", ["group", "layer"])
def test_whoever_looks_on_sees_the_modules_own_results(form: str) -> None:
    _, ours = pair("wav2vec2", "base", **FORMS[form])
    encoder, heard = ours.feature_extractor, padded()
    with torch.no_grad():
        assert waves.in_pieces(encoder, heard["input_values"])
        expected, seen = ours(**heard)[0], []
        real = ours._get_feature_vector_attention_mask(expected.shape[1], heard["attention_mask"])[..., None]
        handle = encoder.conv_layers[1].conv.register_forward_hook(lambda *given: seen.append(given[2].clone()))
        assert not waves.in_pieces(encoder, heard["input_values"])
        assert difference(ours(**heard)[0] * real, expected) < 1e-5  # padding is kept for it
        assert len(seen) == 1 and len(seen[0]) == len(heard["input_values"])
        handle.remove()
        encoder.conv_layers[0].conv.weight.mul_(1.5)  # nothing is kept from before
        assert difference(ours(**heard)[0], expected) > 1e-4 or form == "group"
    assert not waves.in_pieces(encoder, heard["input_values"])  # while gradients are recorded
    ours.requires_grad_(False)
    assert waves.in_pieces(encoder, heard["input_values"])
    assert not waves.in_pieces(encoder, heard["input_values"].requires_grad_())
    assert not waves.in_pieces(encoder.train(), heard["input_values"].detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    _, ours = pair("wav2vec2", "base")
    heard = padded()
    with torch.no_grad():
        expected, got = ours(**heard)[0], ours.to(dtype)(**heard)[0]
    assert got.dtype == dtype and difference(got.float(), expected) < 0.05


def test_silence_and_constants() -> None:
    theirs, ours = pair("wav2vec2", "base", conv_bias=False)
    with torch.no_grad():
        for wave in (torch.zeros(1, 400), torch.full((1, 400), 2.0)):
            assert difference(ours(wave)[0], theirs(wave)[0]) < 1e-4


class Louder(torch.nn.Module):
    """What somebody puts around a convolution."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.weight = inner.weight

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        return 2 * self.inner(columns)


@pytest.mark.parametrize("place", [0, 1])
def test_what_others_put_around_a_convolution_is_computed(place: int) -> None:
    theirs, ours = pair("wav2vec2", "base", feat_extract_norm="layer")
    for model in (theirs, ours):
        layer = model.feature_extractor.conv_layers[place]
        layer.layer_norm = torch.nn.Identity()
        layer.conv = Louder(layer.conv)
    wave = padded()["input_values"]
    with torch.no_grad():
        assert not waves.in_pieces(ours.feature_extractor, wave)
        assert difference(ours(wave)[0], theirs(wave)[0]) < 1e-5


def test_autocast() -> None:
    for form in ("group", "layer"):
        _, ours = pair("wav2vec2", "base", **FORMS[form])
        with torch.no_grad():
            expected = ours(**padded())[0]
            with torch.autocast("cpu", torch.bfloat16):
                assert difference(ours(**padded())[0].float(), expected) < 0.05
