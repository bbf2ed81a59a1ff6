"""What the tasks share that hear each sound as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from .images import in_turn, in_type
from .sounds import SoundPipeline

_SAMPLES, _NUMBERS = 320, 128  # of a wave, and of a spectrogram, that become a column, by which work is counted


class WholeSoundPipeline(SoundPipeline):
    """A task on sounds that are heard as a whole; see SoundPipeline.

    Sounds of a list are heard together where that changes nothing: those of one length, and those whose model knows
    which part is padding.
    """

    by_tokens = True

    def preprocess(self, inputs: Any, timeout: float | None = None) -> Mapping[str, Any]:
        """The model's arguments for one sound."""
        wave = self.wave(inputs, timeout)
        made = self.feature_extractor(wave, sampling_rate=self.sampling_rate, return_tensors="pt")
        read = {*self.model.inputs(), *self.model.KEYWORDS}
        return in_type({name: value for name, value in made.items() if name in read}, self.dtype)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, in threads."""
        return in_turn(lambda item: self.preprocess(item, **parameters), inputs, first)

    def length(self, model_inputs: Mapping[str, Any]) -> int:
        """How much the model computes for one sound: its columns, 50 a second of a wave."""
        heard = _heard(model_inputs)
        if heard is None:
            return super().length(model_inputs)
        return max(1, heard.numel() // (_SAMPLES if heard.dim() == 2 else _NUMBERS))

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        groups: dict[Any, list[int]] = {}
        for index, item in enumerate(items):
            told = "attention_mask" in item and not self._norms_padding()
            groups.setdefault(None if told else getattr(_heard(item), "shape", None), []).append(index)
        if len(groups) == 1:
            yield from super()._batch_outputs(items, parameters)
            return
        outputs: dict[int, Any] = {}
        for group in groups.values():
            found = super()._batch_outputs([items[i] for i in group], parameters)
            outputs.update(zip(group, found, strict=True))
        yield from (outputs[i] for i in range(len(items)))

    def _norms_padding(self) -> bool:
        """Whether the model's first layers take means over padding too, whatever a mask says."""
        return getattr(self.model.config, "feat_extract_norm", None) == "group"


def _heard(model_inputs: Mapping[str, Any]) -> Tensor | None:
    given = (model_inputs.get(name) for name in ("input_values", "input_features"))
    return next((value for value in given if isinstance(value, Tensor)), None)


def sounds_of(inputs: Any, kwargs: dict[str, Any]) -> Any:
    """The inputs of a call, which the reference also takes as `audios` or `audio`."""
    for name in ("audios", "audio"):
        if inputs is None and name in kwargs:
            return kwargs.pop(name)
    return inputs
