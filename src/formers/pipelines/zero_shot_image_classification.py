"""zero-shot-image-classification: which of labels named in the call fits a picture, by a model of both.

Source: Radford et al. 2021 (arXiv 2103.00020).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .base import Task
from .image_classification import images_of
from .images import ImagePipeline
from .label_vectors import LabelVectorsPipeline


class ZeroShotImageClassificationPipeline(LabelVectorsPipeline, ImagePipeline):
    """How well each of some labels fits a picture, from a model with a tower for each; see ImagePipeline.

    The vectors of labels are computed once for all pictures, and kept for the next call.

    Args:
        candidate_labels: a list of labels, or one string with commas between them.
        hypothesis_template: the sentence that each is put into, with {} for the label: "This is a photo of {}.".
        tokenizer_kwargs: a dictionary of the tokenizer's arguments.
        timeout: seconds to wait for a URL.
    """

    TEMPLATE = "This is a photo of {}."
    TOWER = "vision_model"

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Compare pictures with labels, which may be the second argument; `image` or `images` is the first by name.

        Returns:
            For a picture a list of {"score": float, "label": str}, the best first; a list of these for a list.
        """
        inputs = images_of(inputs, kwargs, "image")
        if len(args) == 1 and "candidate_labels" not in kwargs:
            return super().__call__(inputs, candidate_labels=args[0], **kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def features(self, model_inputs: Any) -> Tensor:
        found: Tensor = self.model.get_image_features(**model_inputs)
        return found


TASK = Task(
    name="zero-shot-image-classification",
    pipeline=ZeroShotImageClassificationPipeline,
    auto="AutoModelForZeroShotImageClassification",
    default=("openai/clip-vit-base-patch32", "3d74acf"),
    reads=("image_processor", "tokenizer"),
)
