"""Spectrograms: how loud each band of frequencies is, frame by frame.

Letters: N samples, T frames, F frequencies, M bands of mel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .transforms import Array

if TYPE_CHECKING:
    from torch import Tensor

_LINEAR, _BREAK = 200 / 3, 1000.0  # Slaney's scale: hertz a mel below the break, and where it is
_LOG = np.log(6.4) / 27  # and how fast it grows above
_MOST, _MOST_NUMBERS = 2**26, 2**29  # numbers of filters, and of a spectrogram
_FRAMES = 512  # that are transformed together


def to_mel(hertz: Any, scale: str) -> Any:
    """Frequencies on a scale of mel: "htk" (O'Shaughnessy, 1987), "kaldi", which is its natural logarithm, or "slaney"
    (Auditory Toolbox, 1998)."""
    hertz = np.asarray(hertz, np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    if scale == "kaldi":
        return 1127.0 * np.log(1.0 + hertz / 700.0)
    if scale != "slaney":
        raise InputError(f"mel_scale must be 'htk', 'slaney' or 'kaldi', got {scale!r}.")
    above = _BREAK / _LINEAR + np.log(np.maximum(hertz, _BREAK) / _BREAK) / _LOG
    return np.where(hertz < _BREAK, hertz / _LINEAR, above)


def to_hertz(mels: Any, scale: str) -> Any:
    """The inverse of `to_mel`."""
    mels = np.asarray(mels, np.float64)
    if scale == "htk":
        return 700.0 * (np.power(10, mels / 2595.0) - 1.0)
    if scale == "kaldi":
        return 700.0 * (np.exp(mels / 1127.0) - 1.0)
    if scale != "slaney":
        raise InputError(f"mel_scale must be 'htk', 'slaney' or 'kaldi', got {scale!r}.")
    start = _BREAK / _LINEAR
    return np.where(mels < start, mels * _LINEAR, _BREAK * np.exp(_LOG * (np.maximum(mels, start) - start)))


@lru_cache(maxsize=16)
def mel_filters(
    frequencies: int, bands: int, low: float, high: float, rate: float, scale: str, norm: bool = False
) -> Array:
    """(F, M): how much of each frequency is in each band: triangles that overlap by half.

    frequencies: F, from 0 to half the rate; low, high: hertz where the first band begins and the last one ends; norm:
    make all triangles of one area, as Slaney does. For scale "kaldi" the triangles are straight in mel, else in hertz.
    """
    if frequencies * bands > _MOST:
        raise InputError(f"{bands} bands of {frequencies} frequencies are more numbers than {_MOST:,}.")
    if not 0 <= low < high:
        raise InputError(f"Bands go from a frequency to a higher one, of at least 0 hertz, got {low:g} and {high:g}.")
    edges = np.linspace(to_mel(low, scale), to_mel(high, scale), bands + 2)
    at = np.linspace(0, rate / 2, frequencies)
    if scale == "kaldi":
        at = to_mel(at, scale)
    else:
        edges = to_hertz(edges, scale)
    widths = np.diff(edges)
    slopes = edges[None, :] - at[:, None]  # (F, M + 2)
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    filters = np.maximum(0, np.minimum(rising, falling))
    if norm:
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return filters


def bands_of(wave: Tensor, size: int, hop: int, filters: Array) -> Tensor:
    """(T, M): the power in each band, in Hann windows of `size` samples around every `hop`-th sample of (N,), whose
    ends are mirrored; as torch.stft has them, but some frames at a time, which stay in the processor's cache."""
    import torch

    window, by = torch.hann_window(size, dtype=wave.dtype), torch.from_numpy(filters).to(wave.dtype)
    ends = torch.nn.functional.pad(wave[None, None], (size // 2, size // 2), mode="reflect")[0, 0]
    found = []
    for frames in ends.unfold(0, size, hop).split(_FRAMES):
        spectrum = torch.fft.rfft(frames * window)
        found.append((spectrum.real.square() + spectrum.imag.square()) @ by)
    return torch.cat(found)


def check_size(frames: int, bands: int) -> None:
    """InputError for a spectrogram that would fill memory."""
    if frames * bands > _MOST_NUMBERS:
        raise InputError(
            f"{frames:,} frames of {bands} numbers are more than the {_MOST_NUMBERS:,} that are made at once. Long "
            "sounds are read in windows, by the pipeline automatic-speech-recognition."
        )


def log_mel(wave: Array, length: int, size: int, hop: int, filters: Array) -> Array:
    """(M, T): the logarithm to base 10 of the bands of a wave (N,) of float32 that goes on in silence up to
    `length` samples; at least -10, at most 8 below the loudest, halved twice and moved by 1 (Radford et al., 2022)."""
    import torch

    # frames that see silence alone need no transform
    frames = (length + size // 2 * 2 - size) // hop
    check_size(frames, filters.shape[1])
    heard = min(len(wave) // hop + size // hop + 2, frames)
    samples = np.zeros(max(length if heard == frames else heard * hop, size), np.float32)
    samples[: len(wave)] = wave
    bands = bands_of(torch.from_numpy(samples), size, hop, filters)[:heard]
    found = torch.full((bands.shape[1], frames), -10.0)
    found[:, :heard] = bands.clamp_(min=1e-10).log10_().T
    return found.clamp_(min=float(found.max()) - 8.0).add_(4.0).div_(4.0).numpy()


def decibels(wave: Array, size: int, hop: int, filters: Array) -> Array:
    """(T, M): the bands of a wave (N,) in decibels, at least -100; in float64, and given as float32."""
    import torch

    check_size(len(wave) // hop, filters.shape[1])
    bands = bands_of(torch.from_numpy(wave.astype(np.float64)), size, hop, filters)
    return (10.0 * bands.clamp_(min=1e-10).log10_()).float().numpy()


def filter_bank(wave: Array, rate: float, bands: int) -> Array:
    """(T, M): the natural logarithm of the bands from 20 Hz on, in frames of 25 ms every 10 ms: Kaldi's features.

    Each frame loses its mean and most of what the sample before says, before a Hann window that ends at zero.
    Errors: InputError for a wave (N,) shorter than a frame.
    """
    import torch

    size, hop, fft = 400, 160, 512
    if len(wave) < size:
        raise InputError(f"A sound of {len(wave)} samples is too short: a frame has {size}.")
    frames = torch.from_numpy(wave.astype(np.float64)).unfold(0, size, hop)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - 0.97 * before) * torch.hann_window(size, periodic=False, dtype=torch.float64)
    spectrum = torch.view_as_real(torch.fft.rfft(frames, fft)).square().sum(-1)
    filters = mel_filters(fft // 2 + 1, bands, 20.0, rate // 2, rate, "kaldi")
    return (spectrum @ torch.from_numpy(filters)).clamp_(min=1.192092955078125e-07).log_().float().numpy()
