"""What models that read spectrograms share: to them a spectrogram is a picture, of frames and of bands of mels.

Letters: B batch, T frames, M bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import vision
from .cache import Cache
from .errors import ArgumentError, InputError, NotTensorError
from .ops.checks import read_mask
from .ops.layout import Layout, is_tracing


def checked_sound(who: str, name: str, given: Any, axes: tuple[str, ...]) -> Tensor:
    """What a model reads of sound: floating numbers, of these axes. Raises InputError for anything else.

    who: the model's name, name: the argument's."""
    how = f"a feature extractor makes them: extractor(sound, sampling_rate=…, return_tensors='pt').{name}"
    if given is None:
        raise InputError(f"{who} reads {name}: {how}.")
    if not isinstance(given, Tensor):
        raise NotTensorError(f"{name} is a {type(given).__name__}, not a tensor; {how}.")
    shape = tuple(given.shape)
    if len(shape) != len(axes):
        hint = f" For one sound, add a batch dimension: {name}[None]." if len(shape) == len(axes) - 1 else ""
        raise InputError(f"{name} has shape {shape}; it should be ({', '.join(axes)}).{hint}")
    if 0 in shape:
        raise InputError(f"{name} has shape {shape}: there is nothing in it.")
    if not given.is_floating_point():
        raise InputError(f"{name} is {given.dtype}; models read floating numbers, scaled: {how}.")
    looked_at = not is_tracing() and given.device.type == "cpu"
    if looked_at and not bool(torch.isfinite(given).all()):
        raise InputError(f"{name} has numbers that are NaN or infinite: look at the sound that they are of.")
    return given


def spectrograms(shape: tuple[int, ...]) -> Tensor:
    """Spectrograms (…, T, M) of sounds that are nobody's, normalised: what changes slowly is stronger, as in pictures
    of the world."""
    config = _Sizes()
    config.num_channels, config.image_size = max(1, torch.Size(shape[1:-2]).numel()), list(shape[-2:])
    return vision.pictures(config, shape[0]).reshape(shape)


class _Sizes:
    num_channels: int
    image_size: list[int]


class ReadsSpectrograms(vision.ReadsImages):
    """The part of a model that reads spectrograms.

    AXES: what dimensions its input `main_input_name` has.
    """

    AXES: ClassVar[tuple[str, ...]] = ("batch", "frames", "bands")

    def shape_of_input(self) -> tuple[int, ...]:
        """The dimensions of the input but for the batch's."""
        raise NotImplementedError

    def rows_of_input(self, given: Tensor) -> int:
        """How many columns a batch of these spectrograms has."""
        raise NotImplementedError

    def layout_of_inputs(
        self, inputs: dict[str, Any], keep_padding: bool = False, reads_first: bool = True, cache: Cache | None = None
    ) -> Layout:
        name, body = self.main_input_name, self.base_model
        assert isinstance(body, ReadsSpectrograms)
        given = checked_sound(type(self).__name__, name, inputs.get(name), self.AXES)
        B, T, mask = len(given), body.rows_of_input(given), inputs.get("attention_mask")
        return Layout(B, T, mask=None if mask is None else read_mask(mask, B, T))

    def example(self, count: int) -> dict[str, Tensor]:
        """A batch of sounds that are nobody's."""
        return {self.main_input_name: spectrograms((count, *self.shape_of_input()))}

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        body: Any = self.base_model
        made: dict[str, Tensor] = body.example(2)
        return made

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        given = self.dummy_inputs.items()
        return [{name: x.to(self.device, self.dtype if x.is_floating_point() else None) for name, x in given}]

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        raise ArgumentError(
            f"{type(self).__name__} reads sounds: check={texts[0]!r:.40} is a list of batches for it, "
            'such as [extractor(sounds, sampling_rate=…, return_tensors="pt")].'
        )

    def resize_token_embeddings(self, *_: Any, **__: Any) -> Any:
        """Raise InputError: there are no words."""
        raise InputError(f"{type(self).__name__} reads sounds: it has no vocabulary to resize.")
