"""Feature extractors of sound, small ones beside the reference's, and waves."""

from __future__ import annotations

from typing import Any

import numpy as np
import transformers

from formers.models.audio_spectrogram_transformer import ASTFeatureExtractor
from formers.processing.of_sound import ClapFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

KINDS = {
    kind.__name__: kind
    for kind in (WhisperFeatureExtractor, Wav2Vec2FeatureExtractor, ClapFeatureExtractor, ASTFeatureExtractor)
}
SMALL: dict[str, dict[str, Any]] = {  # windows that take no time
    "WhisperFeatureExtractor": {"chunk_length": 1},
    "Wav2Vec2FeatureExtractor": {},
    "ClapFeatureExtractor": {"max_length_s": 1, "sampling_rate": 16_000, "frequency_max": 8000},
    "ASTFeatureExtractor": {"max_length": 64, "num_mel_bins": 32},
}
DRAWN = np.random.default_rng(0)
WAVES = [(0.1 * DRAWN.standard_normal(n)).astype(np.float32) for n in (4000, 9001, 15_999, 16_000, 20_123)]
RATE = 16_000
# the reference's spectrograms of CLAP are of float64 samples; ours of what load_audio gives
MOST = {"ClapFeatureExtractor": 2e-5}


def pair(name: str, **more: Any) -> tuple[Any, Any]:
    values = {**SMALL[name], **more}
    return KINDS[name](**values), getattr(transformers, name)(**values)


def same(found: Any, expected: Any, most: float = 1e-6) -> None:
    """Names, kinds, shapes and types, and every element."""
    assert set(found) == set(expected)
    for key, wanted in expected.items():
        got = found[key]
        assert isinstance(got, type(wanted)) or key == "is_longer" or wanted.dtype == object, (key, type(got))
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            one, other = np.asarray(one), np.asarray(other)
            assert (one.shape, one.dtype) == (other.shape, other.dtype), key
            assert np.abs(one.astype(np.float64) - other).max() <= most, key
