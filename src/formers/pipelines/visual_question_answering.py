"""visual-question-answering: answers to questions about pictures, chosen among a model's own or written by it.

Source: Kim et al. 2021 (arXiv 2102.03334), for those that are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError, InputError
from .base import Task
from .choices import checked_top_k
from .image_classification import images_of
from .images import ImagePipeline, together
from .text import no_head, read_side
from .writing import not_none


class VisualQuestionAnsweringPipeline(ImagePipeline):
    """Answers to questions about pictures; see ImagePipeline for what a picture is.

    An input is {"image": …, "question": …}.

    Args:
        top_k: how many answers, best first: 5 where it is left out.
        padding, truncation: as in the tokenizer's call.
        generate_kwargs: a dictionary of the arguments of `generate`, for a model that writes its answer.
        timeout: seconds to wait for a URL.
    """

    PICTURE = "image"

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        padding: Any = None,
        truncation: Any = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
        timeout: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        before = {"padding": padding, "truncation": truncation, "timeout": timeout}
        inside = {**(generate_kwargs or {}), **not_none({"max_new_tokens": max_new_tokens})}
        after = {} if top_k is None else {"top_k": checked_top_k(top_k, "answers")}
        return not_none(before), inside, after

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Answer.

        Args:
            inputs: as above; or a picture, or a list of them, also as `image`, and beside it
            question: a question, or a list of them.

        Returns:
            For a question a list of {"score": float, "answer": str}, the best first, or of {"answer": str} that the
            model wrote; a list of these for several.
        """
        inputs = images_of(inputs, kwargs, "image")
        question = args[0] if args else kwargs.pop("question", None)
        return super().__call__(inputs if question is None else together(inputs, question), *args[1:], **kwargs)

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a picture with a question."""
        if not isinstance(item, Mapping) or "image" not in item or "question" not in item:
            raise InputError(f'{name} is {item!r:.60}; give {{"image": …, "question": …}}, or both as arguments.')
        read_side(item["question"], f"{name}: its question")
        super().check_input(item["image"], f"{name}: its image")

    def preprocess(self, inputs: Any, timeout: float | None = None, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one question."""
        options = {"return_tensors": "pt", "padding": False, "truncation": False, **parameters}
        encoded = self.tokenizer(inputs["question"], **options)
        read = self.model.inputs() if hasattr(self.model, "inputs") else encoded
        text = {name: value for name, value in encoded.items() if name in read}
        return {**text, **self.pixels(inputs["image"], timeout=timeout)}

    def _writes(self) -> bool:
        return callable(getattr(self.model, "generate", None))

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        if self._writes():
            return {"output_ids": self.model.generate(**model_inputs, **generate_kwargs)}
        if generate_kwargs:
            raise ArgumentError(f"{type(self.model).__name__} chooses its answers: it takes no {min(generate_kwargs)}.")
        return super()._forward(model_inputs)

    def postprocess(self, model_outputs: Any, top_k: int = 5) -> list[dict[str, Any]]:
        """The answers to one question, the best first."""
        if self._writes():
            texts = (self.tokenizer.decode(ids, skip_special_tokens=True) for ids in model_outputs["output_ids"])
            return [{"answer": text.strip()} for text in texts]
        logits = model_outputs.get("logits")
        if logits is None or logits.ndim != 2:
            raise no_head(self.model, "question", "Visual question answering", "AutoModelForVisualQuestionAnswering")
        scores, ids = logits[0].sigmoid().topk(min(top_k, logits.shape[1]))
        names = self.model.config.id2label
        return [{"score": score, "answer": names[i]} for score, i in zip(scores.tolist(), ids.tolist(), strict=True)]


TASK = Task(
    name="visual-question-answering",
    aliases=("vqa",),
    pipeline=VisualQuestionAnsweringPipeline,
    auto="AutoModelForVisualQuestionAnswering",
    architectures=("ViltForQuestionAnswering", "BlipForQuestionAnswering"),
    default=("dandelin/vilt-b32-finetuned-vqa", "4355f59"),
    reads=("image_processor", "tokenizer"),
)
