"""text-ranking: documents by how well they fit a query, by a model that reads both at once (a cross-encoder).

Its files are those that sentence-transformers writes for a CrossEncoder. Source: Nogueira and Cho 2019 (arXiv
1901.04085).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, ConfigError, InputError
from ..ops.activations import torch_activation
from .base import Task, checked_batch_size
from .choices import checked_top_k, member
from .parts import Beside, BesidePipeline
from .scores import ClassificationFunction
from .text import least_limit, read_side

_FORMS = 'give {"query": str, "documents": [str, …]}, or a pair (query, document)'


class TextRankingPipeline(BesidePipeline):
    """Scores of documents for a query, from a sequence classification model with one label; see Pipeline.

    An input is {"query": str, "documents": [str, …]}, which gives the documents best first; or a pair (query,
    document), which gives its score.

    Args:
        top_k: how many documents, best first; None for all.
        return_documents: whether results have the documents' text.
        function_to_apply: "sigmoid" or "none". Left out, the model's files decide, and sigmoid where they say nothing.
        activation_fn: the same as a function on tensors, or as the name of a class of torch ("Identity", "Sigmoid").
        kwargs: the tokenizer's: truncation, max_length, …
    """

    only_pairs = True  # pairs are also read where documents are not given as a list
    OTHERS = "documents"
    NEEDS = ("text", "Text ranking", "AutoModelForSequenceClassification")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if (labels := getattr(model.config, "num_labels", 1)) != 1:
            raise ArgumentError(
                f"This {type(model).__name__} has {labels} labels; text-ranking needs a model with one, whose score "
                "says how well a document fits. Use text-classification for the labels of pairs."
            )
        self._activation = _activation_of(model.config)

    @property
    def max_tokens(self) -> int | None:
        """The longest pair that the model and its tokenizer take: a ranker may be made for less than it can read."""
        return least_limit(super().max_tokens, getattr(self.tokenizer, "model_max_length", None))

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        return_documents: bool | None = None,
        function_to_apply: str | ClassificationFunction | None = None,
        activation_fn: str | Callable[[Tensor], Tensor] | None = None,
        parts_per_step: int | None = None,
        **tokenizer_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        checked_top_k(top_k, "documents, or None for all")
        if function_to_apply is not None and activation_fn is not None:
            raise ArgumentError("function_to_apply and activation_fn are both given. Give one of them.")
        if function_to_apply is not None:
            activation_fn = _named(function_to_apply)
        elif isinstance(activation_fn, str):
            activation_fn = torch_activation(activation_fn, "activation_fn")
        elif not (activation_fn is None or callable(activation_fn)):
            raise ArgumentError(f"activation_fn={activation_fn!r:.60} is no function, nor the name of one.")
        after = {"top_k": top_k, "return_documents": return_documents, "activation": activation_fn}
        inside = {} if parts_per_step is None else {"parts_per_step": checked_batch_size(parts_per_step)}
        return (
            self._tokenizer_parameters(tokenizer_kwargs),
            inside,
            {name: value for name, value in after.items() if value is not None},
        )

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Documents by how well they fit the query.

        Args:
            query, documents: texts.
            top_k: how many, best first; None for all.
            return_documents: whether results have the documents' text.
            batch_size: documents per step; left out, they are chosen by tokens, which is faster.
            kwargs: those of the call: truncation, activation_fn, on_error, …

        Returns:
            [{"corpus_id": the place in `documents`, "score": float}, …], best first; with "text" if asked.

        Raises InputError that names a document that is no text, or longer than the model reads.
        """
        asked = {"query": query, "documents": documents if isinstance(documents, str) else list(documents)}
        return self(asked, top_k=top_k, return_documents=return_documents, parts_per_step=batch_size, **kwargs)

    def _beside(self, item: Any, name: str) -> Beside:
        if isinstance(item, Mapping) and item.keys() == {"query", "documents"}:
            return Beside(read_side(item["query"], f"{name}: its query", True), self._others(item["documents"], name))
        if isinstance(item, str) or (isinstance(item, Mapping) and "text_pair" not in item):
            raise InputError(f"{name} is {item!r:.60}; {_FORMS}.")
        text, pair = self._read(item, name)
        return Beside(text, [str(pair)], only=True)

    def postprocess(
        self,
        model_outputs: Any,
        top_k: int | None = None,
        return_documents: bool = False,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> float | list[dict[str, Any]]:
        """The documents of one query, best first, or the score of one pair."""
        found: Beside = model_outputs["beside"]
        if not found.others:
            return []
        scores = (activation or self._activation)(torch.cat(model_outputs["logits"])).tolist()
        if found.only:
            return float(scores[0])
        ranked = [
            {"corpus_id": number, "score": score, **({"text": text} if return_documents else {})}
            for number, (score, text) in enumerate(zip(scores, found.others, strict=True))
        ]
        return sorted(ranked, key=lambda row: row["score"], reverse=True)[:top_k]


def _named(function: str | ClassificationFunction) -> Callable[[Tensor], Tensor]:
    known = {ClassificationFunction.SIGMOID: "Sigmoid", ClassificationFunction.NONE: "Identity"}
    chosen = member(ClassificationFunction, function, "function_to_apply")
    if chosen not in known:
        raise ArgumentError("function_to_apply='softmax' of a single score is 1 always. Use 'sigmoid' or 'none'.")
    return torch_activation(known[chosen], "function_to_apply")


def _activation_of(config: Any) -> Callable[[Tensor], Tensor]:
    """What the model's files say is done to a score. Raises ConfigError for what is not known here."""
    own = getattr(config, "sentence_transformers", None) or {}
    older = "sbert_ce_default_activation_function"
    if not isinstance(own, Mapping):
        raise ConfigError(f"sentence_transformers={own!r:.60} in config.json should be an object.")
    if own.get("default_prompt_name") is not None:
        raise ConfigError(f"default_prompt_name={own['default_prompt_name']!r}: prompts of rankers are not known here.")
    key = "activation_fn" if own.get("activation_fn") is not None else older
    path = own.get("activation_fn") or getattr(config, older, None)
    return torch_activation(path or "Sigmoid", key)


TASK = Task(
    name="text-ranking",
    pipeline=TextRankingPipeline,
    auto="AutoModelForSequenceClassification",
    default=None,
    beside="config_sentence_transformers.json",
)
