"""`formers info`: what a model is."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import ConfigError, FormersError, NotFoundError
from .output import declare_json, show, table

ABOUT = "show what a model is, without loading its weights"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="folder, GGUF file, or hub name, of which weights are not downloaded"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    from .. import gguf, hub
    from ..config import required_values

    file = Path(given.model).expanduser() if gguf.is_gguf(Path(given.model).expanduser()) else None
    source = hub.locate(file.parent if file else given.model, revision=given.revision)
    if (packed := file or gguf.only_one(source)) is not None:
        facts = _facts_of_packed(packed)
        show(given, facts, table(facts))
        return
    values = required_values(source)
    facts = {
        "model": source.name,
        "commit": source.commit,
        "folder": str(source.folder),
        "architecture": ", ".join(map(str, values.get("architectures") or [])) or None,
        "model_type": values.get("model_type"),
        **_config_facts(values),
        **_weight_facts(source, values),
        "tokenizer": _tokenizer_facts(given.model, source.commit or given.revision),
        "files": [{"name": name, "bytes": _size(source.folder / name)} for name in source.names()],
    }
    show(given, facts, table(facts))


def _facts_of_packed(path: Path) -> dict[str, Any]:
    from .. import gguf

    values, tensors = gguf.config_values(path), gguf.tensors(path)
    types = Counter(lazy.stored or str(lazy.dtype).removeprefix("torch.") for lazy in tensors.values())
    files = {lazy.file: None for lazy in tensors.values()}
    said = gguf.metadata(path)
    return {
        "model": str(path),
        "name": said.get("general.name"),
        "licence": said.get("general.license"),
        "architecture": ", ".join(values["architectures"]),
        "model_type": values["model_type"],
        **_config_facts(values),
        "parameters": sum(math.prod(lazy.shape) for lazy in tensors.values()),
        "dtype": values["dtype"],
        "stored": dict(types.most_common()),
        "generation": gguf.generation_values(path),
        "tokenizer": _tokenizer_facts(str(path), None),
        "files": [{"name": file.name, "bytes": _size(file)} for file in files],
    }


def _config_facts(values: dict[str, Any]) -> dict[str, Any]:
    from ..classes import config_class

    try:
        config = config_class(str(values.get("model_type")), "config.json").from_dict(values)
    except ConfigError as error:
        return {"supported": False, "problem": str(error)}
    keys = {
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "hidden_size": "hidden_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    labels = list(config.id2label.values()) if "id2label" in values else None
    return {"supported": True} | {key: getattr(config, name, None) for key, name in keys.items()} | {"labels": labels}


def _weight_facts(source: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Parameters and types: from the headers of weight files on this machine, else as the configuration plans them."""
    from .. import checkpoints, hub
    from ..checkpoints.names import torch_names

    try:
        here = source if source.is_local else hub.locate(source.name, revision=source.commit, local_files_only=True)
        tensors = torch_names(checkpoints.open_checkpoint(checkpoints.find_weights(here))).values()
    except NotFoundError:
        return {"parameters": _planned_parameters(values), "dtype": values.get("dtype") or values.get("torch_dtype")}
    weights = [tensor for tensor in tensors if tensor.dtype.is_floating_point]
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in weights})
    return {"parameters": sum(math.prod(tensor.shape) for tensor in weights), "dtype": ", ".join(types)}


def _planned_parameters(values: dict[str, Any]) -> int | None:
    import torch

    from .. import registry
    from ..loading import Unfilled

    found: list[Any] = [registry.find_class(str(name)) for name in values.get("architectures") or []]
    for kind in filter(None, found):
        with torch.device("meta"), Unfilled():
            return int(kind(kind.config_class.from_dict(values)).num_parameters())
    return None


def _tokenizer_facts(model: str, revision: str | None) -> dict[str, Any] | None:
    from ..auto import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    except FormersError as error:
        return {"problem": str(error)}
    limit = tokenizer.model_max_length
    return {
        "class": type(tokenizer).__name__,
        "vocabulary": len(tokenizer),
        "model_max_length": int(limit) if limit < 10**9 else None,
        "special_tokens": list(tokenizer.all_special_tokens),
    }


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
