"""This package under the name `transformers`, for code that cannot be changed: `formers.as_transformers()`.

It is called before that code is imported, and holds for the process. `import transformers` then gives a module with the
names of `formers`, and `transformers.modeling_outputs` is `formers.modeling_outputs`; an installed Transformers stays
where it is. From a shell:

    python -m formers.as_transformers script.py --its-own arguments
    python -m formers.as_transformers -m package.module

Libraries import names when they are loaded that many programs never use, such as processors. STAND_INS has those that
are not here yet: they can be imported and made subclasses of, and say what is missing when they are used. Any other
name that is not here is an ImportError, as libraries expect of an older release, and says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import runpy
import sys
from abc import ABCMeta
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import ArgumentError, MissingAttributeError, MissingNameError
from .old_paths import Another
from .version import TRANSFORMERS

_NAME, _OURS = "transformers", __name__.partition(".")[0]
# module of Transformers -> its names that libraries import and that are not here, or not yet
STAND_INS: dict[str, tuple[str, ...]] = {
    "": (
        *(
            "AutoModelForSeq2SeqLM",
            "AutoProcessor",
            "BlenderbotConfig",
            "BlenderbotSmallConfig",
        ),
        *(
            "EncoderDecoderCache",
            "FeatureExtractionMixin",
            "ImageProcessingMixin",
            "LongT5Config",
            "M2M100Config",
            "MT5Config",
            "MarianConfig",
        ),
        *("PegasusConfig", "PegasusXConfig", "ProcessorMixin", "ProphetNetConfig", "SwitchTransformersConfig"),
        *("T5Config",),
        *("UMT5Config", "UdopConfig", "WhisperConfig"),
    ),
    "core_model_loading": (
        *("Concatenate", "ConversionOps", "MergeModulelist", "Transpose", "WeightConverter", "WeightRenaming"),
        *("dot_natural_key", "rename_source_key"),
    ),
    "dynamic_module_utils": ("get_class_from_dynamic_module", "get_relative_import_files"),
    "feature_extraction_utils": ("FeatureExtractionMixin",),
    "image_processing_utils": ("BaseImageProcessor",),
    "integrations": ("CodeCarbonCallback", "deepspeed_config"),
    "integrations.peft": ("PeftAdapterMixin",),
    "modelcard": ("make_markdown_table",),
    "processing_utils": ("ProcessorMixin",),
    "trainer": ("OPTIMIZER_NAME_BIN",),
    "utils.hub": ("get_checkpoint_shard_files",),
}
# questions about what is not here, which have an answer all the same
ANSWERS: dict[str, dict[str, Any]] = {
    "conversion_mapping": {  # how names of old checkpoints change: they do not, beyond what loading does by itself
        "_MODEL_TO_CONVERSION_PATTERN": {},
        "get_checkpoint_conversion_mapping": lambda *_: None,
        "get_model_conversion_mapping": lambda *_, **__: [],
    },
    "integrations": {"is_deepspeed_zero3_enabled": lambda: False},
}


class _StandIn(ABCMeta):
    """The kind of classes that are not here."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise MissingNameError(_explain(cls))

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise MissingAttributeError(lambda: f"{_explain(cls)} It was asked for {name!r}.")


def _explain(cls: type) -> str:
    origin = next((c for c in cls.__mro__[::-1] if isinstance(c, _StandIn)), cls)
    needed = "" if origin is cls else f", which {cls.__name__} is built on"
    return f"formers stands for transformers here, and has no {origin.__name__}{needed}. It can be imported, not used."


def _stand_in(module: str, name: str) -> Any:
    if name[0].islower():

        def refuse(*_: Any, **__: Any) -> Any:
            raise MissingNameError(f"formers stands for transformers here, and has no {name}. It was called.")

        return refuse
    return _StandIn(name, (), {"__module__": f"{_NAME}.{module}" if module else _NAME})


class _Module(ModuleType):
    """A module of Transformers: the names of ours, if there is one, and stand-ins.

    ours: the path of our module; None where there is none.
    """

    def __init__(self, name: str, ours: str | None) -> None:
        super().__init__(name, f"{name}, as {ours or 'names that are not in formers'}.")
        self.__dict__.update(__path__=[], _ours=ours)

    def __getattr__(self, name: str) -> Any:
        path = self.__name__.partition(".")[2]
        ours = self._ours and importlib.import_module(self._ours)
        if ours and hasattr(ours, name):
            return getattr(ours, name)
        if name in ANSWERS.get(path, ()):
            return ANSWERS[path][name]
        if name in STAND_INS.get(path, ()):
            made = _stand_in(path, name)
            self.__dict__[name] = made
            return made
        where = f"{self.__name__}.{name}"
        raise MissingAttributeError(lambda: f"formers stands for transformers here, and has no {where}.")

    def __dir__(self) -> list[str]:
        ours = dir(importlib.import_module(self._ours)) if self._ours else []
        return sorted({*ours, *STAND_INS.get(self.__name__.partition(".")[2], ()), *self.__dict__})


class _ModuleLoader(Loader):
    def __init__(self, ours: str | None) -> None:
        self.ours = ours

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name, self.ours)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Finder:
    """Finds `transformers.…` here, before an installed Transformers is looked for."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(f"{_NAME}."):
            return None
        inner = name.partition(".")[2]
        if inner == "pytorch_utils" and importlib.import_module("torch.distributed").is_available():
            importlib.import_module("torch.distributed.tensor")  # PEFT counts on its being loaded with it
        ours: str | None = f"{_OURS}.{inner}"
        try:
            found = importlib.util.find_spec(str(ours)) is not None
        except MissingNameError as error:
            if not any(known == inner or known.startswith(f"{inner}.") for known in (*STAND_INS, *ANSWERS)):
                raise MissingNameError(f"formers stands for transformers here: {error}", path=name) from None
            found = False
        if inner in STAND_INS or not found:
            return ModuleSpec(name, _ModuleLoader(ours if found else None), is_package=True)
        return ModuleSpec(name, Another(str(ours)))


def install() -> None:
    """Put this package under the name `transformers` for the process.

    Raises ArgumentError where the real one is imported already: code that has its classes cannot be given others.
    """
    there = sys.modules.get(_NAME)
    if isinstance(there, _Module):
        return
    if there is not None:
        raise ArgumentError(
            "transformers is imported already. Call formers.as_transformers() before all imports that load it, "
            "or start the program with `python -m formers.as_transformers script.py`."
        )
    module = _Module(_NAME, _OURS)
    module.__dict__.update(__version__=TRANSFORMERS, __spec__=ModuleSpec(_NAME, None, is_package=True))
    module.__dict__["__file__"] = __file__
    sys.modules[_NAME] = module
    sys.meta_path.insert(0, _Finder)
    logging.getLogger(_OURS).parent = logging.getLogger(_NAME)  # programs set levels and handlers of that one


class _Callable(ModuleType):
    """`formers.as_transformers()` calls the module."""

    def __call__(self) -> None:
        install()


sys.modules[__name__].__class__ = _Callable


def main(arguments: list[str]) -> None:
    """Run a script, or with -m a module, as its own program."""
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["-m"]:
        raise SystemExit("Usage: python -m formers.as_transformers [-m module | script.py] [its arguments …]")
    install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    script = Path(arguments[0])
    if not script.exists():
        raise SystemExit(f"There is no script {str(script)!r}.")
    sys.argv = arguments
    if script.is_file():
        sys.path[0] = str(script.resolve().parent)  # where Python looks first for a script's own modules
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    importlib.import_module("formers.as_transformers").main(sys.argv[1:])
