"""From a GGUF file to what a folder of Transformers has: config.json's values, weights under its names, a tokenizer.

    file ──checkpoints.gguf──▶ keys, tensors ──▶ config_values   {"model_type": "llama", "hidden_size": 576, …}
                                             ──▶ tensors         {"model.layers.0.self_attn.q_proj.weight": …}
                                             ──▶ tokenizer       by tokenization.gguf

architectures.py has what differs between families; rope.py finds the scaling of positions.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hub
from ..config import PretrainedConfig
from ..errors import CheckpointError, ConfigError, near

if TYPE_CHECKING:  # torch is loaded when a file is opened, not before
    from ..checkpoints import LazyTensor
    from ..tokenization import PreTrainedTokenizer
    from .architectures import Architecture, Model

_IDS = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}


def is_gguf(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there that begins as GGUF files do."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False  # the reader of the file tells it better


def given(name: Any, kwargs: dict[str, Any]) -> Path | None:
    """The GGUF file that a call of from_pretrained means; None where it means none.

    It is `name` itself, the path of one, or `gguf_file` in the folder or on the hub; that is taken out of `kwargs`.
    Errors: NotFoundError for one that is not there, CheckpointError for one that is another file.
    """
    wanted = kwargs.pop("gguf_file", None)
    if wanted is None:
        named = isinstance(name, (str, os.PathLike)) and is_gguf(os.path.expanduser(name))
        return Path(os.path.expanduser(name)) if named else None
    path = hub.locate(name, **hub.hub_arguments(kwargs.copy())).require(str(wanted))
    if not is_gguf(path):
        raise CheckpointError(f"gguf_file: {str(path)!r} is no GGUF file, by its first bytes. Leave gguf_file out.")
    return path


def config(kind: type[PretrainedConfig], path: Path) -> PretrainedConfig:
    """The file's configuration, of a class. Errors: as `config_values`, and ConfigError for one of another family."""
    values = config_values(path)
    if kind.model_type and values["model_type"] != kind.model_type:
        raise ConfigError(
            f"{str(path)!r}: model_type is {values['model_type']!r}, but {kind.__name__} is for {kind.model_type!r}. "
            "Load it with the Auto classes, or with the class of its own family."
        )
    made: PretrainedConfig = kind.from_dict(values)
    return made


def config_values(path: Path) -> dict[str, Any]:
    """What a config.json of the file's model would say.

    Errors: CheckpointError for a broken file; ConfigError for an architecture, or something of it, that is not known.
    """
    from .rope import rope_scaling

    model, how = _opened(path)
    values: dict[str, Any] = {ours: model.value(key) for key, ours in how.keys.items() if key in model.keys}
    words = model.tensors.get("token_embd.weight")
    if words is None or len(words.shape) != 2:
        raise CheckpointError(
            f"{str(path)!r} has no tensor token_embd.weight with two dimensions: it is no whole model."
        )
    ids = {ours: model.all_keys.get(f"tokenizer.ggml.{key}_token_id") for ours, key in _IDS.items()}
    return {
        "model_type": how.model_type or model.architecture,
        **values,
        "vocab_size": words.shape[0],
        "tie_word_embeddings": how.ties or "output.weight" not in model.tensors,
        "dtype": str(words.dtype).removeprefix("torch."),
        **ids,  # None where the file has none: a family's default is of its own vocabulary
        **rope_scaling(model),
        **how.more(model),
        "_name_or_path": str(path),
    }


def tensors(path: Path, mmap: bool = True) -> dict[str, LazyTensor]:
    """The file's weights by the names that Transformers has for them, as they were before llama.cpp's converter.

    Tensors of no known name keep theirs. Errors: as `config_values`.
    """
    from .rope import FACTORS

    model, how = _opened(path, mmap)
    found: dict[str, LazyTensor] = {}
    for name, tensor in model.tensors.items():
        if name in FACTORS or (how.ties and name == "output.weight"):
            continue  # what the configuration tells, and a copy of the embedding
        new = _renamed(how, name)
        if new in found:
            raise CheckpointError(
                f"{str(path)!r}: two tensors are {new[:200]!r} in a model, one of them {name[:200]!r}."
            )
        found[new] = replace(how.undone(model, name, tensor), name=new)
    return found


def tokenizer(path: Path, **options: Any) -> PreTrainedTokenizer:
    """The tokenizer within the file; keywords override what it says. Errors: CheckpointError, TokenizerError."""
    from ..checkpoints import gguf
    from ..checkpoints.tensor import MappedFile
    from ..tokenization import PreTrainedTokenizer
    from ..tokenization.gguf import from_metadata

    hub.hub_arguments(options)
    PreTrainedTokenizer._check_names(options)
    return from_metadata(gguf.metadata(MappedFile(path)), str(path), **options)


def _opened(path: Path, mmap: bool = True) -> tuple[Model, Architecture]:
    from ..checkpoints import gguf
    from ..checkpoints.tensor import MappedFile
    from .architectures import ARCHITECTURES, Model, architecture

    keys, found = gguf.contents(MappedFile(path, mmap))
    name = keys.get("general.architecture")
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(
            f"{str(path)!r}: general.architecture is {str(name)[:80]!r}, and known are {known}."
            f"{near(name, ARCHITECTURES)}"
        )
    if (parts := keys.get("split.count", 0)) not in (0, 1):
        raise ConfigError(
            f"{str(path)!r} is one of {str(parts)[:20]} files that the model is split into. Join them by "
            "`llama-gguf-split --merge FIRST JOINED`, and load that."
        )
    start = f"{name}."
    own = {key.removeprefix(start): value for key, value in keys.items() if key.startswith(start)}
    model = Model(path, name, own, keys, found)
    return model, architecture(model)


def _renamed(how: Architecture, name: str) -> str:
    from .architectures import LAYER

    if (layer := LAYER.fullmatch(name)) is not None and layer[2] in how.inner:
        return f"{how.layers}.{layer[1]}.{how.inner[layer[2]]}.{layer[3]}"
    first, _, last = name.rpartition(".")
    return f"{how.outer[first]}.{last}" if first in how.outer else name
