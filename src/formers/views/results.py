"""Results of pipelines, which are plain lists and dictionaries and are known by their keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import html

_MOST_RESULTS, _MOST_LINES = 20, 50
_BLUE = "60,130,220"
_COLOURS = ("60,130,220", "230,150,30", "40,160,90", "190,80,180", "200,70,60", "20,160,170", "140,120,40")

Item = dict[str, Any]


def result_html(result: Any, text_of: Callable[[Any], str | None] = lambda _: None) -> str | None:
    """The view of a result, or of a list with one for each of several texts; None for anything else.

    text_of: the text that a result is about, where that is known: entities and answers say where in it they are.
    """
    one = _one(result, text_of)
    if one is None and isinstance(result, list):
        shown = result[:_MOST_RESULTS]
        # an error may stand in the place of a result
        many = [_error(item) if isinstance(item, Exception) else _one(item, text_of) for item in shown]
        if all(many) and not all(isinstance(item, Exception) for item in shown):
            rows = [(f"<span class=dim>{i}</span>", str(item)) for i, item in enumerate(many)]
            one = html.table(rows) + _more(len(result) - _MOST_RESULTS, "results")
    return None if one is None else html.fragment(one)


def _error(error: Exception) -> str:
    return f"<i>{html.escape(type(error).__name__)}</i> {html.shortened(error, 500)}"


def _one(result: Any, text_of: Callable[[Any], str | None]) -> str | None:
    text = text_of(result)
    items = result if isinstance(result, list) else [result]
    if text is not None and not items:
        return _marked(text, [])
    if not items or not all(type(item) is dict for item in items):
        nested = isinstance(result, list) and result and all(isinstance(item, list) for item in result)
        if nested and all(_is(item, "token_str") for item in result[:_MOST_RESULTS]):
            return html.table((f"mask {i + 1}", _candidates(item)) for i, item in enumerate(result[:_MOST_RESULTS]))
        return None
    for key, view in _VIEWS.items():
        if _is(items, key):
            return view(items, text)
    return None


# the keys of each task's results, and the types of their values; each task is named by one key that no other has
_NUMBER, _PLACE = (float, int), (int, type(None))
_KEYS: dict[str, dict[str, Any]] = {
    "label": {"label": str, "score": _NUMBER},
    "token_str": {"score": _NUMBER, "token": int, "token_str": str, "sequence": str},
    "entity": {"entity": str, "score": _NUMBER, "index": int, "word": str, "start": _PLACE, "end": _PLACE},
    "entity_group": {"entity_group": str, "score": _NUMBER, "word": str, "start": _PLACE, "end": _PLACE},
    "answer": {"score": _NUMBER, "start": int, "end": int, "answer": str},
    "labels": {"sequence": str, "labels": list, "scores": list},
    "choice": {"choice": str, "index": int, "score": _NUMBER},
    "text": {"corpus_id": int, "score": _NUMBER, "text": str},
    "corpus_id": {"corpus_id": int, "score": _NUMBER},
}


def _is(items: Any, key: str) -> bool:
    """Whether all are results of the task that has this key."""
    kinds = _KEYS[key]
    return bool(items) and all(
        type(item) is dict
        and item.keys() == kinds.keys()
        and all(isinstance(item[name], kind) for name, kind in kinds.items())
        for item in items
    )


def _labels(items: list[Item], _: str | None) -> str:
    return _bars([(item["label"], item["score"]) for item in items])


def _bars(scores: Sequence[tuple[Any, Any]], what: str = "labels") -> str:
    rows = ""
    for label, score in scores[:_MOST_LINES]:
        width = min(max(float(score), 0), 1) * 100
        fill = f"linear-gradient(to right,rgba({_BLUE},.4) {width:.1f}%,rgba(128,128,128,.12) {width:.1f}%)"
        rows += (
            f'<tr><td><bdi>{html.escape(label)}</bdi></td><td class="mono" style="min-width:220px;padding:1px 6px;'
            f'background:{fill};border-bottom:2px solid transparent;background-clip:padding-box">{score:.4f}</td></tr>'
        )
    return f"<table>{rows}</table>{_more(len(scores) - _MOST_LINES, what)}"


def _candidates(items: list[Item], _: str | None = None) -> str:
    rows = [
        (
            f"<b><bdi>{html.escape(item['token_str'])}</bdi></b>",
            f"<code>{item['score']:.4f}</code>",
            f"<span class=dim>{item['token']}</span>",
            f"<bdi>{html.shortened(item['sequence'], 500)}</bdi>",
        )
        for item in items[:_MOST_LINES]
    ]
    more = _more(len(items) - _MOST_LINES, "candidates")
    return html.table(rows, ("token", "score", "id", "text")) + more


def _entities(items: list[Item], text: str | None) -> str:
    name = "entity" if "entity" in items[0] else "entity_group"
    spans = [(item["start"], item["end"], item[name], item["score"]) for item in items]
    if text is not None and (marked := _marked(text, spans)):
        return marked
    colours = _colours([item[name] for item in items])
    rows = [
        (
            _mark(f"<bdi>{html.escape(item['word'])}</bdi>", colours[_kind(item[name])]),
            html.escape(item[name]),
            f"<code>{item['score']:.4f}</code>",
            "" if item["start"] is None else f"<span class=dim>{item['start']}–{item['end']}</span>",
        )
        for item in items[:_MOST_LINES]
    ]
    return html.table(rows, ("word", "entity", "score", "characters")) + _more(len(items) - _MOST_LINES, "entities")


def _answers(items: list[Item], text: str | None) -> str:
    views = []
    for item in items[:_MOST_LINES]:
        said = f"<b><bdi>{html.escape(item['answer'])}</bdi></b>" if item["answer"] else "<i>no answer</i>"
        head = f"{said} <code class=dim>{item['score']:.4f}</code> <span class=dim>{item['start']}–{item['end']}</span>"
        span = (item["start"], item["end"], "", item["score"])
        views.append(head + (_marked(text, [span]) if text and item["answer"] else ""))
    return "<br>".join(views) + _more(len(items) - _MOST_LINES, "answers")


def _zero_shot(items: list[Item], _: str | None) -> str:
    return "".join(
        f'<div class="text"><bdi>{html.shortened(item["sequence"], 2000)}</bdi></div>'
        + _bars(list(zip(item["labels"], item["scores"], strict=False)))
        for item in items[:_MOST_LINES]
    )


def _choices(items: list[Item], _: str | None) -> str:
    return _bars([(item["choice"], item["score"]) for item in items], "choices")


def _ranks(items: list[Item], _: str | None) -> str:
    named = [(f"{item['corpus_id']}  {item['text']}" if "text" in item else item["corpus_id"]) for item in items]
    return _bars(list(zip(named, (item["score"] for item in items), strict=True)), "documents")


def _marked(text: str, spans: list[tuple[Any, Any, str, float]]) -> str:
    """The text with spans marked; "" where they are not those of the text."""
    colours, done, parts = _colours([label for *_, label, _ in spans]), 0, []
    for start, end, label, score in sorted(spans, key=lambda span: (span[0] is None, span[0])):
        if start is None or end is None or not done <= start <= end <= len(text):
            return ""
        name = f" <small><b>{html.escape(label)}</b></small>" if label else ""
        inner = f"<bdi>{html.escape(text[start:end])}</bdi>{name}"
        parts += [html.escape(text[done:start]), _mark(inner, colours[_kind(label)], f"{label} {score:.4f}".strip())]
        done = end
    return f'<div class="text">{"".join(parts)}{html.escape(text[done:])}</div>'


def _mark(inner: str, colour: str, hint: str = "") -> str:
    style = f"background:rgba({colour},.28);color:inherit;border-radius:4px;padding:2px 4px"
    return f'<mark style="{style}" title="{html.escape(hint)}">{inner}</mark>'


def _kind(label: str) -> str:
    """What a label says without the mark of where in an entity it stands: PER of B-PER."""
    return label[2:] if label[:2] in ("B-", "I-") else label


def _colours(labels: list[str]) -> dict[str, str]:
    kinds = sorted({_kind(label) for label in labels})
    return {kind: _COLOURS[i % len(_COLOURS)] for i, kind in enumerate(kinds)}


def _more(count: int, what: str) -> str:
    return f"<div class=dim>… {count:,} more {what}</div>" if count > 0 else ""


_VIEWS: dict[str, Callable[[list[Item], str | None], str]] = {
    "label": _labels,
    "token_str": _candidates,
    "entity": _entities,
    "entity_group": _entities,
    "answer": _answers,
    "labels": _zero_shot,
    "choice": _choices,
    "text": _ranks,
    "corpus_id": _ranks,
}
