"""What models of sound read: waves themselves, or spectrograms of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..errors import InputError
from .feature import BatchFeature
from .sequence import SequenceFeatureExtractor, check_lengths, multiple, normalized
from .spectrogram import check_size, decibels, filter_bank, log_mel, mel_filters
from .transforms import Array


class Wav2Vec2FeatureExtractor(SequenceFeatureExtractor):
    """Waves, each less its mean and by its standard deviation (Baevski et al., 2020).

    Settings beside SequenceFeatureExtractor's: do_normalize.
    """

    feature_size: int = 1
    sampling_rate: int = 16_000
    padding_value: float = 0.0
    return_attention_mask: bool = False
    do_normalize: bool = True

    @property
    def any_scale(self) -> bool:  # type: ignore[override]
        """Whether samples may go far beyond 1: normalizing takes their scale away."""
        return self.do_normalize

    def __call__(
        self,
        raw_speech: Any,
        padding: bool | str | None = False,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
        sampling_rate: int | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """`input_values`: waves (N,) of float32, (B, N) where they are padded; and `attention_mask` if it is asked for.

        raw_speech: a sound as `load_audio` takes it, or a list of them; sampling_rate: that of arrays, resampled where
        it is another. The rest as in `pad`. Models whose feat_extract_norm is "group" were trained without a mask.
        """
        own = self.with_settings(kwargs)
        check_lengths(max_length=max_length, pad_to_multiple_of=pad_to_multiple_of)
        waves = own.waves(raw_speech, sampling_rate)
        if truncation and max_length is not None:  # what is cut off does not count in the mean
            waves = [wave[: multiple(max_length, pad_to_multiple_of)] for wave in waves]
        masked = own.return_attention_mask if return_attention_mask is None else return_attention_mask
        alone = own.do_normalize and (masked or padding in (False, None, "do_not_pad"))
        values = [normalized(wave) for wave in waves] if alone else waves
        found = own.pad({"input_values": values}, padding, max_length, truncation, pad_to_multiple_of, masked)
        if own.do_normalize:  # without a mask the padding counts in the mean, as in the reference
            found["input_values"] = [wave if alone else normalized(wave) for wave in found["input_values"]]
        if masked:
            found["attention_mask"] = list(found["attention_mask"])
        return found.convert_to_tensors(return_tensors)


class WhisperFeatureExtractor(SequenceFeatureExtractor):
    """Log-mel spectrograms of 30 seconds (Radford et al., 2022).

    Settings beside SequenceFeatureExtractor's: hop_length and n_fft, samples from frame to frame and in one;
    chunk_length, seconds; dither, how loud the noise is that is added.
    """

    model_input_names: ClassVar[list[str]] = ["input_features"]

    feature_size: int = 80
    sampling_rate: int = 16_000
    hop_length: int = 160
    chunk_length: int = 30
    n_fft: int = 400
    padding_value: float = 0.0
    dither: float = 0.0
    return_attention_mask: bool = False

    @property
    def n_samples(self) -> int:
        """Samples of a whole window."""
        return self.chunk_length * self.sampling_rate

    @property
    def nb_max_frames(self) -> int:
        """Frames of a whole window."""
        return self.n_samples // self.hop_length

    @property
    def mel_filters(self) -> Array:
        """(F, M), Slaney's."""
        return mel_filters(self.n_fft // 2 + 1, self.feature_size, 0.0, 8000.0, self.sampling_rate, "slaney", True)

    def to_dict(self) -> dict[str, Any]:
        """The settings, and the lengths that follow from them."""
        return {**super().to_dict(), "n_samples": self.n_samples, "nb_max_frames": self.nb_max_frames}

    def __call__(
        self,
        raw_speech: Any,
        truncation: bool = True,
        pad_to_multiple_of: int | None = None,
        return_tensors: Any = None,
        return_attention_mask: bool | None = None,
        padding: bool | str | None = "max_length",
        max_length: int | None = None,
        sampling_rate: int | None = None,
        do_normalize: bool | None = None,
        device: Any = "cpu",
        **kwargs: Any,
    ) -> BatchFeature:
        """`input_features` (B, feature_size, T) of float32, T = 3000 unless `padding` says otherwise; and
        `attention_mask` (B, T) if it is asked for.

        raw_speech: a sound as `load_audio` takes it, or a list of them; sampling_rate: that of arrays, resampled where
        it is another; do_normalize: take each wave less its mean, by its standard deviation, first. What is longer than
        30 s (or `max_length` samples) is cut off where `truncation`. The rest as in `pad`.
        """
        kwargs.pop("return_token_timestamps", None)  # for the reference's pipeline alone
        own = self.with_settings(kwargs)
        check_lengths(max_length=max_length, pad_to_multiple_of=pad_to_multiple_of)
        most = multiple(max_length or own.n_samples, pad_to_multiple_of)
        waves = own.waves(raw_speech, sampling_rate)
        mask = True if return_attention_mask or do_normalize else return_attention_mask
        if do_normalize:
            waves = [normalized(wave[:most] if truncation else wave) for wave in waves]
        # only lengths are padded: silence needs no transform
        length = own.length(waves, padding, most, truncation, pad_to_multiple_of)
        lengths = [min(len(wave), most) if truncation else len(wave) for wave in waves]
        features = own.each(
            lambda wave: own._frames(wave, length), [w[:n] for w, n in zip(waves, lengths, strict=True)]
        )
        found: dict[str, Any] = {"input_features": features}
        asked = own.return_attention_mask if mask is None else mask
        if asked:
            frames = [f.shape[1] for f in features]
            found["attention_mask"] = [own._mask(n, length, f) for n, f in zip(lengths, frames, strict=True)]
        if return_tensors is None and len({f.shape for f in features}) == 1:
            found = {name: np.stack(rows) for name, rows in found.items()}
        return BatchFeature(found, return_tensors)

    def _frames(self, wave: Array, padded: int | None) -> Array:
        length = max(padded or 0, len(wave))
        if self.dither or self.padding_value or self.padding_side == "left":
            wave = self._filled(wave, length, self.padding_value)
        if self.dither:
            import torch

            wave = wave + np.float32(self.dither) * torch.randn(length).numpy()
        if length < self.hop_length:
            raise InputError(
                f"A sound of {length} samples is too short for a frame: there is one every {self.hop_length}."
            )
        return log_mel(wave, length, self.n_fft, self.hop_length, self.mel_filters)

    def _mask(self, heard: int, padded: int | None, frames: int) -> Array:
        start = max((padded or 0) - heard, 0) if self.padding_side == "left" else 0
        at = np.arange(frames) * self.hop_length
        return ((at >= start) & (at < start + heard)).astype(np.int32)


class ClapFeatureExtractor(SequenceFeatureExtractor):
    """Spectrograms of 10 seconds in decibels, whole and in three pieces (Wu et al., 2022).

    Settings beside SequenceFeatureExtractor's: hop_length and fft_window_size, samples from frame to frame and in one;
    max_length_s, seconds; frequency_min, frequency_max, hertz; truncation: "fusion", a long sound as a small picture of
    the whole and three pieces drawn at random, or "rand_trunc", one piece drawn at random; padding: "repeatpad",
    "repeat" or "pad".
    """

    model_input_names: ClassVar[list[str]] = ["input_features", "is_longer"]

    feature_size: int = 64
    sampling_rate: int = 48_000
    hop_length: int = 480
    max_length_s: int = 10
    fft_window_size: int = 1024
    padding_value: float = 0.0
    return_attention_mask: bool = False
    frequency_min: float = 0.0
    frequency_max: float = 14_000.0
    top_db: int | None = None
    truncation: str = "fusion"
    padding: str = "repeatpad"

    @property
    def nb_max_samples(self) -> int:
        """Samples of a whole window."""
        return self.max_length_s * self.sampling_rate

    def to_dict(self) -> dict[str, Any]:
        """The settings, and the lengths that follow from them."""
        bins = self.fft_window_size // 2 + 1
        return {**super().to_dict(), "nb_max_samples": self.nb_max_samples, "nb_frequency_bins": bins}

    def __call__(
        self,
        raw_speech: Any,
        truncation: str | None = None,
        padding: bool | str | None = None,
        max_length: int | None = None,
        sampling_rate: int | None = None,
        return_tensors: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """`input_features` (B, 4, T, feature_size) of float32, or (B, 1, …) for "rand_trunc", and `is_longer` (B, 1).

        raw_speech: a sound as `load_audio` takes it, or a list of them; sampling_rate: that of arrays, resampled where
        it is another; the rest are settings for this call. Pieces are drawn by numpy.random, as in the reference: also
        which one of a batch of short sounds counts as longer, since the model needs one.
        """
        own = self.with_settings(kwargs)
        cut = own.truncation if truncation is None else truncation
        fill = own.padding if padding is None or padding is True else padding
        if cut not in ("fusion", "rand_trunc"):
            raise InputError(f"truncation must be 'fusion' or 'rand_trunc', got {cut!r}.")
        if fill not in ("repeatpad", "repeat", "pad", False):
            raise InputError(f"padding must be 'repeatpad', 'repeat' or 'pad', got {fill!r}.")
        check_lengths(max_length=max_length)
        most = max_length or own.nb_max_samples
        made = own.each(lambda wave: own._one(wave, most, cut, fill), own.waves(raw_speech, sampling_rate))
        longer = [is_longer for _, is_longer in made]
        if cut == "fusion" and not any(longer):
            longer[np.random.randint(0, len(longer))] = True
        found = {"input_features": [mel for mel, _ in made], "is_longer": [[one] for one in longer]}
        return BatchFeature(found, return_tensors)

    def _mel(self, wave: Array, slaney: bool) -> Array:
        low, high, bins = self.frequency_min, self.frequency_max, self.fft_window_size // 2 + 1
        scale = "slaney" if slaney else "htk"
        filters = mel_filters(bins, self.feature_size, low, high, self.sampling_rate, scale, slaney)
        return decibels(wave, self.fft_window_size, self.hop_length, filters)

    def _one(self, wave: Array, most: int, cut: str, fill: str | bool) -> tuple[Array, bool]:
        """(4 or 1, T, M) of one sound, and whether it is longer than a window."""
        check_size(max(most, len(wave)), 1)
        fusion = cut == "fusion"
        if len(wave) <= most:
            mel = self._mel(_repeated(wave, most, fill), not fusion)
            return (np.stack([mel] * 4) if fusion else mel[None]), False
        if not fusion:
            start = np.random.randint(0, len(wave) - most + 1)
            return self._mel(wave[start : start + most], True)[None], True
        mel, frames = self._mel(wave, False), most // self.hop_length + 1
        if len(mel) == frames:
            return np.stack([mel] * 4), False
        return self._pieces(mel, frames), True

    def _pieces(self, mel: Array, frames: int) -> Array:
        """(4, frames, M): the whole in small, and a piece of each third of (T, M)."""
        import torch

        thirds = [list(third) or [0] for third in np.array_split(np.arange(len(mel) - frames + 1), 3)]
        starts = [np.random.choice(third) for third in thirds]
        size = [frames, mel.shape[1]]
        small = torch.nn.functional.interpolate(torch.from_numpy(mel)[None, None], size, mode="bilinear")[0, 0]
        return np.stack([small.numpy(), *(mel[start : start + frames] for start in starts)])


def _repeated(wave: Array, length: int, how: str | bool) -> Array:
    if len(wave) < length and how == "repeat":
        return np.tile(wave, length // len(wave) + 1)[:length]
    if len(wave) < length and how == "repeatpad":
        wave = np.tile(wave, length // len(wave))
    return np.pad(wave, (0, length - len(wave)))


# what older code gives all extractors of sound alike, and means by it samples
_NOT_OF_FRAMES = ("padding", "truncation", "max_length")


class FilterBankExtractor(SequenceFeatureExtractor):
    """Kaldi's features of 1024 frames, by the mean and twice the standard deviation of a data set (Gong et al., 2021).

    Settings beside SequenceFeatureExtractor's: num_mel_bins; max_length, frames; do_normalize, mean, std.
    """

    model_input_names: ClassVar[list[str]] = ["input_values", "attention_mask"]

    feature_size: int = 1
    sampling_rate: int = 16_000
    num_mel_bins: int = 128
    max_length: int = 1024
    padding_value: float = 0.0
    do_normalize: bool = True
    mean: float = -4.2677393
    std: float = 4.5689974
    return_attention_mask: bool = False

    def __call__(
        self, raw_speech: Any, sampling_rate: int | None = None, return_tensors: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """`input_values` (B, max_length, num_mel_bins) of float32.

        raw_speech: a sound as `load_audio` takes it, or a list of them; sampling_rate: that of arrays, resampled where
        it is another; the rest are settings for this call. What is longer is cut off, what is shorter gets zeros.
        """
        own = self.with_settings({k: v for k, v in kwargs.items() if k not in _NOT_OF_FRAMES})
        found = own.each(own._frames, own.waves(raw_speech, sampling_rate))
        return BatchFeature({"input_values": found}, return_tensors)

    def _frames(self, wave: Array) -> Array:
        check_size(self.max_length, self.num_mel_bins)
        bank = filter_bank(wave, self.sampling_rate, self.num_mel_bins)[: self.max_length]
        bank = np.pad(bank, ((0, self.max_length - len(bank)), (0, 0)))
        return (bank - np.float32(self.mean)) / np.float32(self.std * 2) if self.do_normalize else bank
