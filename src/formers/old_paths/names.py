"""Names of files, enumerations, decorators: what Transformers' utils have that needs no torch."""

from __future__ import annotations

import importlib
import os
import types
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property as cached_property
from io import StringIO
from logging import Logger, StreamHandler
from pathlib import Path
from typing import Any, TypeVar

from .. import hub
from ..config import refuse_push
from ..errors import ArgumentError, MissingAttributeError, near

Function = TypeVar("Function", bound=Callable[..., Any])

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "pytorch_model.bin"
WEIGHTS_INDEX_NAME = "pytorch_model.bin.index.json"
SAFE_WEIGHTS_NAME = "model.safetensors"
SAFE_WEIGHTS_INDEX_NAME = "model.safetensors.index.json"
TF2_WEIGHTS_NAME = "tf_model.h5"
TF2_WEIGHTS_INDEX_NAME = "tf_model.h5.index.json"
TF_WEIGHTS_NAME = "model.ckpt"
FLAX_WEIGHTS_NAME = "flax_model.msgpack"
FLAX_WEIGHTS_INDEX_NAME = "flax_model.msgpack.index.json"
FEATURE_EXTRACTOR_NAME = IMAGE_PROCESSOR_NAME = "preprocessor_config.json"
PROCESSOR_NAME = "processor_config.json"
GENERATION_CONFIG_NAME = "generation_config.json"
MODEL_CARD_NAME = "modelcard.json"
ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.bin"
ADAPTER_SAFE_WEIGHTS_NAME = "adapter_model.safetensors"
SPECIAL_TOKENS_MAP_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
FULL_TOKENIZER_FILE = "tokenizer.json"
SENTENCEPIECE_UNDERLINE = SPIECE_UNDERLINE = "▁"
HUGGINGFACE_CO_PREFIX = "https://huggingface.co/{model_id}/resolve/{revision}/{filename}"
# batches of ids that models accept
DUMMY_INPUTS = [[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]]
DUMMY_MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
MULTIPLE_CHOICE_DUMMY_INPUTS = [[[0, 1, 0, 1], [1, 0, 0, 1]]] * 2
# what a tokenizer takes, as types
TextInput = str
PreTokenizedInput = list[str]
EncodedInput = list[int]
TextInputPair = tuple[str, str]
PreTokenizedInputPair = tuple[list[str], list[str]]
EncodedInputPair = tuple[list[int], list[int]]
_OF_THE_HUB = {
    "EntryNotFoundError": "errors",
    "RepositoryNotFoundError": "errors",
    "RevisionNotFoundError": "errors",
    "TRANSFORMERS_CACHE": "constants",
    "PYTORCH_TRANSFORMERS_CACHE": "constants",
    "PYTORCH_PRETRAINED_BERT_CACHE": "constants",
    "default_cache_path": "constants",
    "hf_cache_home": "constants",
}

_ELSEWHERE = {
    "ExplicitEnum": ("..tokenization.types", "Choice"),
    "SpecialTokensMixin": ("..tokenization.special", "SpecialTokens"),
}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        module, its_name = _ELSEWHERE[name]
        return getattr(importlib.import_module(module, __package__), its_name)
    if name not in _OF_THE_HUB:
        raise MissingAttributeError(
            lambda: f"formers has no {name}.{near(name, [*globals(), *_OF_THE_HUB, *_ELSEWHERE])}"
        )
    from huggingface_hub import constants, errors

    if _OF_THE_HUB[name] == "errors":
        return getattr(errors, name)
    return constants.HF_HOME if name == "hf_cache_home" else constants.HF_HUB_CACHE


# ---- files


def cached_file(path_or_repo_id: str | os.PathLike[str], filename: str, **kwargs: Any) -> str | None:
    """The path on this disk of one file of a folder or of a model on the hub, downloaded when needed.

    Raises NotFoundError, which is an OSError, or with `_raise_exceptions_for_missing_entries=False` gives None.
    """
    required = kwargs.pop("_raise_exceptions_for_missing_entries", True)
    source = hub.locate(path_or_repo_id, **hub.hub_arguments(kwargs))
    found = source.require(filename) if required else source.file(filename)
    return None if found is None else str(found)


def has_file(path_or_repo: str | os.PathLike[str], filename: str, **kwargs: Any) -> bool:
    """Whether a folder or a model on the hub has that file."""
    return filename in hub.locate(path_or_repo, **hub.hub_arguments(kwargs)).names()


def find_adapter_config_file(model_id: str | os.PathLike[str], **kwargs: Any) -> str | None:
    """The path of an adapter's configuration, None where the model has none."""
    if not isinstance(model_id, (str, os.PathLike)) or os.path.isfile(model_id):
        return None
    return cached_file(
        model_id, ADAPTER_CONFIG_NAME, _raise_exceptions_for_missing_entries=False, **hub.hub_arguments(kwargs)
    )


def is_remote_url(url_or_filename: str) -> bool:
    """Whether a name is an address on the web."""
    return str(url_or_filename).startswith(("http://", "https://"))


def http_user_agent(user_agent: dict[str, str] | str | None = None) -> str:
    """What names the program to a server: the package, and what is given."""
    more = "; ".join(f"{k}/{v}" for k, v in user_agent.items()) if isinstance(user_agent, dict) else user_agent
    return "formers" + (f"; {more}" if more else "")


def get_full_repo_name(model_id: str, organization: str | None = None, token: str | None = None) -> str:
    """The name of a model on the hub: of an organization, or of the user whom the token names there."""
    if organization is None:
        from huggingface_hub import HfApi

        organization = HfApi().whoami(token)["name"]
    return f"{organization}/{model_id}"


class PushToHubMixin:
    """For subclasses of a library's own; `push_to_hub` raises ArgumentError that says how to upload."""

    def push_to_hub(self, *_: Any, **__: Any) -> None:
        """Not available here."""
        refuse_push(True)


# ---- vocabularies


def load_vocab(vocab_file: str | os.PathLike[str]) -> dict[str, int]:
    """The tokens of a vocab.txt and their ids, in order."""
    from ..tokenization import read_vocabulary

    return dict(read_vocabulary(Path(vocab_file)))


def whitespace_tokenize(text: str) -> list[str]:
    """The words of a text, cut at white space."""
    return text.split()


# ---- decorators, which older model code has on everything


def add_start_docstrings(*docstr: str) -> Callable[[Function], Function]:
    """Put text before a docstring."""

    def decorate(fn: Function) -> Function:
        fn.__doc__ = "".join(docstr) + (fn.__doc__ or "")
        return fn

    return decorate


def add_end_docstrings(*docstr: str) -> Callable[[Function], Function]:
    """Put text after a docstring."""

    def decorate(fn: Function) -> Function:
        fn.__doc__ = (fn.__doc__ or "") + "".join(docstr)
        return fn

    return decorate


add_start_docstrings_to_model_forward = add_start_docstrings


def add_code_sample_docstrings(*_: Any, **__: Any) -> Callable[[Function], Function]:
    """Leaves the function as it is: there are no samples here to add."""
    return lambda fn: fn


replace_return_docstrings = add_code_sample_docstrings


def auto_docstring(obj: Any = None, **_: Any) -> Any:
    """Leaves the class or function as it is, with arguments or without."""
    return (lambda decorated: decorated) if obj is None else obj


def copy_func(f: types.FunctionType) -> types.FunctionType:
    """A copy of a function, whose docstring can be changed."""
    copied = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
    copied.__kwdefaults__, copied.__doc__, copied.__dict__ = f.__kwdefaults__, f.__doc__, dict(f.__dict__)
    return copied


class ContextManagers(ExitStack):
    """Enters several context managers at once."""

    def __init__(self, context_managers: Iterable[AbstractContextManager[Any]]) -> None:
        super().__init__()
        self.context_managers = list(context_managers)

    def __enter__(self) -> ContextManagers:
        for manager in self.context_managers:
            self.enter_context(manager)
        return self


class CaptureLogger:
    """Inside, what a logger says is kept too: in `out`, once outside."""

    def __init__(self, logger: Logger) -> None:
        self.logger, self.io, self.out = logger, StringIO(), ""
        self.sh = StreamHandler(self.io)

    def __enter__(self) -> CaptureLogger:
        self.logger.addHandler(self.sh)
        return self

    def __exit__(self, *_: Any) -> None:
        self.logger.removeHandler(self.sh)
        self.out = self.io.getvalue()


def strtobool(val: str) -> int:
    """1 for "yes", "true", "on" and such, 0 for their opposites."""
    for number, words in ((1, ("y", "yes", "t", "true", "on", "1")), (0, ("n", "no", "f", "false", "off", "0"))):
        if str(val).lower() in words:
            return number
    raise ArgumentError(f"{val!r} is neither yes nor no.")
