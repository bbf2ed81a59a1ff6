"""zero-shot-classification: which of labels named in the call fits a text, by a model of entailment.

Source: Yin et al. 2019 (arXiv 1909.00161).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..errors import ArgumentError, InputError
from ..logging import logger
from .base import Task
from .choices import checked_labels, checked_template
from .encoding import value_of
from .failures import place
from .parts import PartsPipeline
from .text import Text, read_text


class ZeroShotClassificationPipeline(PartsPipeline):
    """How well each of some labels fits a text, from a model that tells whether one text follows from another.

    Each label is put into a sentence, and the model is asked whether that follows from the text; see Pipeline.

    Args:
        candidate_labels: a list of labels, or one string with commas between them.
        hypothesis_template: the sentence, with {} for the label: "This example is {}." by default.
        multi_label: whether several labels may hold, each with a score of its own; else scores sum to 1.
        truncation: True cuts a text that is too long, never the sentence; else it is an error.
    """

    NEEDS = ("text", "Zero-shot classification", "AutoModelForSequenceClassification")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.entailment_id == -1:
            logger.warning(
                "config.label2id has no label that starts with 'entail': the last one is taken for it. "
                'Set model.config.label2id = {"contradiction": 0, …, "entailment": 2} as the model was trained.'
            )

    @property
    def entailment_id(self) -> int:
        """The id of the label that says that one text follows from another; -1 when none says so."""
        labels = self.model.config.label2id.items()
        return next((number for label, number in labels if str(label).lower().startswith("entail")), -1)

    def _sanitize_parameters(
        self,
        candidate_labels: str | Sequence[str] | None = None,
        hypothesis_template: str | None = None,
        multi_label: bool | None = None,
        multi_class: bool | None = None,
        truncation: bool | str | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        preprocess: dict[str, Any] = {} if truncation is None else {"truncation": truncation}
        if candidate_labels is not None:
            preprocess["candidate_labels"] = checked_labels(candidate_labels)
        if hypothesis_template is not None:
            preprocess["hypothesis_template"] = checked_template(hypothesis_template)
        several = multi_class if multi_label is None else multi_label
        return preprocess, {}, {} if several is None else {"multi_label": several}

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compare texts with labels, which may be the second argument.

        Returns:
            For each text {"sequence": str, "labels": best first, "scores": of each}.
        """
        if len(args) == 1 and "candidate_labels" not in kwargs:
            return super().__call__(inputs, candidate_labels=args[0], **kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def _read(self, item: Any, name: str) -> Text:
        text, pair = read_text(item, name)
        if pair is not None or not text:
            raise InputError(f"{name} is {'a pair of texts' if pair is not None else 'empty'}; one text is needed.")
        return text, None

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """Each text beside the sentence of each label.

        Raises InputError for a text that is longer than the model reads, unless truncation is asked for.
        """
        labels = parameters.get("candidate_labels")
        if not labels:
            raise ArgumentError("candidate_labels are needed: the labels to choose from, as a list.")
        sentences = [parameters.get("hypothesis_template", "This example is {}.").format(label) for label in labels]
        cut = value_of(parameters.get("truncation")) not in (None, False, "do_not_truncate")
        options = self._with_limit({"truncation": "only_first" if cut else False})
        found: list[Mapping[str, Any]] = []
        for index, item in enumerate(inputs):
            text, _ = self._read(item, name := place(first, index))
            parts = list(self._tokenize([(text, sentence) for sentence in sentences], options))
            for part in parts:
                self._fits(part, name, text)
            found.append(self._item(parts, text=text, labels=list(labels)))
        return found

    def postprocess(self, model_outputs: Any, multi_label: bool = False) -> dict[str, Any]:
        """Labels of one text, the best first."""
        logits, entailment = torch.stack(model_outputs["logits"]), self.entailment_id  # (labels, C)
        if multi_label or len(logits) == 1:
            contradiction = -1 if entailment == 0 else 0
            scores = logits[:, [contradiction, entailment]].softmax(-1)[:, 1]
        else:
            scores = logits[:, entailment].softmax(0)
        order = scores.argsort(descending=True).tolist()
        return {
            "sequence": model_outputs["text"],
            "labels": [model_outputs["labels"][i] for i in order],
            "scores": scores[order].tolist(),
        }


TASK = Task(
    name="zero-shot-classification",
    pipeline=ZeroShotClassificationPipeline,
    auto="AutoModelForSequenceClassification",
    architectures=(),
    default=("facebook/bart-large-mnli", "d7645e1"),
)
