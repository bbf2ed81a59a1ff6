"""Figures of matplotlib, which is looked for when one is asked for."""

from __future__ import annotations

from typing import Any

from ..errors import MissingNameError


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of that many inches, and its axes. pyplot and its state are left alone."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingNameError(
            "figure() draws with matplotlib, which is not installed: pip install matplotlib"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
