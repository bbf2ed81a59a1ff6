"""image-to-text: what a model writes about a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError, HeadError, InputError
from .base import Task
from .image_classification import images_of
from .images import ImagePipeline
from .writing import check_names, not_none


class ImageToTextPipeline(ImagePipeline):
    """Captions of pictures, from a model that writes; see ImagePipeline for what a picture is.

    Args:
        prompt: how the text begins, for models that go on with one.
        max_new_tokens: how many tokens are written at most; what the model's generation_config says where it is left
            out.
        generate_kwargs: a dictionary of the arguments of `generate`; they may be given one by one too.
        timeout: seconds to wait for a URL.
    """

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        if not callable(getattr(model, "generate", None)):
            raise HeadError(
                f"{type(model).__name__} writes no texts. image-to-text needs a model that does: "
                "AutoModelForImageTextToText loads one."
            )
        super().__init__(model, tokenizer, **kwargs)
        if not hasattr(self.tokenizer, "decode"):
            raise ArgumentError(f"{type(self).__name__} needs a tokenizer, got {self.tokenizer!r}. Pass tokenizer=….")

    def _sanitize_parameters(
        self,
        prompt: str | None = None,
        max_new_tokens: int | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **more: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        check_names(self, more)
        given = [*more, *(["max_new_tokens"] if max_new_tokens is not None else [])]
        if twice := {*given} & {*(generate_kwargs or {})}:
            raise ArgumentError(f"{min(twice)} is given twice: in the call and in generate_kwargs.")
        inside = {**(generate_kwargs or {}), **more, **not_none({"max_new_tokens": max_new_tokens})}
        return not_none({"prompt": prompt, "timeout": timeout}), inside, {}

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Write; `images` is another name of the inputs.

        Returns:
            For a picture a list of {"generated_text": str}, one for each of num_return_sequences; a list of these for
            a list of pictures.
        """
        return super().__call__(images_of(inputs, kwargs), *args, **kwargs)

    def preprocess(self, inputs: Any, prompt: str | None = None, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one picture."""
        made = self.pixels(inputs, **parameters)
        if prompt is None:
            return made
        if not isinstance(prompt, str):
            raise ArgumentError(f"prompt={prompt!r:.60} is how a text begins: one text.")
        if "input_ids" not in self.model.inputs():
            raise InputError(f"{type(self.model).__name__} takes no prompt: it writes from the picture alone.")
        return {**self.tokenizer(prompt, return_tensors="pt", return_token_type_ids=False), **made}

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        if generate_kwargs.get("stop_strings") is not None:
            generate_kwargs.setdefault("tokenizer", self.tokenizer)
        count = len(model_inputs["pixel_values"])
        found = self.model.generate(**model_inputs, **generate_kwargs)
        return {"output_ids": found.unflatten(0, (count, -1))}  # (B, R, T)

    def postprocess(self, model_outputs: Any) -> list[dict[str, Any]]:
        """The texts of one picture."""
        return [
            {"generated_text": self.tokenizer.decode(ids, skip_special_tokens=True)}
            for ids in model_outputs["output_ids"][0]
        ]


TASK = Task(
    name="image-to-text",
    pipeline=ImageToTextPipeline,
    auto="AutoModelForVision2Seq",
    architectures=("VisionEncoderDecoderModel", "BlipForConditionalGeneration"),
    default=("ydshieh/vit-gpt2-coco-en", "5bebf1e"),
    reads=("image_processor", "tokenizer"),
)
