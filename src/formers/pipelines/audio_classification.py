"""audio-classification: which labels a sound gets, and how sure the model is."""

from __future__ import annotations

from typing import Any

from .base import Task
from .choices import checked_top_k, member
from .scores import ClassificationFunction, labelled
from .text import no_head
from .whole_sounds import WholeSoundPipeline, sounds_of


class AudioClassificationPipeline(WholeSoundPipeline):
    """Labels of sounds, from a model with a head that labels them; see SoundPipeline for what a sound is.

    A sound at any rate, of any number of channels, is heard at the model's.

    Args:
        top_k: how many labels, best first: 5 where it is left out, None for all.
        function_to_apply: "sigmoid", "softmax" or "none". Left out, the model's config decides: none for problem_type
            "regression", sigmoid for one label or "multi_label_classification", else softmax.
        timeout: seconds to wait for a URL.
    """

    def _sanitize_parameters(
        self,
        top_k: int | str | None = "",
        function_to_apply: str | ClassificationFunction | None = None,
        timeout: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        postprocess: dict[str, Any] = {}
        if top_k != "":  # None means all labels
            postprocess["top_k"] = checked_top_k(top_k, "labels, or None for all")
        if function_to_apply is not None:
            postprocess["function_to_apply"] = member(ClassificationFunction, function_to_apply, "function_to_apply")
        return {} if timeout is None else {"timeout": timeout}, {}, postprocess

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Classify; `audio` or `audios` is another name of the inputs.

        Returns:
            For a sound a list of {"score": float, "label": str}, the best first; a list of these for a list of sounds.
            See Pipeline.__call__ for generators and datasets.
        """
        return super().__call__(sounds_of(inputs, kwargs), *args, **kwargs)

    def postprocess(
        self, model_outputs: Any, function_to_apply: ClassificationFunction | None = None, top_k: int | None = 5
    ) -> list[dict[str, Any]]:
        """The labels of one sound, the best first."""
        logits, config = model_outputs.get("logits"), self.model.config
        if logits is None or logits.ndim != 2 or logits.shape[1] != config.num_labels:
            raise no_head(self.model, "sound", "Audio classification", "AutoModelForAudioClassification")
        return labelled(logits[0], config, function_to_apply)[:top_k]


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
