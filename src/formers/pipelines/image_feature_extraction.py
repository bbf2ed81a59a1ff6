"""image-feature-extraction: the last hidden states of a picture, one vector a patch, or one vector for all of it."""

from __future__ import annotations

from typing import Any

from ..errors import HeadError
from .base import Task
from .images import ImagePipeline


class ImageFeatureExtractionPipeline(ImagePipeline):
    """Hidden states of pictures, from a model without a head; see ImagePipeline for what a picture is.

    Args:
        pool: True gives the model's pooled vector, (1, D), instead of one a patch, (1, T, D).
        return_tensors: True gives tensors instead of nested lists.
        image_processor_kwargs: a dictionary of the image processor's arguments.
        timeout: seconds to wait for a URL.
    """

    def _sanitize_parameters(
        self,
        pool: bool | None = None,
        return_tensors: bool | None = None,
        image_processor_kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        before = dict(image_processor_kwargs or {}) | ({} if timeout is None else {"timeout": timeout})
        given = {"pool": pool, "return_tensors": return_tensors}
        return before, {}, {name: value for name, value in given.items() if value is not None}

    def postprocess(self, model_outputs: Any, pool: bool = False, return_tensors: bool = False) -> Any:
        """The hidden states of one picture, or its pooled vector."""
        if pool and model_outputs.get("pooler_output") is None:
            raise HeadError(f"pool=True: {type(self.model).__name__} gives no pooled vector. Leave it out.")
        found = model_outputs["pooler_output"] if pool else model_outputs[0]
        return found.clone() if return_tensors else found.tolist()


TASK = Task(
    name="image-feature-extraction",
    pipeline=ImageFeatureExtractionPipeline,
    auto="AutoModel",
    default=("google/vit-base-patch16-224", "3f49326"),
    reads=("image_processor",),
)
