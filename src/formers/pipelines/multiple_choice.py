"""multiple-choice: which of several texts goes best with a prompt, and how sure the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .. import heads
from ..errors import InputError
from .base import Task
from .choices import checked_top_k
from .parts import Beside, BesidePipeline
from .text import read_side, require_head

_PROMPTS = ("prompt", "context", "question")
_FORM = 'give {"prompt": str, "choices": [str, …]}; the prompt may be called "context" or "question"'


class MultipleChoicePipeline(BesidePipeline):
    """Choices by how well they go with a prompt, from any model with a multiple choice head; see Pipeline.

    An input is {"prompt": str, "choices": [str, …]}; one list may hold inputs with different numbers of choices.

    Args:
        top_k: how many choices, best first; None for all.
        kwargs: the tokenizer's: truncation, max_length, …
    """

    by_tokens = True
    OTHERS = "choices"
    NEEDS = ("choice", "Multiple choice", "AutoModelForMultipleChoice")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        require_head(model, heads.MultipleChoice, *self.NEEDS)
        super().__init__(model, tokenizer, **kwargs)

    def _sanitize_parameters(
        self, top_k: int | None = None, **tokenizer_kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        checked_top_k(top_k, "choices, or None for all")
        return self._tokenizer_parameters(tokenizer_kwargs), {}, {} if top_k is None else {"top_k": top_k}

    def _beside(self, item: Any, name: str) -> Beside:
        prompts = [key for key in _PROMPTS if isinstance(item, Mapping) and key in item]
        if len(prompts) != 1 or item.keys() != {prompts[0], "choices"}:
            raise InputError(f"{name} is {item!r:.60} ({type(item).__name__}); {_FORM}.")
        choices = self._others(item["choices"], name)
        if not choices:
            raise InputError(f"{name}: its choices are an empty list; at least one is needed.")
        return Beside(read_side(item[prompts[0]], f"{name}: its {prompts[0]}", True), choices)

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        # choices do not see each other, so those of several prompts may stand side by side: (1, choices, T)
        outputs = super()._forward({key: tensor[None] for key, tensor in model_inputs.items()}, **parameters)
        return {"logits": outputs["logits"].mT}  # (choices, 1)

    def postprocess(self, model_outputs: Any, top_k: int | None = None) -> list[dict[str, Any]]:
        """{"choice", "index" among the choices, "score"} for each choice of one prompt, best first; scores sum to 1."""
        choices = model_outputs["beside"].others
        scores = torch.cat(model_outputs["logits"]).softmax(0).tolist()
        rows = [
            {"choice": choice, "index": number, "score": score}
            for number, (choice, score) in enumerate(zip(choices, scores, strict=True))
        ]
        return sorted(rows, key=lambda row: row["score"], reverse=True)[:top_k]


TASK = Task(
    name="multiple-choice",
    pipeline=MultipleChoicePipeline,
    auto="AutoModelForMultipleChoice",
    architectures=("ForMultipleChoice",),
    default=None,
)
