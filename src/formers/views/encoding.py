"""Encodings as grids: one row a text, one cell a token, with its id below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import html

_MOST_ROWS, _MOST_TOKENS = 20, 512
_STYLE = """
.formers .tokens{display:flex;flex-wrap:wrap;gap:3px;margin:4px 0 10px}
.formers .token{border-radius:4px;padding:1px 5px;text-align:center;background:rgba(60,130,220,.18);line-height:1.35}
.formers .token i{display:block;font:10px ui-monospace,monospace;opacity:.75}
.formers .second{background:rgba(230,150,30,.26)}
.formers .special{background:rgba(128,128,128,.3)}
.formers .padding{background:none;outline:1px dashed rgba(128,128,128,.6);outline-offset:-1px;opacity:.7}
"""
_KINDS = {"": "token", "second": "token of the second text", "special": "special token", "padding": "padding"}


def encoding_html(encoding: Any) -> str:
    """The grid of a BatchEncoding: its rows of ids, with tokens where its rows' encodings are there."""
    rows, masks = (list(_rows(encoding.get(key, []))) for key in ("input_ids", "attention_mask"))
    owners = encoding.encodings or []
    shapes = ", ".join(f"{key} {_shape(value)}".strip() for key, value in encoding.items())
    body = f"<b>{html.escape(type(encoding).__name__)}</b> <span class=dim>{html.escape(shapes)}</span>"
    used: set[str] = set()
    grids = ""
    for number, ids in enumerate(rows[:_MOST_ROWS]):
        owner = owners[number] if number < len(owners) else None
        mask = masks[number] if number < len(masks) and len(masks[number]) == len(ids) else [1] * len(ids)
        grids += _grid(ids, mask, owner, used)
    return html.fragment(f"<style>{_STYLE}</style>{body}{_legend(used)}{grids}{_more(len(rows) - _MOST_ROWS, 'texts')}")


def row_html(row: Any) -> str:
    """The grid of one row: a `tokenizers.Encoding`."""
    used: set[str] = set()
    grid = _grid(row.ids, row.attention_mask, row, used)
    body = f"<b>Encoding</b> <span class=dim>{len(row.ids):,} tokens</span>{_legend(used)}{grid}"
    return html.fragment(f"<style>{_STYLE}</style>{body}")


def _grid(ids: list[int], mask: list[int], owner: Any, used: set[str]) -> str:
    known = owner is not None and len(owner.ids) == len(ids)
    owned = owner.ids if known else [None] * len(ids)
    texts = owner.sequence_ids if known else [0] * len(ids)
    places = owner.offsets if known else [(0, 0)] * len(ids)
    names = owner.tokens if known else [""] * len(ids)
    cells = []
    for i, number in enumerate(ids[:_MOST_TOKENS]):
        same = owned[i] == number  # the ids of an encoding may have been changed since, and then the token is not known
        special = known and same and texts[i] is None
        kind = "padding" if not mask[i] else "special" if special else "second" if texts[i] == 1 else ""
        used.add(kind)
        start, end = places[i]
        place = f", characters {start}–{end}" if end > start and same else ""
        name = html.escape(names[i]) if same else ""
        hint = html.escape(f"{i}: {_KINDS[kind]}{place}")
        cells.append(f'<span class="token {kind}" title="{hint}"><bdi>{name}</bdi><i>{number}</i></span>')
    return f'<div class="tokens">{"".join(cells)}{_more(len(ids) - len(cells), "tokens")}</div>'


def _legend(used: set[str]) -> str:
    shown = [f'<span class="token {kind}">{name}</span>' for kind, name in _KINDS.items() if kind in used]
    return f'<div class="tokens">{"".join(shown)}</div>' if used - {""} else ""


def _more(count: int, what: str) -> str:
    return f"<span class=dim>… {count:,} more {what}</span>" if count > 0 else ""


def _rows(value: Any) -> Iterator[list[int]]:
    """The rows of a column of lists, of a tensor of any dimension, or of a single text."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if value and (isinstance(value[0], list | tuple) or hasattr(value[0], "tolist")):
        for row in value:
            yield from _rows(row)
    else:
        yield list(value)


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return str(tuple(shape))
    return f"{len(value):,} rows" if isinstance(value, list | tuple) and value and isinstance(value[0], list) else ""
