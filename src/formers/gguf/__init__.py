"""From a GGUF file to what a folder of Transformers has: config.json's values, weights under its names, and more.

    file ──checkpoints.gguf──▶ keys, tensors ──▶ config_values       {"model_type": "llama", "hidden_size": 576, …}
                                             ──▶ generation_values   {"eos_token_id": [2, 0], …}
                                             ──▶ tensors             {"model.layers.0.self_attn.q_proj.weight": …}
                                             ──▶ metadata            for the tokenizer, by tokenization.gguf

architectures.py has what differs between families; rope.py finds the scaling of positions; ends.py where texts end;
parts.py the files that a model is split into.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hub
from ..errors import CheckpointError, ConfigError, near
from .parts import is_later, part_names

if TYPE_CHECKING:  # torch is loaded when a file is opened, not before
    import torch

    from ..checkpoints import LazyTensor
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
    source = hub.locate(name, **hub.hub_arguments(kwargs.copy()))
    path = source.require(str(wanted))
    for part in part_names(str(wanted)):
        source.file(part)  # which are downloaded; the reader says what is missing
    if not is_gguf(path):
        raise CheckpointError(f"gguf_file: {str(path)!r} is no GGUF file, by its first bytes. Leave gguf_file out.")
    return path


def only_one(source: hub.Source) -> Path | None:
    """The GGUF file, or the first part of one, that is all that a folder of the caller's own has of a model."""
    names = [name for name in source.names() if "/" not in name] if source.is_local else []
    packed = [name for name in names if name.endswith(".gguf") and not is_later(name)]
    if len(packed) != 1 or "config.json" in names:
        return None
    path = source.file(packed[0])
    return path if path is not None and is_gguf(path) else None


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
        "architectures": [how.head],
        "dtype": "bfloat16" if words.stored else str(words.dtype).removeprefix("torch."),
        **ids,  # None where the file has none: a family's default is of its own vocabulary
        **rope_scaling(model),
        **how.more(model),
        "_name_or_path": str(path),
    }


def generation_values(path: Path) -> dict[str, Any]:
    """What a generation_config.json of the file's model would say. Errors: as `config_values`."""
    from .ends import generation_values

    return generation_values(_opened(path)[0])


def tensors(path: Path, mmap: bool = True, dtype: torch.dtype | None = None) -> dict[str, LazyTensor]:
    """The file's weights by the names that Transformers has for them, as they were before llama.cpp's converter.

    Tensors of no known name keep theirs. What is stored in blocks of integers loads as `dtype`, float32 by default.
    Errors: as `config_values`.
    """
    from .rope import FACTORS

    model, how = _opened(path, mmap, dtype)
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


def metadata(path: Path) -> dict[str, Any]:
    """All keys of the file with their values, of a split model those of its first part. Errors: CheckpointError."""
    from ..checkpoints import gguf
    from ..checkpoints.tensor import MappedFile
    from .parts import first_part

    found = gguf.metadata(MappedFile(path))
    first = first_part(path, found)
    return found if first == path else gguf.metadata(MappedFile(first))


def _opened(path: Path, mmap: bool = True, dtype: torch.dtype | None = None) -> tuple[Model, Architecture]:
    from .architectures import ARCHITECTURES, Model, architecture
    from .parts import contents

    keys, found = contents(path, mmap, dtype)
    name = keys.get("general.architecture")
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(
            f"{str(path)!r}: general.architecture is {str(name)[:80]!r}, and known are {known}."
            f"{near(name, ARCHITECTURES)}"
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
