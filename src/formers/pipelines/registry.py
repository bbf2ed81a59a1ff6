"""Which tasks there are: one file of this folder for each, and those that a program registers."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..logging import logger

if TYPE_CHECKING:
    from .base import Task


def tasks() -> dict[str, Task]:
    """All tasks by their names and aliases, those that were registered before those of the package."""
    return {**_own(), **_registered}


@cache
def _own() -> dict[str, Task]:
    package = __name__.rpartition(".")[0]
    files = [importlib.import_module(f"{package}.{file.name}") for file in pkgutil.iter_modules([_FOLDER])]
    found = [file.TASK for file in files if hasattr(file, "TASK")]
    return {name: task for task in found for name in (task.name, *task.aliases)}


class PipelineRegistry:
    """The tasks of `pipeline`, to look at and to add to; `PIPELINE_REGISTRY` is the only one."""

    @property
    def supported_tasks(self) -> dict[str, dict[str, Any]]:
        """What there is for each task: its class, what loads its models, and its usual model."""
        return {task.name: self._described(task) for task in tasks().values()}

    @property
    def task_aliases(self) -> dict[str, str]:
        """The tasks that other names stand for."""
        return {name: task.name for name, task in tasks().items() if name != task.name}

    def get_supported_tasks(self) -> list[str]:
        """The names of all tasks, aliases included."""
        return sorted(tasks())

    def check_task(self, task: str) -> tuple[str, dict[str, Any], tuple[str, str] | None]:
        """The name that the task goes by, what there is for it, and the languages that it names.

        Raises UnknownTaskError for one not here.
        """
        from . import find_task
        from .translation import languages_of

        found = find_task(task)
        return found.name, self._described(found), languages_of(task)

    def register_pipeline(
        self,
        task: str,
        pipeline_class: type,
        pt_model: Any = None,
        tf_model: Any = None,
        default: dict[str, Any] | None = None,
        type: str | None = None,
    ) -> None:
        """Let `pipeline(task)` make a `pipeline_class`.

        Args:
            task: the name; one that exists is replaced, with a warning.
            pipeline_class: a class of pipelines.
            pt_model: the class that loads its models, as AutoModelForSequenceClassification; AutoModel if left out.
            tf_model: accepted and not used.
            default: {"model": (name, revision)}, or with "pt" for "model", used where no model is given.
            type: accepted and not used.
        """
        from .base import Task

        if task in tasks():
            logger.warning(f"The task {task!r} is registered already: it is now made by {pipeline_class.__name__}.")
        kinds = pt_model if isinstance(pt_model, tuple) else (pt_model or "AutoModel",)
        if len(kinds) != 1:
            raise ArgumentError(f"pt_model has {len(kinds)} classes; one that loads the models of {task!r} is needed.")
        usual = (default or {}).get("model", (default or {}).get("pt"))
        if isinstance(usual, dict):
            usual = usual.get("pt")
        if isinstance(usual, str):
            usual = (usual, None)
        _registered[task] = Task(name=task, pipeline=pipeline_class, auto=kinds[0], default=usual)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As supported_tasks."""
        return self.supported_tasks

    @staticmethod
    def _described(task: Task) -> dict[str, Any]:
        default = {} if task.default is None else {"default": {"model": task.default}}
        return {"impl": task.pipeline, "pt": (task.loader(),), "type": "text", **default}


_FOLDER = str(Path(__file__).parent)
_registered: dict[str, Task] = {}
PIPELINE_REGISTRY = PipelineRegistry()
