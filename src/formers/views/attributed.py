"""A text in colours: blue where its tokens speak for something, red where they speak against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import html

_FOR, _AGAINST = "60,130,220", "215,60,50"
_STYLE = ".formers .text span{border-radius:3px;padding:2px 0}.formers .text .chip{margin:0 3px;padding:2px 5px}"


class Piece(NamedTuple):
    """Characters from start to end of a text, 0 or 1, and the tokens that they became; no text: a special token."""

    text: int | None
    start: int
    end: int
    tokens: tuple[int, ...]


def attributed_html(
    target: str,
    facts: Sequence[str],
    texts: Sequence[str],
    pieces: Sequence[Piece],
    tokens: Sequence[str],
    scores: Sequence[float],
) -> str:
    """The texts as they were given, each piece in the colour of its tokens' scores; and a table of all tokens."""
    totals = [sum(scores[i] for i in piece.tokens) for piece in pieces]
    largest = max((abs(total) for total in totals), default=0) or 1.0
    said = " · ".join(map(html.escape, facts))
    legend = f"{_coloured(1, 'for', '', 'chip')} {_coloured(-1, 'against', '', 'chip')}"
    return html.fragment(
        f"<style>{_STYLE}</style><div><b>{html.escape(target)}</b> <span class=dim>{said}</span> {legend}</div>"
        f'<div class="text">{_text(texts, pieces, tokens, totals, largest)}</div>{_table(tokens, scores, largest)}'
    )


def _text(
    texts: Sequence[str], pieces: Sequence[Piece], tokens: Sequence[str], totals: Sequence[float], largest: float
) -> str:
    parts: list[str] = []
    text, done = None, [0] * len(texts)
    for piece, total in zip(pieces, totals, strict=True):
        if text is not None and piece.text != text:
            parts.append(html.escape(texts[text][done[text] :]))
        text = piece.text
        names = " ".join(tokens[i] for i in piece.tokens)
        hint = f"{total:+.4f}  {names}"
        if text is None or piece.start == piece.end:  # nothing in the text stands for it
            parts.append(_coloured(total / largest, names, hint, "chip"))
        else:
            between, own = texts[text][done[text] : piece.start], texts[text][piece.start : piece.end]
            parts += [html.escape(between), _coloured(total / largest, own, hint)]
            done[text] = piece.end
    return "".join(parts) + ("" if text is None else html.escape(texts[text][done[text] :]))


def _coloured(share: float, text: str, hint: str, kind: str = "") -> str:
    colour = f"rgba({_FOR if share >= 0 else _AGAINST},{0.65 * abs(share):.3f})"
    return f'<span class="{kind}" style="background:{colour}" title="{html.escape(hint)}">{html.escape(text)}</span>'


def _table(tokens: Sequence[str], scores: Sequence[float], largest: float) -> str:
    rows = (
        (f"<code>{score:+.4f}</code>", _coloured(score / largest, token, ""))
        for token, score in zip(tokens, scores, strict=True)
    )
    return html.folded("<span class=dim>scores of the tokens</span>", html.table(rows, ("score", "token")))
