"""The picture of docs/performance.md: texts a second, a panel for each kind of processor and a group for each case."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from . import machine

SHADES = {
    "light": {"paper": "#ffffff", "ink": "#1f2328", "faint": "#656d76", "ours": "#0969da", "theirs": "#b6bdc5"},
    "dark": {"paper": "#0d1117", "ink": "#e6edf3", "faint": "#8d96a0", "ours": "#58a6ff", "theirs": "#484f58"},
}
# who is shown, and what they are called there; of formers only the best of its modes
NAMES = {
    "formers": "formers, float32",
    "formers optimize=True": "formers, optimize=True",
    "transformers pipeline, batch 32": "Transformers",
    "sentence-transformers": "sentence-transformers",
    "OpenVINO": "OpenVINO",
    "CTranslate2 int8": "CTranslate2 int8",
    "ONNX Runtime int8": "ONNX Runtime int8",
}
# who cannot be told to use less than the processor has
UNRESTRICTED = {"ONNX Runtime int8": "ONNX Runtime, unrestricted"}
WIDTH, LABEL, BAR, GAP, GROUP = 860, 190, 14, 5, 26


def draw(kept: dict[str, dict[str, Any]], shade: str) -> str:
    """An SVG, from each kind's `report.essence`."""
    colors, parts, y = SHADES[shade], [], 14
    for kind, one in kept.items():
        y += 20
        parts.append(_text(16, y, machine.KINDS[kind][0], colors["ink"], "bold", 16))
        y += 12
        for case, rates in one["rates"].items():
            names = NAMES | UNRESTRICTED if kind == "avx2_restricted" else NAMES
            y = _case(parts, y, case, {names[who]: rate for who, rate in rates.items() if who in names}, colors)
        y += 8
    style = 'font-family="-apple-system,Segoe UI,Helvetica,Arial,DejaVu Sans,sans-serif"'
    size = f'viewBox="0 0 {WIDTH} {y + 10}" width="{WIDTH}" height="{y + 10}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    paper = f'<rect width="{WIDTH}" height="{y + 10}" rx="8" fill="{colors["paper"]}"/>'
    return "\n".join([head, paper, *parts, "</svg>"]) + "\n"


def _case(parts: list[str], y: int, case: str, rates: dict[str, float], colors: dict[str, str]) -> int:
    """Bars of one case below `y`; returns where they end."""
    y += 16
    parts.append(_text(16, y, f"{case}, texts a second", colors["faint"], "normal", 12))
    y += 9
    longest = max(rates.values(), default=1.0)
    for who, rate in sorted(rates.items(), key=lambda item: -item[1]):
        ours = who.startswith("formers")
        long = max(2, round((WIDTH - LABEL - 90) * rate / longest))
        fill, weight = colors["ours" if ours else "theirs"], "bold" if ours else "normal"
        parts.append(_text(LABEL - 8, y + 11, who, colors["ink"], weight, 12, "end"))
        parts.append(f'<rect x="{LABEL}" y="{y}" width="{long}" height="{BAR}" rx="2" fill="{fill}"/>')
        parts.append(_text(LABEL + long + 6, y + 11, f"{rate:,.0f}", colors["faint"], weight, 12))
        y += BAR + GAP
    return y + GROUP - BAR


def _text(x: int, y: int, text: str, fill: str, weight: str, size: int, anchor: str = "start") -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{fill}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
