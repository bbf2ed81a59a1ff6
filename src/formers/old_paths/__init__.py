"""The paths of Transformers' modules: `from formers.modeling_outputs import BaseModelOutput` and its kind.

Python asks here for modules of this package that no file is (see the end of `formers/__init__.py`). A path is a row of
PATHS, or follows from the name of a family: `models.bert.modeling_bert`. It answers with a module that has no names of
its own, and looks each up in the rooms of its row when it is asked for; nothing else is loaded.

    availability   is_torch_available and its kind; checks of versions      no torch
    names          names of files, enumerations, decorators of docstrings   no torch
    mappings       MODEL_FOR_…_MAPPING, CONFIG_MAPPING                      no torch until they are read
    tensors        Conv1D, prune_linear_layer, ACT2FN, to_numpy and such
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .. import registry
from ..errors import MissingAttributeError, MissingNameError, near

_ROOT = __name__.partition(".")[0]
_TRAINING = ("training.choices", "training.results", "training.smoothing", "training.seed")
_UTILS = (
    *("old_paths.availability", "old_paths.names", "tokenization.types", "outputs", "old_paths.tensors"),
    *_TRAINING,
)
_TOKENIZATION = ("tokenization", "tokenization.types", "old_paths.names")
_AUTO = ("auto", "old_paths.mappings")
_IMAGES = ("processing.feature", "processing.image")
_PROCESSORS = ("generation.processors", "generation.penalties", "generation.warpers")
# where the names of a path are, in the order in which they are looked for: what loads least comes first
PATHS: dict[str, tuple[str, ...]] = {
    "activations": ("old_paths.tensors", "ops.activations"),
    "configuration_utils": ("config", "old_paths.names"),
    "data": ("training.collators", "training.masking"),
    "data.data_collator": ("training.collators", "training.masking"),
    "feature_extraction_utils": _IMAGES,
    "file_utils": _UTILS,
    "generation.configuration_utils": ("generation.configuration",),
    "generation.logits_process": _PROCESSORS,
    "generation.stopping_criteria": ("generation.stopping",),
    "generation_logits_process": _PROCESSORS,
    "generation_stopping_criteria": ("generation.stopping",),
    "image_processing_base": _IMAGES,
    "image_processing_utils": _IMAGES,
    "image_utils": ("processing.transforms", "processing.reading"),
    "modeling_outputs": ("outputs", "old_paths.names"),
    "modeling_utils": ("modeling", "old_paths.tensors", "ops.activations", "old_paths.names"),
    "models.auto": _AUTO,
    "models.auto.auto_factory": _AUTO,
    "models.auto.configuration_auto": _AUTO,
    "models.auto.feature_extraction_auto": ("auto_processing",),
    "models.auto.image_processing_auto": ("auto_processing",),
    "models.auto.modeling_auto": _AUTO,
    "models.auto.processing_auto": ("auto_processing",),
    "models.auto.tokenization_auto": _AUTO,
    "models.whisper.english_normalizer": ("tokenization.normalizers_of_speech",),
    "processing_utils": ("processing.processor",),
    "pytorch_utils": ("old_paths.tensors",),
    "testing_utils": ("old_paths.names",),
    "tokenization_python": _TOKENIZATION,
    "tokenization_utils": _TOKENIZATION,
    "tokenization_utils_base": _TOKENIZATION,
    "tokenization_utils_fast": _TOKENIZATION,
    "tokenization_utils_tokenizers": _TOKENIZATION,
    "hf_argparser": ("training.parsing",),
    "hyperparameter_search": ("training.searching",),
    "integrations": ("training.reporting",),
    "optimization": ("training.optimizers", "training.schedules"),
    "trainer": ("training.trainer", "training.saving", "training.results", "training.optimizers", "training.schedules"),
    "trainer_callback": ("training.callbacks",),
    "trainer_pt_utils": (
        *("old_paths.availability", "old_paths.tensors", *_TRAINING, "training.batching", "training.evaluating"),
    ),
    "trainer_seq2seq": ("training.seq2seq",),
    "trainer_utils": (*_TRAINING, "training.searching", "old_paths.availability", "old_paths.names"),
    "training_args": ("training.arguments", "training.choices"),
    "training_args_seq2seq": ("training.arguments",),
    "utils": _UTILS,
    "utils.doc": _UTILS,
    "utils.generic": _UTILS,
    "utils.hub": _UTILS,
    "utils.import_utils": _UTILS,
    "utils.peft_utils": ("old_paths.names",),
    "utils.versions": _UTILS,
}
SAME = {"utils.logging": "logging"}  # one module under two names
_OF_A_FAMILY: dict[str, tuple[str, ...]] = {
    "modeling": ("outputs", "old_paths.tensors", "modeling", "old_paths.names"),
    "configuration": ("config",),
    "tokenization": (*_TOKENIZATION, "tokenization.basic"),
    "image_processing": _IMAGES,
    "feature_extraction": _IMAGES,
    "processing": ("processing.processor",),
}


def homes_of(path: str) -> tuple[str, ...]:
    """The rooms that hold the names of Transformers' module `path`; none where the path is not known."""
    if path in PATHS:
        return PATHS[path]
    *folders, last = path.split(".")
    kind = next((kind for kind in _OF_A_FAMILY if last.startswith(f"{kind}_")), "")
    family = last.removeprefix(f"{kind}_").removesuffix("_fast")
    if kind and family in registry.families() and folders[:1] in ([], ["models"]):
        return (f"models.{family}", *_OF_A_FAMILY[kind])
    if folders == ["models"]:  # data2vec, which is data2vec_text here
        return tuple(f"models.{family}" for family in registry.families() if family.startswith(f"{last}_"))
    return ()


class OldPath(ModuleType):
    """A module under its old name. What is set in it is set where the name is, so that a patch reaches the code."""

    def __init__(self, name: str, homes: tuple[str, ...]) -> None:
        super().__init__(name, f"What Transformers has in {name.partition('.')[2]}: names of {', '.join(homes)}.")
        self.__dict__.update(__path__=[], _homes=homes, _found={})

    def _home(self, name: str) -> ModuleType | None:
        found: dict[str, ModuleType] = self._found
        for home in () if name in found or name.startswith("__") else self._homes:
            module = importlib.import_module(f"{_ROOT}.{home}")
            if hasattr(module, name):
                return found.setdefault(name, module)
        return found.get(name)

    def __getattr__(self, name: str) -> Any:
        child = f"{self.__name__.partition('.')[2]}.{name}"
        if child in SAME or child in PATHS:
            return importlib.import_module(f"{_ROOT}.{child}")
        if (home := self._home(name)) is not None:
            return getattr(home, name)
        if name == "VOCAB_FILES_NAMES" and self._homes[0].startswith("models."):
            return importlib.import_module(f"{_ROOT}.{self._homes[0]}").TOKENIZER.vocab_files_names
        if name == "__all__":
            return dir(self)
        raise MissingAttributeError(lambda: missing(child))

    def __setattr__(self, name: str, value: Any) -> None:
        home = None if isinstance(value, ModuleType) else self._home(name)
        setattr(home, name, value) if home else super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        home = None if name in self.__dict__ else self._home(name)
        delattr(home, name) if home else super().__delattr__(name)

    def __dir__(self) -> list[str]:
        homes = [importlib.import_module(f"{_ROOT}.{home}") for home in self._homes]
        return sorted({n for home in homes for n in getattr(home, "__all__", dir(home)) if not n.startswith("_")})


class _OldPathLoader(Loader):
    def __init__(self, homes: tuple[str, ...]) -> None:
        self.homes = homes

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return OldPath(spec.name, self.homes)

    def exec_module(self, module: ModuleType) -> None:
        pass


class Another(Loader):
    """Gives the module called `name` under one name more."""

    def __init__(self, name: str) -> None:
        self.name = name

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self.name)


def find_spec(name: str) -> ModuleSpec:
    """How to load `formers.….name`, which is no file. Raises MissingNameError where Transformers' path is not here."""
    path = name.partition(".")[2]
    if path in SAME:
        return ModuleSpec(name, Another(f"{_ROOT}.{SAME[path]}"))
    if homes := homes_of(path):
        return ModuleSpec(name, _OldPathLoader(homes), is_package=True)
    raise MissingNameError(missing(path), path=name)


def missing(path: str) -> str:
    """What to say of a module, or of a name in one, that is not here; `path` is what follows `formers.`."""
    above, _, name = path.rpartition(".")
    package = sys.modules[_ROOT]
    if not above:
        return package.explain_missing(name, _children(""))
    if above == "models":
        families = registry.families()
        return f"formers has no model family {name!r}.{near(name, families)} It has {', '.join(families)}."
    there = sys.modules.get(f"{_ROOT}.{above}")
    known = {*(n for n in dir(there) if not n.startswith("_")), *_children(above)} if there else ()
    found = near(name, known)
    elsewhere = "" if found or not hasattr(package, name) else f" `from {_ROOT} import {name}` gives it."
    return f"formers.{above} has no {name!r}.{found}{elsewhere}"


def _children(path: str) -> list[str]:
    return [known.rpartition(".")[2] for known in (*PATHS, *SAME) if known.rpartition(".")[0] == path]
