"""Models that are split into several GGUF files: NAME-00001-of-00003.gguf and so on. The first has all keys.

Source: https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from ..checkpoints import LazyTensor

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def part_names(name: str) -> list[str]:
    """The names of all parts, the first one first, by the name of any; none where that is no part's name."""
    found = _PART.fullmatch(name)
    return [f"{found[1]}-{i:05}-of-{found[3]}.gguf" for i in range(1, int(found[3]) + 1)] if found else []


def is_later(name: str) -> bool:
    """Whether a name is that of another part than the first."""
    found = _PART.fullmatch(name)
    return found is not None and found[2] != "00001"


def first_part(path: Path, keys: Mapping[str, Any]) -> Path:
    """The file with all keys of the model of which `path`, with these keys, may be a part. Errors: as `contents`."""
    return _parts(path, keys)[0]


def contents(
    path: Path, mmap: bool = True, dtype: torch.dtype | None = None
) -> tuple[dict[str, Any], dict[str, LazyTensor]]:
    """Keys and tensors of a file, and of all that it belongs to, whichever of them `path` is.

    What is stored in blocks of integers loads as `dtype`, float32 by default.
    Errors: CheckpointError for a file that is broken, a part that is missing, and parts of different models.
    """
    import torch

    from ..checkpoints import gguf
    from ..checkpoints.tensor import MappedFile

    def opened(part: Path) -> tuple[dict[str, Any], dict[str, LazyTensor]]:
        return gguf.contents(MappedFile(part, mmap), dtype or torch.float32)

    given = opened(path)
    parts = _parts(path, given[0])
    if len(parts) == 1:
        return given
    keys: dict[str, Any] = {}
    tensors: dict[str, LazyTensor] = {}
    for number, part in enumerate(parts):
        said, found = given if part == path else opened(part)
        if (said.get("split.no"), said.get("split.count")) != (number, len(parts)):
            where = f"{str(said.get('split.no'))[:20]} (from 0) of {str(said.get('split.count'))[:20]}"
            raise CheckpointError(f"{str(part)!r} says that it is part {where}, and its name says otherwise.")
        if twice := next((name for name in found if name in tensors), None):
            raise CheckpointError(f"The tensor {twice[:200]!r} is in {str(tensors[twice].file)!r} and {str(part)!r}.")
        keys, tensors = keys or said, {**tensors, **found}
    if (wanted := keys.get("split.tensors.count", len(tensors))) != len(tensors):
        raise CheckpointError(
            f"{str(parts[0])!r} counts {str(wanted)[:20]} tensors in {len(parts):,} parts, and there are "
            f"{len(tensors):,}: they are of different models, or broken. Download all parts again."
        )
    return keys, tensors


def _parts(path: Path, keys: Mapping[str, Any]) -> list[Path]:
    count = keys.get("split.count", 1)
    if count in (0, 1):
        return [path]
    names = part_names(path.name)
    if len(names) != count:
        raise CheckpointError(
            f"{str(path)!r} is one of {str(count)[:20]} files that the model is split into, which its name does not "
            "say: give each the name that it had, NAME-00001-of-00003.gguf and so on."
        )
    for name in names:
        if not (path.parent / name).is_file():
            raise CheckpointError(
                f"{str(path)!r} is one of {count:,} files that the model is split into, and {name!r} is not beside it. "
                "Get that too."
            )
    return [path.parent / name for name in names]
