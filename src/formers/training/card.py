"""What a training leaves beside its model: a card that says what it was, its figures, and plots of them."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..version import __version__

if TYPE_CHECKING:
    from .from_table import Outcome, Plan
    from .tables import Table
    from .tasks import Report, TableTask

_LIBRARIES = ("torch", "accelerate", "tokenizers", "numpy")
_LARGEST_MATRIX = 20  # labels of a confusion that a page has room for
_LONGEST = 300  # characters of a text that a card quotes
_ARGUMENTS = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
    "lr_scheduler_type", "warmup_steps", "optim", "weight_decay", "max_grad_norm", "label_smoothing_factor", "bf16",
    "fp16", "packing", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class About:
    """All that is told of a training. held: the table of the rows held out, None for none."""

    plan: Plan
    task: TableTask
    training: Table
    held: Table | None
    outcome: Outcome
    report: Report
    state: Any
    arguments: Any


def figures(about: About) -> str:
    """metrics.json: the metrics, and of what they are."""
    found = {
        "task": about.outcome.task, "metrics": about.outcome.metrics, "rows": about.outcome.rows,
        "steps": about.state.global_step, "seconds": round(about.outcome.seconds, 2), "seed": about.arguments.seed,
    }  # fmt: skip
    if about.report.matrix is not None:
        found["confusion"] = {"labels": about.report.names, "rows_are_true": about.report.matrix.tolist()}
    return json.dumps(finite(found), indent=2, ensure_ascii=False) + "\n"


def finite(found: Any) -> Any:
    """The same, with None for what JSON has no number for."""
    if isinstance(found, dict):
        return {name: finite(value) for name, value in found.items()}
    return None if isinstance(found, float) and not math.isfinite(found) else found


# ---- the card


def text(about: About, pictures: list[str]) -> str:
    """README.md: a header that the Hub reads, and the card."""
    title = Path(about.outcome.folder).name or "model"
    parts = [_header(about, title), f"# {title}", _summary(about), _use(about), _results(about, pictures)]
    parts += [_confusion(about), _errors(about), _data(about), _training(about)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(about: About, title: str) -> str:
    kind = _hub_task(about)
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": kind, "tags": [kind, "formers"]}
    if not Path(about.plan.model).expanduser().exists():  # a folder is no name that the Hub knows
        head["base_model"] = about.plan.model
    metrics = {name: value for name, value in about.outcome.metrics.items() if math.isfinite(value)}
    if metrics and about.held is not None:
        head["metrics"] = [
            name for name in metrics if re.fullmatch(r"accuracy|f1|mse|perplexity|chrf|exact_match", name)
        ]
        data = {"name": about.held.name, "type": about.held.name, "split": "held-out"}
        scores = [{"type": name, "value": round(value, 6)} for name, value in metrics.items()]
        head["model-index"] = [
            {"name": title, "results": [{"task": {"type": kind}, "dataset": data, "metrics": scores}]}
        ]
    return header(head)


def header(values: dict[str, Any]) -> str:
    """What is known of a model as YAML, which the Hub reads; each value of it JSON, which is YAML too."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value]
    return "\n".join(["---", *lines, "---"])


def _hub_task(about: About) -> str:
    """The name that the Hub has for the task."""
    name = about.outcome.task
    return "translation" if name.startswith("translation") else name


def _base(about: About) -> str:
    """What the training began with: a hub name, or a folder's without where it is."""
    path = Path(about.plan.model).expanduser()
    return path.resolve().name if path.exists() else about.plan.model


def _summary(about: About) -> str:
    rows = about.outcome.rows
    return (
        f"`{_base(about)}`, trained for {about.outcome.task} on {rows['training']:,} rows of {about.training.name} by "
        f"`formers train` {__version__}."
    )


def _use(about: About) -> str:
    return f"```python\n{opening(about.outcome.task, about.outcome.folder)}\n```"


def opening(task: str, folder: str) -> str:
    """The line of Python that opens the folder."""
    return f"from formers import pipeline; pipe = pipeline({task!r}, {folder!r})"


def _results(about: About, pictures: list[str]) -> str:
    if not about.outcome.metrics or about.held is None:
        return "## Results\n\nNo rows were held out, so nothing is known of how good it is."
    rows = [(name, f"{value:.4f}") for name, value in about.outcome.metrics.items()]
    shown = "\n\n".join(f"![{Path(name).stem}]({name})" for name in pictures)
    intro = f"On {about.outcome.rows['held_out']:,} held-out rows of {about.held.name}."
    return "\n\n".join(filter(None, ["## Results", intro, table(("metric", "value"), rows), shown]))


def _confusion(about: About) -> str:
    matrix, names = about.report.matrix, about.report.names
    if matrix is None:
        return ""
    if len(names) > _LARGEST_MATRIX:
        return f"## Confusion\n\n{len(names)} labels: the matrix is in metrics.json."
    rows = [(name, *map(str, row)) for name, row in zip(names, matrix.tolist(), strict=True)]
    return f"## Confusion\n\nRows are the true labels, columns the predicted ones.\n\n{table(('', *names), rows)}"


def _errors(about: About) -> str:
    if not about.report.errors:
        return ""
    columns = tuple(about.report.errors[0])
    rows = [tuple(_quoted(error[name]) for name in columns) for error in about.report.errors]
    return (
        f"## Errors\n\nHeld-out rows that it gets wrong, those first of which it is surest.\n\n{table(columns, rows)}"
    )


def _quoted(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


def _data(about: About) -> str:
    counts = about.outcome.rows
    rows = [("training", about.training.name, f"{counts['training']:,}", about.training.sha256)]
    if about.held is not None:
        rows.append(("held out", about.held.name, f"{counts['held_out']:,}", about.held.sha256))
    if about.held is None:
        how = "All rows are trained on."
    elif about.plan.dev is not None:
        how = "The held-out rows are a file of their own."
    else:
        how = (
            f"{about.plan.held_out:g} of the rows were held out, drawn by the seed {about.arguments.seed} of each "
            "label in proportion; rows of one text stay on one side."
        )
    if about.plan.limit is not None:
        how += f" {about.plan.limit:,} rows of the training file were drawn by the seed."
    return f"## Data\n\n{table(('part', 'file', 'rows', 'SHA-256 of the file'), rows)}\n\n{how}"


def _training(about: About) -> str:
    values = about.arguments.to_dict()
    names = [*_ARGUMENTS, *sorted(about.plan.arguments.keys() - {*_ARGUMENTS} & values.keys())]
    rows = [(name, str(values[name])) for name in names if name in values]
    rows.append(("max_length", str(about.task.limit)))
    used = {"formers": __version__, "Python": platform.python_version()}
    used |= {name: importlib.metadata.version(name) for name in _LIBRARIES}
    took = f"{about.state.global_step:,} steps in {about.outcome.seconds:,.0f} s"
    best = about.state.best_global_step
    kept = (
        f"; the weights are those of step {best:,}, the best by {about.arguments.metric_for_best_model}" if best else ""
    )
    versions = ", ".join(f"{name} {version}" for name, version in used.items())
    return f"## Training\n\n{took}{kept}.\n\n{table(('argument', 'value'), rows)}\n\n{versions}."


def table(names: tuple[str, ...], rows: list[Any]) -> str:
    """A table of Markdown; what a cell says cannot end it, nor be HTML."""
    lines = [names, ("---",) * len(names), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(words: str) -> str:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\").replace("|", "\\|")
    return re.sub(r"([*_`\[])", r"\\\1", " ".join(escaped.split())) if not words.startswith("---") else words


# ---- plots


def plots(about: About, folder: Path) -> list[str]:
    """Draw loss.png and metric.png: their names, none where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return []
    watched = about.task.WATCHED if about.task.WATCHED != "loss" else "perplexity"
    lines = {
        "loss.png": {"training": _history(about, "loss"), "held out": _history(about, "eval_loss")},
        "metric.png": {watched: _history(about, f"eval_{watched}")},
    }
    drawn = []
    for name, curves in lines.items():
        curves = {label: points for label, points in curves.items() if points}
        if not curves:
            continue
        figure = Figure(figsize=(6.4, 4.0), layout="constrained", dpi=150)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for (label, points), color in zip(curves.items(), ("#4477aa", "#cc3311"), strict=False):
            marker = "o" if len(points) < 30 else None
            axes.plot(*zip(*points, strict=True), label=label, color=color, marker=marker, markersize=4, linewidth=1.6)
        axes.set_xlabel("step")
        axes.set_ylabel("loss" if name == "loss.png" else f"{watched}, held out".replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            axes.legend(frameon=False)
        figure.savefig(folder / name)
        drawn.append(name)
    return drawn


def _history(about: About, name: str) -> list[tuple[int, float]]:
    """(step, value) of each log that has such a value."""
    return [(log["step"], log[name]) for log in about.state.log_history if name in log]
