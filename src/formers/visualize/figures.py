"""Figures of matplotlib, which is looked for when one is asked for."""

from __future__ import annotations

from typing import Any

from ..extra import library

_MODULES = ("backends.backend_agg", "figure")


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of that many inches, and its axes. pyplot and its state are left alone."""
    backend, figures = (library(f"matplotlib.{name}", "figure()", "matplotlib") for name in _MODULES)
    figure = figures.Figure(figsize=(width, height), layout="constrained")
    backend.FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
