"""What the tasks share that label a picture or a sound as a whole."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import Pipeline
from .choices import checked_top_k, member
from .scores import ClassificationFunction, labelled
from .text import no_head


class LabelsPipeline(Pipeline):
    """A task whose model has a head that labels its inputs. NEEDS: what messages say of a model without one."""

    NEEDS: ClassVar[tuple[str, str, str]]

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

    def postprocess(
        self, model_outputs: Any, function_to_apply: ClassificationFunction | None = None, top_k: int | None = 5
    ) -> list[dict[str, Any]]:
        """The labels of one input, the best first."""
        logits, config = model_outputs.get("logits"), self.model.config
        if logits is None or logits.ndim != 2 or logits.shape[1] != config.num_labels:
            raise no_head(self.model, *self.NEEDS)
        return labelled(logits[0], config, function_to_apply)[:top_k]
