"""GGUF: files and numbers by llama.cpp's package `gguf`, files made by hand, and what damage and malice do to them."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import gguf as theirs
import numpy as np
import pytest
import torch
from damage import flipped, patched
from gguf.quants import dequantize
from hypothesis import given, settings

from formers.checkpoints import ggml, gguf, open_checkpoint
from formers.checkpoints.tensor import LazyTensor, MappedFile
from formers.errors import CheckpointError
from tests.clock import within

Kind = theirs.GGMLQuantizationType
READ = [Kind.F32, Kind.F16, Kind.BF16, *(Kind(number) for number in ggml.BLOCKS)]


def read(path: Path) -> dict[str, LazyTensor]:
    file = MappedFile(path)
    if not gguf.matches(file):
        raise file.broken("it does not begin as GGUF does")
    gguf.metadata(file)
    return gguf.read(file)


def loaded(path: Path) -> dict[str, torch.Tensor]:
    tensors = read(path)
    values = {name: tensor.load() for name, tensor in tensors.items()}
    for name, value in values.items():
        assert (tuple(value.shape), value.dtype) == (tensors[name].shape, tensors[name].dtype)
    return values


def write(path: Path, tensors: dict[str, tuple[np.ndarray, Kind]], **keys: Any) -> None:
    """Write tensors, given as their bytes, and some keys of every kind."""
    writer = theirs.GGUFWriter(path, "llama")
    for key, value in keys.items():
        writer.add_key_value(key, *value)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def drawn(kind: Kind, *sizes: int, seed: int = 0) -> np.ndarray:
    """Any bytes, of so many numbers in rows."""
    numbers, size = theirs.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(seed).bytes(int(np.prod(sizes)) // numbers * size)
    return np.frombuffer(data, np.uint8).reshape(*sizes[:-1], -1).copy()


# What the package writes, and its numbers


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.name)
def test_numbers_are_those_of_the_package(tmp_path: Path, kind: Kind) -> None:
    data = {"one": drawn(kind, 512), "two": drawn(kind, 3, 256, seed=1), "three": drawn(kind, 2, 3, 512, seed=2)}
    write(tmp_path / "x.gguf", {name: (raw, kind) for name, raw in data.items()})
    found = loaded(tmp_path / "x.gguf")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "one": (512,),
        "two": (3, 256),
        "three": (2, 3, 512),
    }
    for name, raw in data.items():
        with np.errstate(all="ignore"):
            expected = dequantize(raw, kind)
        np.testing.assert_array_equal(found[name].float().numpy(), expected)


def test_many_blocks_and_another_type(tmp_path: Path) -> None:
    rows = (2 * ggml._CHUNK + 512) // 512
    data = drawn(Kind.Q4_K, rows, 512)
    data.reshape(-1, 144)[:, 1] = data.reshape(-1, 144)[:, 3] = 0x2C  # scales near 1/16
    write(tmp_path / "x.gguf", {"a": (data, Kind.Q4_K), "b": (np.ones(3, np.float32).view(np.uint8), Kind.F32)})
    whole = loaded(tmp_path / "x.gguf")["a"]
    np.testing.assert_array_equal(whole.numpy(), dequantize(data, Kind.Q4_K))
    half = gguf.read(MappedFile(tmp_path / "x.gguf"), torch.bfloat16)
    assert half["a"].dtype == torch.bfloat16 and half["b"].dtype == torch.float32
    assert torch.equal(half["a"].load(), whole.bfloat16())


def test_quantised_by_the_package(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    for kind, close in ((Kind.Q8_0, 0.02), (Kind.Q4_0, 0.3), (Kind.Q5_1, 0.1)):
        raw = theirs.quants.quantize(values, kind)
        write(tmp_path / "x.gguf", {"a": (raw, kind)})
        np.testing.assert_allclose(open_checkpoint(tmp_path / "x.gguf")["a"].load().numpy(), values, atol=close)


def test_keys_of_all_kinds(tmp_path: Path) -> None:
    of = theirs.GGUFValueType
    keys = {
        "u8": (255, of.UINT8),
        "i8": (-128, of.INT8),
        "u16": (65535, of.UINT16),
        "i16": (-32768, of.INT16),
        "u32": (2**32 - 1, of.UINT32),
        "i32": (-(2**31), of.INT32),
        "u64": (2**64 - 1, of.UINT64),
        "i64": (-(2**63), of.INT64),
        "f32": (0.5, of.FLOAT32),
        "f64": (0.1, of.FLOAT64),
        "truth": (True, of.BOOL),
        "text": ("a\n▁é", of.STRING),
        "numbers": ([1, -2, 3], of.ARRAY),
        "shares": ([0.5, 1.5], of.ARRAY),
        "truths": ([True, False], of.ARRAY),
        "texts": (["", "b", "▁"], of.ARRAY),
    }
    write(tmp_path / "x.gguf", {}, **keys)
    found = gguf.metadata(MappedFile(tmp_path / "x.gguf"))
    assert found == {"general.architecture": "llama", **{key: value for key, (value, _) in keys.items()}}
    assert type(found["truth"]) is bool
    brief, tensors = gguf.contents(MappedFile(tmp_path / "x.gguf"))
    assert brief == {**found, "texts": [b"", b"b", "▁".encode()]} and not tensors


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_alignment(tmp_path: Path, alignment: int) -> None:
    writer = theirs.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_custom_alignment(alignment)
    for name in "ab":
        writer.add_tensor(name, np.arange(3, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = loaded(tmp_path / "x.gguf")
    assert {name: value.tolist() for name, value in found.items()} == {"a": [0, 1, 2], "b": [0, 1, 2]}


def test_big_endian(tmp_path: Path) -> None:
    writer = theirs.GGUFWriter(tmp_path / "x.gguf", "llama", endianess=theirs.GGUFEndian.BIG)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(CheckpointError, match="version 3, big-endian"):
        read(tmp_path / "x.gguf")


# Files made by hand


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def listed(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


def tensor(name: str | bytes = "a", sizes: tuple[int, ...] = (2,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def made(
    *tensors: bytes,
    keys: tuple[bytes, ...] = (),
    data: bytes = bytes(8),
    version: int = 3,
    align: int = 32,
    **counts: int,
) -> bytes:
    """A file of these parts; `counts` instead of how many there really are."""
    head = struct.pack("<IQQ", version, counts.get("tensors", len(tensors)), counts.get("entries", len(keys)))
    out = b"GGUF" + head + b"".join(keys) + b"".join(tensors)
    return out + bytes(-len(out) % align) + data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.gguf"


def refused(path: Path, data: bytes, match: str) -> None:
    path.write_bytes(data)
    with within(2), pytest.raises(CheckpointError, match=match) as caught:
        loaded(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("version", [2, 3])
def test_made_by_hand(path: Path, version: int) -> None:
    data = struct.pack("<4f", 1, 2, 3, 4)
    entries = [tensor("b", (2, 1), offset=0), tensor("a", (1, 0, 7), offset=96), tensor("c", (), offset=32)]
    path.write_bytes(made(*entries, data=data + bytes(16) + struct.pack("<f", 5), version=version))
    found = open_checkpoint(path)
    assert list(found) == ["b", "a", "c"]
    assert found["b"].load().tolist() == [[1, 2]] and found["a"].load().shape == (7, 0, 1)
    assert found["c"].load().item() == 5


ALIGNMENT = "general.alignment"
HUGE = 2**64 - 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GGUF", "24 bytes"),
        (made(version=1), "version 1"),
        (made(version=4), "version 4"),
        (made(version=HUGE >> 32), "version"),
        (made(tensors=HUGE), "tensors"),
        (made(tensors=50_002), "tensors"),
        (made(tensors=1), "more bytes"),
        (made(entries=HUGE), "keys"),
        (made(entries=10_001), "keys"),
        (made(entries=1, data=b""), "more bytes"),
        (made(keys=(key("a", 4, bytes(4)),) * 2), "'a' is in it twice"),
        (made(keys=(key(b"\xff", 4, bytes(4)),)), "no UTF-8"),
        (made(keys=(key("a", 8, text(b"\xff")),)), "no UTF-8"),
        (made(keys=(key("a", 13, bytes(4)),)), "unknown type 13"),
        (made(keys=(key("a", 8, struct.pack("<Q", HUGE)),)), "more bytes"),
        (made(keys=(struct.pack("<Q", HUGE),)), "more bytes"),
        (made(keys=(key("a", 9, listed(9, 1, listed(4, 1, bytes(4)))),)), "lists within a list"),
        (made(keys=(key("a", 9, listed(9, 0)),)), "lists within a list"),
        (made(keys=(key("a", 9, listed(13, 1)),)), "unknown type 13"),
        (made(keys=(key("a", 9, listed(4, HUGE)),)), "3,000,000"),
        (made(keys=(key("a", 9, listed(12, 2_999_999)),)), "23,999,992 more bytes"),
        (made(keys=(key("a", 9, listed(8, 2_999_999)),)), "more bytes"),
        (made(keys=(key("a", 9, listed(8, HUGE)),)), "3,000,000"),
        (made(keys=(key(ALIGNMENT, 4, bytes(4)),)), "power of two"),
        (made(keys=(key(ALIGNMENT, 4, struct.pack("<I", 24)),)), "power of two"),
        (made(keys=(key(ALIGNMENT, 4, struct.pack("<I", 2**31)),)), "power of two"),
        (made(keys=(key(ALIGNMENT, 5, struct.pack("<i", -32)),)), "power of two"),
        (made(keys=(key(ALIGNMENT, 8, text("32")),)), "power of two"),
        (made(tensor(sizes=(1,) * 5)), "5 dimensions"),
        (made(text("a") + struct.pack("<I", 2**32 - 1)), "4,294,967,295 dimensions"),
        (made(tensor(sizes=(2**62,))), "valid shape"),
        (made(tensor(sizes=(HUGE,))), "valid shape"),
        (made(tensor(sizes=(2**31, 2**31))), "valid shape"),
        (made(tensor(sizes=(0, 2**31, 2**31, 2**31))), "valid shape"),
        (made(tensor(sizes=(3,))), "ends at byte 12"),
        (made(tensor(sizes=(2**40,))), "ends at byte"),
        (made(tensor(offset=32)), "ends at byte 40"),
        (made(tensor(offset=2**63)), "ends at byte"),
        (made(tensor(offset=1)), "multiple of 32"),
        (made(tensor(), tensor()), "'a' is in it twice"),
        (made(tensor(), tensor("b")), "overlaps"),
        (made(tensor(sizes=(12,)), tensor("b", offset=32), data=bytes(48)), "overlaps"),
        (made(tensor(b"\xff")), "no UTF-8"),
        (made(tensor(sizes=(2,), kind=2)), "rows of 2 numbers.*32"),
        (made(tensor(sizes=(16, 2), kind=2)), "rows of 16 numbers"),
        (made(tensor(sizes=(), kind=2)), "rows of 1 numbers"),
        (made(tensor(sizes=(32,), kind=2)), "ends at byte 18"),
        (made(tensor(kind=9)), "Q8_1, which is for products"),
        (made(tensor(kind=15)), "Q8_K, which is for products"),
        (made(tensor(kind=23)), "IQ4_XS, which cannot be read; these can: F32, F16, BF16, Q4_0.*Q6_K"),
        (made(tensor(kind=1234)), "number 1234"),
    ],
    ids=range(51),
)
def test_headers(path: Path, data: bytes, words: str) -> None:
    refused(path, data, words)


def test_names_of_types() -> None:
    names = {kind.value: kind.name for kind in Kind}
    assert all(blocks.name == names[number] for number, blocks in ggml.BLOCKS.items())
    for number, (numbers, size) in ((kind.value, sizes) for kind, sizes in theirs.GGML_QUANT_SIZES.items()):
        if number in ggml.BLOCKS:
            assert (ggml.BLOCKS[number].numbers, ggml.BLOCKS[number].size) == (numbers, size)
        elif number not in ggml.PLAIN:
            assert ggml.OTHERS[number] == names[number]


def test_long_texts_and_lists_take_no_memory(path: Path) -> None:
    tracemalloc.start()
    try:
        refused(path, made(keys=(key("a", 8, text(bytes(10_000_001))),)), "text of 10,000,001 bytes")
        tracemalloc.reset_peak()
        path.write_bytes(made(keys=(key("a", 9, listed(8, 100_000, bytes(800_000))),)))
        with within(2):
            assert gguf.read(MappedFile(path)) == {}
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "x.gguf"
    of = theirs.GGUFValueType
    keys = {"a": (7, of.UINT32), "b": (["x", "yz"], of.ARRAY), "c": ([1, 2], of.ARRAY), "d": ("text", of.STRING)}
    tensors = {kind.name: (drawn(kind, 256), kind) for kind in (Kind.F32, Kind.BF16, Kind.Q4_0, Kind.Q3_K, Kind.Q6_K)}
    write(path, tensors, **keys)
    return path.read_bytes()


def opened(path: Path) -> None:
    """Open a file that may be broken: it loads, or is refused."""
    with within(2):
        error = None
        try:
            loaded(path)
        except CheckpointError as caught:
            error = caught
    assert error is None or str(path) in str(error)


def test_cut_anywhere(path: Path, valid: bytes) -> None:
    end = len(valid) - 14  # behind the last tensor
    for size in [*range(24, end, 7), end - 1]:
        refused(path, valid[:size], "bytes|ends at byte")


def test_flips(path: Path, valid: bytes) -> None:
    @settings(max_examples=300, deadline=None, database=None)
    @given(flipped(valid[: valid.index(b"Q6_K") + 40]).map(lambda head: head + valid[len(head) :]))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        opened(path)

    check()


def test_insertions_and_deletions(path: Path, valid: bytes) -> None:
    @settings(max_examples=150, deadline=None, database=None)
    @given(patched(valid))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        opened(path)

    check()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(tmp_path / "pipe.gguf")
