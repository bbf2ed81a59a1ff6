"""feature-extraction: the last hidden states of a text, one vector a token, or one vector a text."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F

from ..auto import AutoModel
from ..classes import model_class
from ..config import PretrainedConfig
from ..errors import ArgumentError, near
from ..ops.pooling import POOLINGS, pooled
from .base import Task
from .batches import collate
from .text import TextPipeline


class FeatureExtractionPipeline(TextPipeline):
    """Hidden states of texts, from a model without a head; see Pipeline for the general arguments.

    Args:
        return_tensors: True gives tensors (1, T, D) instead of nested lists; (D,) with pooling.
        pooling: "mean", "cls", "max", "mean_sqrt_len", "weightedmean" or "lasttoken", for one vector a text.
        normalize: with pooling, vectors at length 1.
        tokenize_kwargs: a dictionary of the tokenizer's arguments.
        kwargs: the same, one by one: truncation, max_length, padding, …
    """

    by_tokens = True
    per_token = True
    # results are about ten times as large as the tensors that they are made of
    window_tokens = 5_000

    def _sanitize_parameters(
        self,
        tokenize_kwargs: dict[str, Any] | None = None,
        return_tensors: bool | None = None,
        pooling: str | None = None,
        normalize: bool | None = None,
        **tokenizer_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if pooling not in (None, *POOLINGS):
            raise ArgumentError(
                f"pooling={pooling!r} is not known.{near(pooling, POOLINGS)} Use {', '.join(POOLINGS)}."
            )
        given = {"pooling": pooling, "normalize": normalize}
        postprocess = {} if return_tensors is None else {"return_tensors": return_tensors}
        return (
            self._tokenizer_parameters(tokenizer_kwargs, tokenize_kwargs),
            {name: value for name, value in given.items() if value is not None},
            postprocess,
        )

    def _forward(
        self, model_inputs: Any, pooling: str | None = None, normalize: bool = False, **parameters: Any
    ) -> Any:
        if pooling is None:
            if normalize:
                raise ArgumentError('normalize=True is for one vector a text: give pooling too, as pooling="mean".')
            return super()._forward(model_inputs, **parameters)
        hidden = super()._forward(model_inputs, **parameters)[0].float()
        vectors = pooled(hidden, model_inputs.get("attention_mask"), pooling)
        return {"vector": F.normalize(vectors, dim=1) if normalize else vectors}

    def _batch_outputs(self, items: list[Any], parameters: dict[str, Any]) -> Any:
        if "pooling" not in parameters:
            return super()._batch_outputs(items, parameters)
        outputs = self.forward(collate(items, self.tokenizer, right=self.by_tokens), **parameters)
        return ({"vector": vector} for vector in outputs["vector"])

    def postprocess(self, model_outputs: Any, return_tensors: bool = False) -> Any:
        """The first output, (1, T, D), or the vector, (D,): lists, or a tensor of its own that gradients may use."""
        one = isinstance(model_outputs, dict) and "vector" in model_outputs
        features = model_outputs["vector"] if one else model_outputs[0]
        return features.clone() if return_tensors else features.tolist()


class AutoReader(AutoModel):
    """AutoModel, but of a family that writes too the part that reads, where there is that alone, as of T5."""

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[Any]:
        own = model_class("text-encoding", type(config))
        return super()._class_for(config) if own is None else own


TASK = Task(
    name="feature-extraction",
    pipeline=FeatureExtractionPipeline,
    auto=AutoReader,
    architectures=("Model",),
    default=("distilbert/distilbert-base-cased", "6ea8117"),
)
