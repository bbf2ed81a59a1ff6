"""How a small valid model folder is made, and changed into a hostile one."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

RAN = "ran"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##a", "##b", "!", "the", "of"]
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 16,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
}


@dataclass(frozen=True)
class Attack:
    """How a valid folder is made hostile.

    Attributes:
        make: changes the folder.
        door: what the attack is for: "model", "tokenizer" or "config".
        loads: whether what it changes is simply not heeded, so that the folder loads as a valid one does.
        options: keywords for the call that loads it.
    """

    make: Callable[[Path], object]
    door: str
    loads: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def valid(folder: Path) -> None:
    """Write a small BERT and its tokenizer."""
    import formers

    torch.manual_seed(0)
    formers.BertModel(formers.BertConfig(**CONFIG)).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    formers.BertTokenizer(folder / "vocab.txt").save_pretrained(folder)


def config(**values: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | values))


def content(name: str, data: bytes | str | Callable[[], bytes]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        raw = data() if callable(data) else data
        (folder / name).write_bytes(raw.encode() if isinstance(raw, str) else raw)

    return make


def merged(name: str, **values: Any) -> Callable[[Path], None]:
    """The JSON file with these keys."""

    def make(folder: Path) -> None:
        path = folder / name
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | values))

    return make


def link(name: str, target: str) -> Callable[[Path], None]:
    """The file is a link; a target that begins with './' is made first, beside the folder."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if target.startswith("./"):
            outside = folder.parent / f"{folder.name}-outside"
            outside.write_bytes(tensors({"x": "U8"}) if name.endswith("safetensors") else b"secret\n")
            (folder / name).symlink_to(outside)
        else:
            (folder / name).symlink_to(target)

    return make


def fifo(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def instead(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Other weights, under `name`, instead of the safetensors."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        made = make(folder)
        if isinstance(made, bytes):
            (folder / name).write_bytes(made)

    return change


def index(shard: str, *more: Callable[[Path], object]) -> Callable[[Path], None]:
    """An index that says that all is in `shard`."""

    def make(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder.parent / f"{folder.name}-secret.safetensors")
        where = shard.format(folder=folder, secret=f"{folder.name}-secret.safetensors")
        text = json.dumps({"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": where}})
        (folder / "model.safetensors.index.json").write_text(text)
        for change in more:
            change(folder)

    return make


def deep(before: str = "", after: str = "") -> bytes:
    return (before + '{"a":' * 200_000 + "1" + "}" * 200_000 + after).encode()


def header(text: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensors(dtypes: dict[str, str]) -> bytes:
    entries = {n: {"dtype": d, "shape": [0], "data_offsets": [0, 0]} for n, d in dtypes.items()}
    return header(json.dumps(entries).encode())
