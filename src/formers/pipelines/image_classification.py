"""image-classification: which labels a picture gets, and how sure the model is."""

from __future__ import annotations

from typing import Any

from .base import Task
from .choices import checked_top_k, member
from .images import ImagePipeline
from .scores import ClassificationFunction, labelled
from .text import no_head


class ImageClassificationPipeline(ImagePipeline):
    """Labels of pictures, from a model with a head that labels them; see ImagePipeline for what a picture is.

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
        """Classify; `images` is another name of the inputs.

        Returns:
            For a picture a list of {"label": str, "score": float}, the best first; a list of these for a list of
            pictures. See Pipeline.__call__ for generators and datasets.
        """
        return super().__call__(images_of(inputs, kwargs), *args, **kwargs)

    def postprocess(
        self, model_outputs: Any, function_to_apply: ClassificationFunction | None = None, top_k: int | None = 5
    ) -> list[dict[str, Any]]:
        """The labels of one picture, the best first."""
        logits = model_outputs.get("logits")
        if logits is None or logits.ndim != 2 or logits.shape[1] != self.model.config.num_labels:
            raise no_head(self.model, "picture", "Image classification", "AutoModelForImageClassification")
        return labelled(logits[0], self.model.config, function_to_apply)[:top_k]


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
