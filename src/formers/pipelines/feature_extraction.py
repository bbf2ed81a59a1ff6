"""feature-extraction: the last hidden states of a text, one vector per token."""

from __future__ import annotations

from typing import Any

from .base import Task
from .text import TextPipeline


class FeatureExtractionPipeline(TextPipeline):
    """Hidden states of texts, from a model without a head; see Pipeline for the general arguments.

    Args:
        return_tensors: True gives tensors (1, T, D) instead of nested lists.
        tokenize_kwargs: a dictionary of the tokenizer's arguments.
        kwargs: the same, one by one: truncation, max_length, padding, …
    """

    per_token = True
    # results are about ten times as large as the tensors that they are made of
    window_tokens = 5_000

    def _sanitize_parameters(
        self, tokenize_kwargs: dict[str, Any] | None = None, return_tensors: bool | None = None, **tokenizer_kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        postprocess = {} if return_tensors is None else {"return_tensors": return_tensors}
        return self._tokenizer_parameters(tokenizer_kwargs, tokenize_kwargs), {}, postprocess

    def postprocess(self, model_outputs: Any, return_tensors: bool = False) -> Any:
        """The first output, (1, T, D): nested lists, or a tensor of its own that gradients may use."""
        features = model_outputs[0]
        return features.clone() if return_tensors else features.tolist()


TASK = Task(
    name="feature-extraction",
    pipeline=FeatureExtractionPipeline,
    auto="AutoModel",
    architectures=("Model",),
    default=("distilbert/distilbert-base-cased", "6ea8117"),
)
