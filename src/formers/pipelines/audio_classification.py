"""audio-classification: which labels a sound gets, and how sure the model is."""

from __future__ import annotations

from typing import Any

from .base import Task
from .labels import LabelsPipeline
from .whole_sounds import WholeSoundPipeline, sounds_of


class AudioClassificationPipeline(LabelsPipeline, WholeSoundPipeline):
    """Labels of sounds, from a model with a head that labels them; see SoundPipeline for what a sound is.

    A sound at any rate, of any number of channels, is heard at the model's.

    Args:
        top_k: how many labels, best first: 5 where it is left out, None for all.
        function_to_apply: "sigmoid", "softmax" or "none". Left out, the model's config decides: none for problem_type
            "regression", sigmoid for one label or "multi_label_classification", else softmax.
        timeout: seconds to wait for a URL.
    """

    NEEDS = ("sound", "Audio classification", "AutoModelForAudioClassification")

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Classify; `audio` or `audios` is another name of the inputs.

        Returns:
            For a sound a list of {"score": float, "label": str}, the best first; a list of these for a list of sounds.
            See Pipeline.__call__ for generators and datasets.
        """
        return super().__call__(sounds_of(inputs, kwargs), *args, **kwargs)


TASK = Task(
    name="audio-classification",
    pipeline=AudioClassificationPipeline,
    auto="AutoModelForAudioClassification",
    architectures=(
        "ForAudioClassification",
        *(f"{name}ForSequenceClassification" for name in ("Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio")),
    ),
    default=("superb/wav2vec2-base-superb-ks", "372e048"),
    reads=("feature_extractor",),
)
