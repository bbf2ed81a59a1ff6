"""Running a model on one text, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..config import longest_text
from ..errors import ArgumentError, InputError
from ..pipelines.text import reads


def encoded(model: Any, tokenizer: Any, text: str, text_pair: str | None) -> Any:
    """The encoding of one text or pair, (1, T) on the model's device.

    Raises ArgumentError for what is no text, InputError for one that is longer than the model reads.
    """
    if not callable(tokenizer):
        raise ArgumentError(
            f"A tokenizer is needed, got {tokenizer!r:.80}: AutoTokenizer.from_pretrained(…) loads one."
        )
    for name, value in (("text", text), ("text_pair", text_pair)):
        if not isinstance(value, str) and not (name == "text_pair" and value is None):
            raise ArgumentError(f"{name} is {value!r:.60} ({type(value).__name__}); one text (str) is shown at a time.")
    options = {"return_tensors": "pt", "verbose": False}
    if not reads(model, "token_type_ids"):
        options["return_token_type_ids"] = False  # tokenizers of no family return them
    encoding = tokenizer(text, text_pair, **options)
    length = encoding["input_ids"].shape[1]
    limit = longest_text(getattr(model, "config", None))
    if limit is not None and length > limit:
        raise InputError(
            f"The text, which starts {text[:40]!r}, has {length} tokens; this {type(model).__name__} reads at most "
            f"{limit}. Give a part of it."
        )
    if not length:
        raise InputError(f"The text {text!r} has no tokens.")
    return encoding.to(model.device)


@contextmanager
def in_evaluation(model: Any) -> Iterator[None]:
    """No dropout inside; afterwards each module is in the mode that it was in."""
    # not model.train(), which takes optimize() back
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
