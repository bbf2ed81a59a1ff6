"""text-classification: which label a text or a text pair gets, and how sure the model is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from .base import Task
from .batches import collate
from .choices import checked_top_k, member
from .scores import APPLY, ClassificationFunction, usual_function
from .text import TextPipeline, no_head


class TextClassificationPipeline(TextPipeline):
    """Labels of texts, from any model with a sequence classification head; see Pipeline for the general arguments.

    Args:
        top_k: how many labels, best first, as a list per text; None for all.
        return_all_scores: True gives all labels in the model's order, as a list per text; False only the best.
        function_to_apply: "sigmoid", "softmax" or "none". Left out, the model's config decides: none for problem_type
            "regression", sigmoid for one label or "multi_label_classification", else softmax.
        kwargs: the tokenizer's: truncation, max_length, padding, …
    """

    # what a model without logits per text lacks
    NEEDS: ClassVar[tuple[str, str]] = ("Text classification", "AutoModelForSequenceClassification")

    def _sanitize_parameters(
        self,
        return_all_scores: bool | None = None,
        function_to_apply: str | ClassificationFunction | None = None,
        top_k: int | str | None = "",
        **tokenizer_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        # "" stands for "not given", since None means all labels
        postprocess: dict[str, Any] = {}
        if return_all_scores is None:
            return_all_scores = vars(self.model.config).get("return_all_scores")
        if top_k != "":
            postprocess.update(top_k=checked_top_k(top_k, "labels, or None for all"), _legacy=False)
        elif return_all_scores is not None:
            postprocess["top_k"] = None if return_all_scores else 1
        if function_to_apply is not None:
            postprocess["function_to_apply"] = member(ClassificationFunction, function_to_apply, "function_to_apply")
        return self._tokenizer_parameters(tokenizer_kwargs), {}, postprocess

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Classify.

        Returns:
            For each text {"label": str, "score": float}, and a list of these with top_k or return_all_scores=True. A
            single str gives what a list of it gives, unless the call has top_k, which gives its labels. See
            Pipeline.__call__ for lists, generators and datasets.
        """
        result = super().__call__(inputs, *args, **kwargs)
        listed = isinstance(inputs, str) and "top_k" not in kwargs and not isinstance(result, Exception)
        return [result] if listed else result

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        # a whole output for each text costs several times what reading its logits does
        if len(items) == 1 or type(self).postprocess is not TextClassificationPipeline.postprocess:
            yield from super()._batch_outputs(items, parameters)
            return
        outputs = self.forward(collate(items, self.tokenizer, right=self.by_tokens), **parameters)
        logits = outputs.get("logits")
        yield from ({"logits": row} for row in ([None] * len(items) if logits is None else logits.split(1)))

    def postprocess(
        self,
        model_outputs: Any,
        function_to_apply: ClassificationFunction | None = None,
        top_k: int | None = 1,
        _legacy: bool = True,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The labels of one text; `_legacy` says that top_k was not given, which gives the best one without a list."""
        logits = model_outputs.get("logits")
        if logits is None or logits.ndim != 2:
            raise no_head(self.model, "text", *self.NEEDS)
        function = function_to_apply or self._default_function()
        scores = APPLY[function](logits[0]).tolist()
        names = self.labels
        labels = [{"label": names[i], "score": score} for i, score in enumerate(scores)]
        if top_k == 1 and _legacy:
            return max(labels, key=lambda label: label["score"])
        if _legacy:
            return labels
        return sorted(labels, key=lambda label: label["score"], reverse=True)[:top_k]

    @property
    def labels(self) -> dict[int, str]:
        """The names of the labels, by their ids."""
        names: dict[int, str] = self.model.config.id2label
        return names

    def _default_function(self) -> ClassificationFunction:
        return usual_function(self.model.config)


TASK = Task(
    name="text-classification",
    aliases=("sentiment-analysis",),
    pipeline=TextClassificationPipeline,
    auto="AutoModelForSequenceClassification",
    architectures=("ForSequenceClassification",),
    default=("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "714eb0f"),
    packaged="sentiment",
)
