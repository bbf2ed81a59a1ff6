"""Where nothing can be heard: what is written of silence is invented."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError
from ..extra import library
from .transforms import Array

QUIET, BELOW, LOUD = -60.0, 45.0, -40.0  # decibels below full scale
NAMES = ("energy", "silero-vad")


def silent_frames(wave: Array, rate: int, hop: int, how: str | bool = True) -> Array:
    """(T,) of bool, for each `hop` samples of a wave (N,) whether they are silent.

    how: True or "energy": quieter than -60 dB of full scale, or by 45 dB than the loudest, which counts where that is
    below -40 dB; or "silero-vad", the package of that name, which tells speech from other sounds.
    """
    if how == "silero-vad":
        return _by_silero(wave, rate, hop)
    if how is not True and how != "energy":
        raise ArgumentError(f"skip_silence is True, False, or one of {', '.join(map(repr, NAMES))}, got {how!r}.")
    padded = np.pad(wave, (0, -len(wave) % hop))
    loudness = 10 * np.log10(np.square(padded.reshape(-1, hop), dtype=np.float32).mean(1) + 1e-12)
    wide = np.pad(loudness, 1, mode="edge")
    wide = np.maximum.reduce([wide[:-2], wide[1:-1], wide[2:]])  # 30 ms
    silent: Array = wide < min(max(QUIET, float(loudness.max()) - BELOW), LOUD)
    return silent


def _by_silero(wave: Array, rate: int, hop: int) -> Array:
    import torch

    silero = library("silero_vad", "skip_silence='silero-vad'", "silero-vad")
    found = silero.get_speech_timestamps(torch.from_numpy(wave), silero.load_silero_vad(), sampling_rate=rate)
    silent = np.ones(-(-len(wave) // hop), bool)
    for speech in found:
        silent[speech["start"] // hop : -(-speech["end"] // hop)] = False
    return silent
