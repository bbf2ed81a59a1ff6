"""What a Trainer tells others of its model: a card beside it. Nothing is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..atomic import replacing
from ..config import refuse_push
from ..version import __version__
from .card import header, table

_ARGUMENTS = (
    "learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps",
    "lr_scheduler_type", "warmup_steps", "optim", "weight_decay", "label_smoothing_factor", "bf16", "fp16", "seed",
)  # fmt: skip


class Sharing:
    """The part of a Trainer that writes the card of its model."""

    args: Any
    model: Any
    state: Any

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Write README.md beside the model: what it was made from, how, and the figures of its last evaluation.

        tasks: names of pipelines. dataset: data sets as people read their names; dataset_tags: as the Hub does;
        dataset_args: which part of each.
        """
        if not self.args.should_save:
            return
        config = getattr(self.model, "config", None)
        base = finetuned_from or getattr(config, "_name_or_path", None) or None
        name = model_name or Path(self.args.output_dir).resolve().name
        base = None if base and Path(base).exists() else base  # a folder is no name that the Hub knows
        head = {
            "library_name": "transformers", "language": _list(language), "license": license,
            "base_model": base, "datasets": _list(dataset_tags), "pipeline_tag": next(iter(_list(tasks)), None),
            "tags": ["formers", *_list(tags)],
        }  # fmt: skip
        data = " and ".join(map(str, _list(dataset) or _list(dataset_tags)))
        parts = ", ".join(map(str, _list(dataset_args)))
        made = f"{f'`{base}`' if base else 'A model'}, trained{f' on {data}' if data else ''}"
        text = [header(head), f"# {name}", f"{made}{f' ({parts})' if parts else ''} by formers {__version__}."]
        with replacing(self.args.output_dir) as stage:
            (stage / "README.md").write_text("\n\n".join([*text, *self._figures()]) + "\n", encoding="utf-8")

    def _figures(self) -> list[str]:
        evaluated: dict[str, Any] = next((log for log in reversed(self.state.log_history) if "eval_loss" in log), {})
        scores = [(name, f"{value:.4f}") for name, value in evaluated.items() if isinstance(value, float)]
        values = self.args.to_dict()
        arguments = [(name, str(values[name])) for name in _ARGUMENTS]
        results = ["## Results", table(("metric", "value"), scores)] if scores else []
        return [*results, "## Training", f"{self.state.global_step:,} steps.", table(("argument", "value"), arguments)]

    def push_to_hub(self, *_: Any, **__: Any) -> None:
        """Not available: an error says how to upload the folder."""
        refuse_push(True)


def _list(given: Any) -> list[Any]:
    return [] if given is None else [given] if isinstance(given, str) else list(given)
