"""Flax files: every array right and lazy; whatever is wrong with one is a FormersError that names it, soon."""

from __future__ import annotations

import json
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from damage import flipped, patched
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.checkpoints import flax_msgpack, open_checkpoint
from formers.checkpoints.tensor import LazyTensor, MappedFile
from formers.errors import CheckpointError, FormersError
from tests.clock import within


def packed(shape: Any, kind: Any, data: Any, code: int = 1) -> msgpack.ExtType:
    """An array as Flax packs it, its parts as they are given."""
    return msgpack.ExtType(code, msgpack.packb((shape, kind, data)))


def array(values: np.ndarray, code: int = 1) -> msgpack.ExtType:
    return packed(values.shape, values.dtype.name, values.tobytes(), code)


def chunked(values: np.ndarray, size: int) -> dict[str, Any]:
    flat = values.reshape(-1)
    chunks = [flat[i : i + size] for i in range(0, flat.size, size)]
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(i): n for i, n in enumerate(values.shape)},
        "chunks": {str(i): array(chunk) for i, chunk in enumerate(chunks)},
    }


KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
STATE = {
    "bert": {"embeddings": {"embedding": array(KERNEL)}, "layer": {"0": {"bias": array(np.ones(3, np.float16))}}},
    "cls": {"scale": array(np.float32(2.5), code=3), "big": chunked(np.arange(20, dtype=np.int32).reshape(4, 5), 6)},
}
CONTENT = msgpack.packb(STATE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flax_model.msgpack"


def read(path: Path, tree: Any, mmap: bool = True) -> dict[str, LazyTensor]:
    path.write_bytes(tree if isinstance(tree, bytes) else msgpack.packb(tree))
    file = MappedFile(path, mmap=mmap)
    assert flax_msgpack.matches(file)
    return flax_msgpack.read(file)


def refused(path: Path, tree: Any, words: str) -> None:
    with within(2), pytest.raises(CheckpointError, match=words) as caught:
        read(path, tree)
    assert str(path) in str(caught.value)


def opened(path: Path, data: bytes) -> bool:
    """Whether a file opens and loads; only a FormersError may say no."""
    path.write_bytes(data)
    try:
        file = MappedFile(path)
        if not flax_msgpack.matches(file):
            return False
        for lazy in flax_msgpack.read(file).values():
            assert tuple(lazy.load().shape) == lazy.shape
    except FormersError as error:
        assert str(path) in str(error)  # noqa: PT017
        return False
    return True


# What Flax writes


@pytest.mark.parametrize("mmap", [True, False])
def test_names_shapes_types_and_values(path: Path, mmap: bool) -> None:
    tensors = read(path, CONTENT, mmap)
    assert {name: (lazy.shape, lazy.dtype) for name, lazy in tensors.items()} == {
        "bert/embeddings/embedding": ((2, 3), torch.float32),
        "bert/layer/0/bias": ((3,), torch.float16),
        "cls/scale": ((), torch.float32),
        "cls/big": ((4, 5), torch.int32),
    }
    assert all(lazy.name == name and lazy.file == path for name, lazy in tensors.items())
    assert tensors["bert/embeddings/embedding"].load().tolist() == KERNEL.tolist()
    assert tensors["bert/layer/0/bias"].load().tolist() == [1, 1, 1]
    assert tensors["cls/scale"].load().item() == 2.5
    assert tensors["cls/big"].load().equal(torch.arange(20, dtype=torch.int32).view(4, 5))


@pytest.mark.parametrize("kind", flax_msgpack.DTYPES)
def test_dtypes(path: Path, kind: str) -> None:
    dtype = flax_msgpack.DTYPES[kind]
    values = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(dtype)
    raw = values.view(torch.uint8).numpy().tobytes()
    tensor = read(path, {"a": packed((3, 2), kind, raw)})["a"]
    assert tensor.dtype == dtype
    assert tensor.load().view(torch.uint8).equal(values.view(torch.uint8))


@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (1,), (1,) * 20, (300,), (70_000,), (2, 3, 4)])
def test_shapes(path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.RandomState(0).randn(*shape).astype(np.float32) if shape else np.array(3, np.float32)
    found = read(path, {"a": array(values), "b": {"c": array(values)}})
    for name in ("a", "b/c"):
        assert found[name].shape == shape
        assert found[name].load().equal(torch.from_numpy(values))


def test_many_keys_and_long_ones(path: Path) -> None:
    many = {"k" * 300 + str(i): {"é": array(np.array([i]))} for i in range(70)}
    tensors = read(path, many)
    assert [lazy.load().item() for lazy in tensors.values()] == list(range(70))
    assert next(iter(tensors)) == "k" * 300 + "0/é"
    wide = b"\xdf" + struct.pack(">I", 1) + b"\xdb" + struct.pack(">I", 1) + b"a" + msgpack.packb(array(KERNEL))
    assert list(read(path, wide)) == ["a"]


def test_nothing_but_the_heads_is_read(path: Path) -> None:
    large = np.zeros(8_000_000, np.float32)
    path.write_bytes(msgpack.packb({"a": array(large), "b": chunked(large, 3_000_000)}))
    del large
    file = MappedFile(path)
    tracemalloc.start()
    tensors = flax_msgpack.read(file)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert tensors["b"].load().shape == tensors["a"].load().shape == (8_000_000,)


def test_tensors_may_be_changed_and_the_file_stays(path: Path) -> None:
    tensors = read(path, CONTENT)
    for lazy in tensors.values():
        lazy.load().fill_(7)
    assert path.read_bytes() == CONTENT


def test_without_msgpack(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    refused(path, CONTENT, "pip install msgpack")


def test_shards(tmp_path: Path) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": {}}
    for number, (name, value) in enumerate([("a", KERNEL), ("b", KERNEL + 1)]):
        file = f"flax_model-0000{number + 1}-of-00002.msgpack"
        (tmp_path / file).write_bytes(msgpack.packb({"bert": {name: array(value)}}))
        index["weight_map"][f"bert/{name}"] = file
    (tmp_path / "flax_model.msgpack.index.json").write_text(json.dumps(index))
    tensors = open_checkpoint(tmp_path / "flax_model.msgpack.index.json")
    assert len(tensors) == 2
    assert sorted(float(lazy.load().sum()) for lazy in tensors.values()) == [15, 21]


# Training states


MODEL = {"layer": {"kernel": array(KERNEL)}}
MOMENTS = {"0": {"mu": MODEL, "nu": MODEL, "count": array(np.int32(3))}, "1": {}}


@pytest.mark.parametrize(
    "state",
    [
        MODEL,
        {"params": MODEL},
        {"params": {"params": MODEL}},
        {"model": {"params": MODEL}, "step": 4},
        {"step": 4, "params": MODEL, "opt_state": MOMENTS, "note": "x", "rate": 0.5, "none": None, "z": 1j},
        {"state": {"step": array(np.int32(3)), "params": {"params": MODEL}, "opt_state": {"0": {"params": MODEL}}}},
        {"params": MODEL, "ema": {"params": MODEL}},
        {"step": 2**63, "list": [1, [2, {"a": "b"}], b"c"], **MODEL},
        {"complex": msgpack.ExtType(2, msgpack.packb((1.0, 2.0))), **MODEL},
    ],
    ids=range(9),
)
def test_training_states(path: Path, state: dict[str, Any]) -> None:
    tensors = read(path, msgpack.packb(state, default=lambda z: msgpack.ExtType(2, msgpack.packb((z.real, z.imag)))))
    assert list(tensors) == ["layer/kernel"]
    assert tensors["layer/kernel"].load().tolist() == KERNEL.tolist()


def test_several_models(path: Path) -> None:
    refused(path, {"a": {"params": MODEL}, "b": {"params": MODEL}}, "several sets of params, in '/a', '/b'")
    refused(path, {"a": {"m": {"params": MODEL}}, "b": {"m": {"params": MODEL}}}, "in '/a/m', '/b/m'")


# Broken and hostile files


def nested(depth: int) -> bytes:
    return b"\x81\xa1a" * depth + msgpack.packb(array(KERNEL))


def bomb(tag: bytes, size: bytes) -> bytes:
    return b"\x81\xa1a" + tag + size + b"\x01" + b"x" * 20


def extension(payload: bytes) -> bytes:
    return b"\x81\xa1a" + b"\xc7" + bytes([len(payload)]) + b"\x01" + payload


FOUR = b"\0" * 4
HUGE = b"\xff" * 4
ATTACKS: dict[str, tuple[Any, str]] = {
    "more at the end": (CONTENT + b"\xc0", "goes on after its end"),
    "two objects": (CONTENT + CONTENT, "goes on after its end"),
    "no arrays": ({"a": {}, "b": 1}, "no arrays"),
    "an array alone": (b"\x81\xa1a\x93" + HUGE, "goes on"),
    "chunks alone": (chunked(KERNEL, 2), "no arrays with names"),
    "deep": (nested(33), "more than 32 others"),
    "very deep": (nested(200_000), "more than 32 others"),
    "deep lists": (b"\x81\xa1a" + b"\x91" * 200_000 + b"\xc0", "cut, or a list"),
    "long list": ({"a": [1] * 2000}, "a list or text"),
    "long text": ({"a": "x" * 2000}, "a list or text"),
    "endless list": (b"\x81\xa1a\xdd" + HUGE, "a list or text"),
    "endless text": (b"\x81\xa1a\xdb" + HUGE, "a list or text"),
    "endless bytes": (b"\x81\xa1a\xc6" + HUGE, "a list or text"),
    "endless map": (b"\xdf" + HUGE + b"\xa1a\xc0", "4,294,967,295 entries in the last"),
    "endless inner map": (b"\x81\xa1a\xdf" + HUGE + b"\xa1a\xc0", "4,294,967,295 entries in the last"),
    "map without entries": (b"\x82\xa1a\xc0", "cut|entries|no text"),
    "endless key": (b"\x81\xdb" + HUGE + b"a" * 20, "no text of up to 1,000 bytes"),
    "long key": ({"k" * 1001: array(KERNEL)}, "no text of up to 1,000 bytes"),
    "key that is no UTF-8": (b"\x81\xa1\xff\xc0", "no text"),
    "bytes as key": ({"a": {b"b": array(KERNEL)}}, "no text"),
    "number as key": ({"a": {1: array(KERNEL)}}, "no text"),
    "map as key": (b"\x81\xa1a\x81\x80\xc0", "no text"),
    "twice": (b"\x82" + msgpack.packb("a") * 1 + b"\x01" + msgpack.packb("a") + b"\x02", "the key 'a' twice"),
    "twice, by a slash": ({"a/b": array(KERNEL), "a": {"b": array(KERNEL)}}, "'a/b' is in it twice"),
    "ext8 beyond": (bomb(b"\xc7", b"\xff"), "needs 261 bytes of file"),
    "ext16 beyond": (bomb(b"\xc8", b"\xff\xff"), "bytes of file"),
    "ext32 beyond": (bomb(b"\xc9", HUGE), "needs 4,294,967,304 bytes of file"),
    "ext cut in its length": (b"\x81\xa1a\xc9\x00", "bytes of file"),
    "unknown kind of object": ({"a": msgpack.ExtType(5, b"abcd")}, "unknown kind 5"),
    "time": ({"a": msgpack.Timestamp(1)}, "unknown kind 255"),
    "fixext": ({"a": msgpack.ExtType(1, b"a")}, "no valid array"),
    "empty ext": (extension(b""), "no valid array"),
    "object dtype": ({"a": packed((1,), "object", FOUR * 2)}, "unknown dtype 'object'"),
    "text dtype": ({"a": packed((1,), "str32", FOUR)}, "unknown dtype 'str32'"),
    "list as dtype": ({"a": packed((1,), ["float32"], FOUR)}, "unknown dtype"),
    "bytes as dtype": ({"a": packed((1,), b"float32", FOUR)}, "unknown dtype"),
    "no dtype": ({"a": packed((1,), None, FOUR)}, "unknown dtype None"),
    "text as data": ({"a": packed((1,), "float32", "abcd")}, "no valid array"),
    "list as data": ({"a": packed((1,), "float32", [1.0])}, "no valid array"),
    "two parts": ({"a": msgpack.ExtType(1, msgpack.packb(((1,), "float32")))}, "no valid array"),
    "four parts": ({"a": msgpack.ExtType(1, msgpack.packb(((1,), "float32", FOUR, FOUR)))}, "no valid array"),
    "map as array": ({"a": msgpack.ExtType(1, msgpack.packb({"shape": 1}))}, "no valid array"),
    "too little data": ({"a": packed((2,), "float32", FOUR)}, "needs 8 bytes, has 4"),
    "too much data": ({"a": packed((1,), "float32", FOUR * 2)}, "needs 4 bytes, has 8"),
    "data longer than its object": (extension(b"\x93\x91\x01\xa5uint8\xc4\x02a"), "has 1"),
    "data shorter than its object": (extension(b"\x93\x91\x01\xa5uint8\xc4\x01aa"), "has 2"),
    "endless data": (extension(b"\x93\x91\x01\xa5uint8\xc6" + HUGE), "needs 1 bytes, has 0"),
    "negative": ({"a": packed((-1,), "float32", FOUR)}, "no valid shape"),
    "two negatives": ({"a": packed((-1, -1), "float32", FOUR)}, "no valid shape"),
    "fraction": ({"a": packed((1.0,), "float32", FOUR)}, "no valid shape"),
    "truth": ({"a": packed((True,), "float32", FOUR)}, "no valid shape"),
    "number as shape": ({"a": packed(1, "float32", FOUR)}, "no valid shape"),
    "map as shape": ({"a": packed({"0": 1}, "float32", FOUR)}, "no valid shape"),
    "shape of maps of maps": (extension(b"\x93\x91\x81\x80\x01\xa1a\xc4\x00"), "no valid array"),
    "shape of many lists": (extension(b"\x93" + b"\xdc\x03\xe8" * 60), "no valid array"),
    "huge": ({"a": packed((2**63,), "float32", FOUR)}, "no valid shape"),
    "huge and empty": ({"a": packed((2**40, 2**40, 0), "float32", b"")}, "no valid shape"),
    "large": ({"a": packed((2**40,), "float32", FOUR)}, "needs 4,398,046,511,104 bytes, has 4"),
    "65 dimensions": ({"a": packed((1,) * 65, "float32", FOUR)}, "no valid shape"),
    "very many dimensions": ({"a": packed((1,) * 5000, "float32", FOUR)}, "no valid array"),
    "chunks of two types": (
        {"a": {**chunked(KERNEL, 3), "chunks": {"0": array(KERNEL[0]), "1": array(np.zeros(3))}}},
        "2 dtypes",
    ),
    "chunk missing": ({"a": {**chunked(KERNEL, 3), "chunks": {"0": array(KERNEL[0])}}}, "3 elements"),
    "chunk out of order": (
        {"a": {**chunked(KERNEL, 3), "chunks": {"0": array(KERNEL[0]), "2": array(KERNEL[1])}}},
        "no valid array in chunks",
    ),
    "chunk with two dimensions": (
        {"a": {**chunked(KERNEL, 3), "chunks": {"0": array(KERNEL)}}},
        "no valid array in chunks",
    ),
    "chunk that is a number": ({"a": {**chunked(KERNEL, 3), "chunks": {"0": 1}}}, "no valid array in chunks"),
    "no chunks": ({"a": {**chunked(KERNEL, 3), "chunks": {}}}, "no valid array in chunks"),
    "list of chunks": ({"a": {**chunked(KERNEL, 3), "chunks": [1]}}, "no valid array in chunks"),
    "huge shape of chunks": ({"a": {**chunked(KERNEL, 3), "shape": {"0": 2**40}}}, "has chunks of 6"),
    "negative shape of chunks": ({"a": {**chunked(KERNEL, 3), "shape": {"0": -6}}}, "no valid array in chunks"),
    "shape of chunks that is text": ({"a": {**chunked(KERNEL, 3), "shape": "6"}}, "chunks"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(path: Path, attack: str) -> None:
    refused(path, *ATTACKS[attack])


def test_what_is_not_flax(path: Path) -> None:
    for data in (
        b"\x80",
        b"\x81",
        b"\x81\x01\x02",
        b"\xde\x00",
        b"\xdf\x00\x00\x00\x01",
        b"\x89HDF\r\n\x1a\n",
        b"{}",
        b"\x92",
    ):
        path.write_bytes(data)
        assert not flax_msgpack.matches(MappedFile(path))


MANY = {
    "arrays": lambda one: {str(i): one for i in range(1_000_000)},
    "maps": lambda _: {str(i): {} for i in range(1_000_000)},
    "nothings": lambda _: {str(i): None for i in range(1_000_000)},
    "long names": lambda one: {"k" * 900: {"m" * 900: {f"{i:0900}": one for i in range(20_000)}}},
    "chunks": lambda one: {"a": {**chunked(KERNEL, 3), "chunks": {str(i): one for i in range(1_000_000)}}},
}


@pytest.mark.parametrize("many", MANY)
def test_very_many_entries(path: Path, many: str) -> None:
    path.write_bytes(msgpack.packb(MANY[many](array(np.zeros(1, np.int8)))))
    file = MappedFile(path)
    with within(2), pytest.raises(CheckpointError, match="its names are more than"):
        flax_msgpack.read(file)


def test_as_many_entries_as_may_be(path: Path) -> None:
    path.write_bytes(msgpack.packb(dict.fromkeys(map(str, range(30_000)), array(np.zeros(1, np.int8)))))
    file = MappedFile(path)
    with within(2):
        assert len(flax_msgpack.read(file)) == 30_000
    tracemalloc.start()
    assert flax_msgpack.read(file)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_cut_anywhere(path: Path) -> None:
    for size in [*range(1, len(CONTENT), 16), len(CONTENT) - 1]:
        assert not opened(path, CONTENT[:size]), size


def test_flips(path: Path) -> None:
    @settings(max_examples=300, deadline=None, database=None)
    @given(flipped(CONTENT))
    def check(changed: bytes) -> None:
        opened(path, changed)

    check()


def test_insertions_and_deletions(path: Path) -> None:
    @settings(max_examples=200, deadline=None, database=None)
    @given(patched(CONTENT))
    def check(changed: bytes) -> None:
        opened(path, changed)

    check()


def test_noise(path: Path) -> None:
    @settings(max_examples=200, deadline=None, database=None)
    @given(st.binary(max_size=100), st.sampled_from([b"\x81\xa1a", b"\x81\xa1a\xc7\x20\x01\x93", b"\xde\x00\x02\xa1a"]))
    def check(data: bytes, head: bytes) -> None:
        opened(path, head + data)

    check()
