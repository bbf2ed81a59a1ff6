"""AST: what it cannot read, and derived weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import difference
from images.towers import batch, config_of, pair

from formers import ASTForAudioClassification, ASTModel
from formers.errors import ConfigError, InputError, NotTensorError

GOOD = torch.zeros(2, 24, 16)
BAD: list[tuple[Any, type[Exception], str]] = [
    (None, InputError, "reads input_values"),
    ([1.0], NotTensorError, "is a list"),
    (GOOD[0], InputError, r"input_values\[None\]"),
    (GOOD[:0], InputError, "nothing in it"),
    (GOOD.long(), InputError, "floating"),
    (torch.zeros(2, 24, 17), InputError, "16 bands"),
    (torch.zeros(2, 25, 16), InputError, "24 frames"),
    (GOOD.log(), InputError, "NaN or infinite"),
]


@pytest.mark.parametrize(("values", "kind", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input(values: Any, kind: type[Exception], message: str) -> None:
    model = ASTForAudioClassification(config_of("audio_spectrogram_transformer", "audio-classification"))
    with pytest.raises(kind, match=message):
        model(values)


def test_spectrograms_smaller_than_a_patch() -> None:
    with pytest.raises(ConfigError, match="num_mel_bins=5 is less than patch_size"):
        ASTModel(config_of("audio_spectrogram_transformer", "base", num_mel_bins=5))


def test_layers_by_hand() -> None:
    theirs, ours = pair("audio_spectrogram_transformer", "base")
    hidden = torch.randn(2, 5, 32)
    with torch.no_grad():
        assert difference(ours.encoder.layer[0](hidden)[0], theirs.layers[0](hidden)) < 1e-5
        assert difference(ours.embeddings(GOOD), theirs.embeddings(GOOD)) < 1e-5


@pytest.mark.parametrize("head", ["base", "audio-classification"])
@pytest.mark.parametrize(("mode", "most"), [("float32", 1e-5), ("int8", 0.1)])
def test_optimized(head: str, mode: str, most: float) -> None:
    _, ours = pair("audio_spectrogram_transformer", head)
    given = batch(ours, head, labels=False)
    with torch.inference_mode():
        expected = ours(**given)[0]
        ours.optimize(mode)
        assert ours.optimized is not None and ours.optimized.mode == mode
        assert difference(ours(**given)[0], expected) < most
