"""Which tasks tables can train, by the names that pipelines have for them."""

from __future__ import annotations

import re

from ..errors import UnknownTaskError, near
from .tasks import Columns, TableTask, TextClassification
from .tasks_of_language import FillMask, TextGeneration, Writing
from .tasks_of_tokens import QuestionAnswering, TokenClassification

_ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}
_LANGUAGES = re.compile(r"translation_[^_]+_to_[^_]+")
TASKS: dict[str, type[TableTask]] = {
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
    "fill-mask": FillMask,
    "text-generation": TextGeneration,
    "summarization": Writing,
    "translation": Writing,
    "text2text-generation": Writing,
}


def task_called(name: str, columns: Columns) -> TableTask:
    """The task of a name. Errors: UnknownTaskError."""
    known = "translation" if _LANGUAGES.fullmatch(name) else _ALIASES.get(name, name)
    if known not in TASKS:
        raise UnknownTaskError(
            f"Tables train no task {name!r}.{near(name, [*TASKS, *_ALIASES])} They train {', '.join(TASKS)}."
        )
    return TASKS[known](name if known == "translation" else known, columns)
