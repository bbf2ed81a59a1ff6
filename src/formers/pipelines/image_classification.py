"""image-classification: which labels a picture gets, and how sure the model is."""

from __future__ import annotations

from typing import Any

from .base import Task
from .images import ImagePipeline
from .labels import LabelsPipeline


class ImageClassificationPipeline(LabelsPipeline, ImagePipeline):
    """Labels of pictures, from a model with a head that labels them; see ImagePipeline for what a picture is.

    Args:
        top_k: how many labels, best first: 5 where it is left out, None for all.
        function_to_apply: "sigmoid", "softmax" or "none". Left out, the model's config decides: none for problem_type
            "regression", sigmoid for one label or "multi_label_classification", else softmax.
        timeout: seconds to wait for a URL.
    """

    NEEDS = ("picture", "Image classification", "AutoModelForImageClassification")

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Classify; `images` is another name of the inputs.

        Returns:
            For a picture a list of {"label": str, "score": float}, the best first; a list of these for a list of
            pictures. See Pipeline.__call__ for generators and datasets.
        """
        return super().__call__(images_of(inputs, kwargs), *args, **kwargs)


def images_of(inputs: Any, kwargs: dict[str, Any], *names: str) -> Any:
    """The inputs of a call, which 4.x also takes as `images`, or by another of `names`."""
    for name in ("images", *names):
        if inputs is None and name in kwargs:
            return kwargs.pop(name)
    return inputs


TASK = Task(
    name="image-classification",
    pipeline=ImageClassificationPipeline,
    auto="AutoModelForImageClassification",
    architectures=("ForImageClassification", "ForImageClassificationWithTeacher"),
    default=("google/vit-base-patch16-224", "3f49326"),
    reads=("image_processor",),
)
