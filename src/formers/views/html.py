"""What all views share: escaping, style, and objects that are shown as HTML and saved as a page.

Colours are laid thinly over whatever is behind, and text keeps the colour it has there, so that a view is legible on
light and dark notebooks without knowing which it is on.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable
from pathlib import Path

STYLE = """
.formers{font:13px/1.5 system-ui,sans-serif;max-width:100%;overflow-x:auto}
.formers *{box-sizing:border-box}
.formers table{border-collapse:collapse;margin:4px 0;font:inherit;color:inherit;background:none}
.formers tr{background:none!important}
.formers td,.formers th{background:none;color:inherit;border:0}
.formers td,.formers th{padding:1px 12px 1px 0;text-align:left!important;vertical-align:top;white-space:pre-wrap}
.formers th{font-weight:600}
.formers code{background:none!important;color:inherit;padding:0!important}
.formers code,.formers .mono{font:12px/1.5 ui-monospace,monospace}
.formers .dim{opacity:.7}
.formers .text{white-space:pre-wrap;overflow-wrap:anywhere;line-height:2}
.formers summary{cursor:pointer}
.formers .leaf{margin-left:20px}
.formers .leaf>details{margin-left:-14px}
.formers bdi{unicode-bidi:isolate}
.formers .changed{box-shadow:inset 3px 0 #2b8cbe;padding-left:8px}
.formers td:first-child{padding-left:8px}
.formers .chip{border-radius:4px;padding:1px 5px;background:rgba(128,128,128,.2);white-space:nowrap}
"""
_PAGE_STYLE = """
:root{color-scheme:light dark}
body{margin:16px;background:Canvas;color:CanvasText}
"""
# what would hide, turn the direction of what follows, or be no text at all, is shown as the number of the character
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def escape(value: object) -> str:
    """Text that shows as it is, in HTML and in its attributes; control characters show as their numbers."""
    return html.escape(_UNSEEN.sub(lambda match: f"‹U+{ord(match[0]):04X}›", str(value)))


def shortened(value: object, most: int = 200) -> str:
    """`escape` of at most that many characters."""
    text = str(value)
    return escape(text) if len(text) <= most else f"{escape(text[:most])}…"


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    """A table of cells that are HTML already; a head, if any, is text."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{names}</tr>' if names else ''}{lines}</table>"


def folded(summary: str, body: str, unfolded: bool = False) -> str:
    """A part that opens at a click; both are HTML already."""
    return f"<details{' open' if unfolded else ''}><summary>{summary}</summary>{body}</details>"


def fragment(body: str) -> str:
    """HTML that can stand in a notebook, with its style."""
    return f'<div class="formers"><style>{STYLE}</style>{body}</div>'


def page(title: str, body: str, style: str = "") -> str:
    """A whole document that needs no other file."""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width">'
        f"<style>{_PAGE_STYLE}{style}</style></head><body>{body}</body></html>"
    )


class Shown:
    """Something that shows as HTML in a notebook; `html()` is the whole page, and `save(path)` writes that."""

    title = "formers"

    def _repr_html_(self) -> str:
        raise NotImplementedError

    def html(self) -> str:
        """A whole HTML document that needs no other file and no network."""
        return page(self.title, self._repr_html_())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `html()` to a file."""
        Path(path).write_text(self.html(), encoding="utf-8")


class View(Shown):
    """A view that is made already."""

    def __init__(self, made: str, title: str = "formers") -> None:
        self._made, self.title = made, title

    def _repr_html_(self) -> str:
        return self._made
