"""zero-shot-audio-classification: which of labels named in the call fits a sound, by a model of both.

Source: Wu et al. 2022 (arXiv 2211.06687).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .base import Task
from .label_vectors import LabelVectorsPipeline
from .whole_sounds import WholeSoundPipeline, sounds_of


class ZeroShotAudioClassificationPipeline(LabelVectorsPipeline, WholeSoundPipeline):
    """How well each of some labels fits a sound, from a model with a tower for each; see SoundPipeline.

    The vectors of labels are computed once for all sounds, and kept for the next call. Of a sound longer than the
    model's window its extractor draws the parts that are heard, by numpy.random.

    Args:
        candidate_labels: a list of labels, or one string with commas between them.
        hypothesis_template: the sentence that each is put into, with {} for the label: "This is a sound of {}.".
        tokenizer_kwargs: a dictionary of the tokenizer's arguments.
        timeout: seconds to wait for a URL.
    """

    by_tokens = True
    TEMPLATE = "This is a sound of {}."
    TOWER = "audio_model"

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Compare sounds with labels, which may be the second argument; `audio` or `audios` is the first by name.

        Returns:
            For a sound a list of {"score": float, "label": str}, the best first; a list of these for a list.
        """
        inputs = sounds_of(inputs, kwargs)
        if len(args) == 1 and "candidate_labels" not in kwargs:
            return super().__call__(inputs, candidate_labels=args[0], **kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def features(self, model_inputs: Any) -> Tensor:
        found: Tensor = self.model.get_audio_features(**model_inputs)
        return found


TASK = Task(
    name="zero-shot-audio-classification",
    pipeline=ZeroShotAudioClassificationPipeline,
    auto="AutoModel",
    architectures=("ClapModel",),
    default=("laion/clap-htsat-fused", "cca9e28"),
    reads=("feature_extractor", "tokenizer"),
)
