"""Results of pipelines, and whatever else has a view, as objects that can be shown and saved."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..views import notebook
from ..views.encoding import row_html
from ..views.html import View
from ..views.results import result_html


def show(result: Any, text: str | None = None) -> View:
    """A view of what a pipeline returned, or of an encoding, a row of one, a configuration or a model.

    Args:
        result: it; results of pipelines are plain lists and dictionaries, and are known by their keys.
        text: what an entity or an answer was found in, to show it there. In a notebook it is known for recent results.

    Raises InputError for anything else.
    """
    own = getattr(result, "_repr_html_", None)
    if callable(own):
        return View(own(), type(result).__name__)
    if type(result).__module__ == "tokenizers" and type(result).__name__ == "Encoding":
        return View(row_html(result), "Encoding")

    def text_of(value: Any) -> str | None:
        return text if text is not None and value is result else notebook.text_of(value)

    if (found := result_html(result, text_of)) is None:
        raise InputError(
            f"{result!r:.80} ({type(result).__name__}) has no view: it is no result of classification, entities, "
            "answers or masks, and no encoding, configuration or model."
        )
    return View(found, "result")
