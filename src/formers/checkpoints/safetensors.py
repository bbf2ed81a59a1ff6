"""The safetensors format: an 8-byte header length, a JSON header, then the tensors' bytes.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from functools import partial
from typing import Any

import torch

from .tensor import LazyTensor, MappedFile, is_shape, is_size

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}


def matches(file: MappedFile) -> bool:
    """Whether a JSON object begins after the length."""
    return file.data[8:9] == b"{"


def read(file: MappedFile) -> dict[str, LazyTensor]:
    """The file's tensors by name."""
    header, start = _header(file)
    metadata = header.get("__metadata__")
    of_flax = isinstance(metadata, dict) and metadata.get("format") == "flax"  # its names, with dots for its slashes
    tensors, spans = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, begin, end = _entry(file, name, entry)
        name = name.replace(".", "/") if of_flax else name
        if name in tensors:
            raise file.broken(f"the tensor {name!r} is in it twice")
        spans.append((begin, end, name))
        load = partial(file.tensor, start + begin, dtype, shape)
        tensors[name] = LazyTensor(name, shape, dtype, file.path, load)
    _check_spans(file, spans, file.size - start)
    return tensors


def _header(file: MappedFile) -> tuple[dict[str, Any], int]:
    (length,) = struct.unpack_from("<Q", file.data)
    # Python objects take some twenty times the room of the JSON that they come from: a header out of proportion to its
    # file would take all memory before the first check.
    most = 10_000_000 + file.size // 25
    if length > file.size - 8:
        raise file.broken(f"its header needs {length:,} bytes, and only {file.size - 8:,} follow")
    if length > most:
        raise file.broken(f"its header of {length:,} bytes is larger than the {most:,} allowed in a file of this size")
    try:
        header = json.loads(file.data[8 : 8 + length].decode(), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise file.broken(f"its header is no valid JSON: {error}") from error
    if not isinstance(header, dict):
        raise file.broken("its header is not a JSON object")
    if len(header) > (names := 50_000 + file.size // 1000):  # each is checked, which takes its time
        raise file.broken(f"its header has {len(header):,} tensors, and a file of this size {names:,} at most")
    return header, 8 + length


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {name!r} is there twice")
    return table


def _entry(file: MappedFile, name: str, entry: Any) -> tuple[torch.dtype, tuple[int, ...], int, int]:
    if not isinstance(entry, dict):
        raise file.broken(f"the header's entry for {name!r} is not an object")
    kind, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    dtype = DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise file.broken(f"the tensor {name!r} has the unknown dtype {kind!r}; known are {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not is_shape(shape):
        raise file.broken(f"the tensor {name!r} has no valid shape")
    if not isinstance(span, list) or len(span) != 2 or not all(map(is_size, span)) or span[0] > span[1]:
        raise file.broken(f"the tensor {name!r} has no valid data_offsets")
    need = math.prod(shape) * dtype.itemsize
    if need != span[1] - span[0]:
        raise file.broken(
            f"the tensor {name!r} of shape {shape} and dtype {kind} needs {need:,} bytes, has {span[1] - span[0]:,}"
        )
    return dtype, tuple(shape), span[0], span[1]


def _check_spans(file: MappedFile, spans: list[tuple[int, int, str]], room: int) -> None:
    last = 0
    for begin, end, name in sorted(spans):
        if begin != last:
            what = "overlaps the one before it" if begin < last else f"leaves {begin - last:,} unused bytes before it"
            raise file.broken(f"the tensor {name!r} {what}")
        last = end
    if last != room:
        raise file.broken(f"its tensors need {last:,} bytes after the header, and it has {room:,}")
