"""summarization: a shorter text that says what a long one says."""

from __future__ import annotations

from .base import Task
from .text2text_generation import Text2TextGenerationPipeline


class SummarizationPipeline(Text2TextGenerationPipeline):
    """Summaries of texts, {"summary_text": …}; arguments and forms as of Text2TextGenerationPipeline.

    Args:
        max_length, min_length: of a summary, in tokens; what the model's files say, if left out.
        truncation: True cuts a text that is too long for the model; else it is an error.
    """

    return_name = "summary"
    doing = "Summarization"


TASK = Task(
    name="summarization",
    pipeline=SummarizationPipeline,
    auto="AutoModelForSeq2SeqLM",
    architectures=(),
    default=("sshleifer/distilbart-cnn-12-6", "a4f8f3e"),
)
