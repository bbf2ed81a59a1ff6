"""next-sentence: whether one text follows another, and how sure the model is.

Source: Devlin et al. 2018 (arXiv 1810.04805), section 3.1.
"""

from __future__ import annotations

from typing import Any

from .. import heads
from .base import Task
from .scores import ClassificationFunction
from .text import require_head
from .text_classification import TextClassificationPipeline


class NextSentencePipeline(TextClassificationPipeline):
    """ "IS_NEXT" or "NOT_NEXT" for pairs of texts, from any model with a next sentence head.

    An input is a pair, as (text, text) or {"text": …, "text_pair": …}. For the arguments see
    TextClassificationPipeline; scores are those of softmax unless function_to_apply says otherwise.
    """

    only_pairs = True
    NEEDS = ("Next sentence prediction", "AutoModelForNextSentencePrediction")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        require_head(model, heads.NextSentencePrediction, "pair", *self.NEEDS)
        super().__init__(model, tokenizer, **kwargs)

    @property
    def labels(self) -> dict[int, str]:
        """What the model's two outputs say; its configuration names labels of other tasks, if any."""
        return {0: "IS_NEXT", 1: "NOT_NEXT"}

    def _default_function(self) -> ClassificationFunction:
        return ClassificationFunction.SOFTMAX


TASK = Task(
    name="next-sentence",
    aliases=("next-sentence-prediction",),
    pipeline=NextSentencePipeline,
    auto="AutoModelForNextSentencePrediction",
    architectures=("ForNextSentencePrediction",),
    default=None,
)
