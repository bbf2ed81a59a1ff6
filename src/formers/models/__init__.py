"""One file per family: the listing is the support list."""

from __future__ import annotations

import sys
from importlib.machinery import FileFinder, SourceFileLoader
from types import ModuleType


class _Family(SourceFileLoader):
    """Loads a family's file so that `models.bert.modeling_bert` can be asked of it: Python asks packages only."""

    def exec_module(self, module: ModuleType) -> None:
        if not hasattr(module, "__path__"):
            module.__path__ = []
        super().exec_module(module)


sys.path_importer_cache[__path__[0]] = FileFinder(__path__[0], (_Family, [".py"]))
