"""TensorFlow's checkpoints: TensorFlow's own files, files made here by hand, and what damage and malice do to them."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import flipped, patched
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.checkpoints import leveldb, tf_ckpt
from formers.checkpoints.crc32c import crc32c, masked_crc32c
from formers.checkpoints.tensor import LazyTensor, MappedFile
from formers.errors import CheckpointError
from tests.clock import within

GOLDENS = Path(__file__).parents[1] / "goldens"
INDICES = sorted([*GOLDENS.glob("google_bert/*/*.index"), *GOLDENS.glob("tf_ckpt/*/*.index")])
VARIABLES = GOLDENS / "tf_ckpt" / "variables" / "model.ckpt.index"


def read(path: Path, mmap: bool = True) -> dict[str, LazyTensor]:
    file = MappedFile(path, mmap)
    if not tf_ckpt.matches(file):
        raise file.broken("it does not end as a table does")
    return tf_ckpt.read(file)


def loaded(path: Path, mmap: bool = True) -> dict[str, torch.Tensor]:
    tensors = read(path, mmap)
    values = {name: tensor.load() for name, tensor in tensors.items()}
    for name, value in values.items():
        assert (tuple(value.shape), value.dtype) == (tensors[name].shape, tensors[name].dtype)
    return values


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# The checksum


def plain_crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def checksum(data: bytes) -> int:
    return crc32c(np.frombuffer(data, np.uint8))


def test_published_checksums() -> None:
    assert checksum(b"123456789") == 0xE3069283
    assert checksum(bytes(32)) == 0x8A9136AA
    assert checksum(b"\xff" * 32) == 0x62A8AB43
    assert checksum(bytes(range(32))) == 0x46DD794E
    assert checksum(bytes(range(31, -1, -1))) == 0x113FDB5C
    assert checksum(b"") == 0


@pytest.mark.parametrize("size", [*range(20), 1671, 1672, 1673, 1680, 2190, 2191, 7000, 60_001, 2**18 - 1, 2**18 + 9])
def test_checksums_of_all_lengths(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert checksum(data) == plain_crc32c(data)


def test_checksum_of_unaligned_data_leaves_it_alone() -> None:
    data = np.random.default_rng(0).integers(0, 256, 700_001, np.uint8)
    data.flags.writeable = False
    whole = [crc32c(data[start:]) for start in range(1, 9)]
    assert whole == [checksum(data[start:].tobytes()) for start in range(1, 9)]
    assert len(set(whole)) == 8


# What TensorFlow wrote


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("path", [path for path in INDICES if path.parts[-3] == "tf_ckpt"], ids=lambda p: p.parts[-2])
def test_values_by_tensorflow(path: Path, mmap: bool) -> None:
    found = loaded(path, mmap)
    with np.load(path.parent / "values.npz") as values:
        assert set(found) == set(values)  # and not the object graph
        for name, value in values.items():
            tensor = found[name].float() if name.endswith("bfloat16") else found[name]
            np.testing.assert_array_equal(tensor.numpy(), value, strict=True)


def test_types_by_tensorflow() -> None:
    found = read(VARIABLES)
    for name, tensor in found.items():
        if name.startswith("types/"):
            assert tensor.dtype == getattr(torch, name.removeprefix("types/"))
    assert len({tensor.file.name for tensor in found.values()}) == 3
    assert found["rows"].shape == (300, 7) and found["columns"].shape == (7, 300) and found["scalar"].shape == ()


@pytest.mark.parametrize(("layout", "slots"), [("pretraining", 0), ("classifier", 41), ("squad", 39)])
def test_layouts_of_google(layout: str, slots: int) -> None:
    (path,) = (GOLDENS / "google_bert" / layout).glob("*.index")
    found = loaded(path)
    assert found["bert/encoder/layer_1/attention/self/query/kernel"].shape == (8, 8)
    assert ("global_step" in found) == (slots > 0)
    for slot in ("adam_m", "adam_v"):
        assert sum(name.endswith(f"/{slot}") for name in found) == slots  # training for squad leaves the pooler alone
    assert all(torch.isfinite(value).all() for value in found.values())


# Files made by hand


def varint(number: int) -> bytes:
    number %= 2**64
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    return varint(number * 8 + 2) + varint(len(value)) + value


def shape(*sizes: int) -> bytes:
    return field(2, b"".join(field(2, field(1, size)) for size in sizes))


def entry(
    data: bytes = b"", sizes: Iterable[int] | None = None, *, dtype: int = 4, size: int = -1, **more: int
) -> bytes:
    """An entry of bytes, unless it is said otherwise."""
    check = more.get("check", masked_crc32c(np.frombuffer(data, np.uint8)))
    out = field(1, dtype) + shape(*((len(data),) if sizes is None else sizes))
    out += field(3, more.get("shard", 0)) + field(4, more.get("offset", 0))
    return out + field(5, len(data) if size == -1 else size) + varint(6 * 8 + 5) + check.to_bytes(4, "little")


def header(shards: int = 1, endianness: int = 0, needs: int = 0) -> bytes:
    return field(1, shards) + field(2, endianness) + field(3, field(1, 1) + field(2, needs))


def stored(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def block(content: bytes, kind: int = 0, restarts: int = 1) -> bytes:
    data = content + bytes(4 * min(restarts, 1)) + restarts.to_bytes(4, "little") + bytes([kind])
    return data + masked_crc32c(np.frombuffer(data, np.uint8)).to_bytes(4, "little")


def handle(begin: int, data: bytes) -> bytes:
    return varint(begin) + varint(len(data) - 5)


def table(*blocks: bytes, handles: list[bytes] | None = None, meta: bytes = block(b"")) -> bytes:
    """Data blocks as they are given, and all that comes after them; `handles` instead of where they really are."""
    out = b"".join(blocks)
    places = [handle(sum(map(len, blocks[:i])), data) for i, data in enumerate(blocks)]
    index = block(
        b"".join(stored(b"%05d" % i, place) for i, place in enumerate(places if handles is None else handles))
    )
    footer = handle(len(out), meta) + handle(len(out) + len(meta), index)
    return out + meta + index + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def pairs(entries: dict[bytes, bytes], first: bytes | None = None) -> bytes:
    return table(block(b"".join(stored(*item) for item in sorted({b"": first or header(), **entries}.items()))))


DATA = bytes(range(100))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x.ckpt.data-00000-of-00001").write_bytes(DATA)
    return tmp_path / "x.ckpt.index"


def refused(path: Path, index: bytes, match: str) -> None:
    path.write_bytes(index)
    with within(2), pytest.raises(CheckpointError, match=match) as caught:
        loaded(path)
    assert str(path.parent) in str(caught.value)


def test_made_by_hand(path: Path) -> None:
    path.write_bytes(
        table(
            block(stored(b"", header()) + stored(b"one", entry(DATA[3:10], offset=3))),
            block(b""),
            block(
                stored(b"one/two", entry(DATA[12:20], [2], dtype=3, offset=12))
                + stored(b"xt", entry(dtype=7, shard=9, offset=2**40), shared=4)  # text is left out, whatever it says
                + field(0, 0)[:1] * 0
                + stored(b"z", entry(b"", [0, 2**40]))
            ),
        )
    )
    found = loaded(path)
    assert found.keys() == {"one", "one/two", "z"}
    assert found["one"].tolist() == list(range(3, 10))
    assert found["one/two"].tolist() == [0x0F0E0D0C, 0x13121110]
    assert found["z"].shape == (0, 2**40)


def test_fields_that_are_not_known_are_passed_over(path: Path) -> None:
    odd = field(99, b"x") + field(98, 2**64 - 1) + varint(97 * 8 + 1) + bytes(8) + varint(96 * 8 + 5) + bytes(4)
    path.write_bytes(pairs({b"a": odd + entry(DATA) + odd}))
    assert loaded(path)["a"].tolist() == list(DATA)


A = entry(DATA)
HUGE = b"\xff" * 9 + b"\x01"


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (header(0), "0 data files"),
        (header(1001), "1,001 data files"),
        (header(-1), "18,446,744,073,709,551,615 data files"),
        (field(2, 0), "0 data files"),
        (header(endianness=1), "big-endian"),
        (header(needs=2), "version 2"),
        (field(1, b"xx"), "0 data files"),
        (b"\x08", "more bytes"),
        (header() + b"\x0b", "wire type 3"),
        (header(2), r"x\.ckpt\.data-00000-of-00002'"),
    ],
)
def test_headers(path: Path, first: bytes, words: str) -> None:
    refused(path, pairs({b"a": A}, first), words)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "dtype 0"),
        (entry(DATA, dtype=0), "dtype 0"),
        (entry(DATA, dtype=13), "dtype 13"),
        (entry(DATA, dtype=2**64 - 1), "dtype"),
        (entry(DATA, [-1]), "shape"),
        (entry(DATA, [2**62]), "shape"),
        (entry(DATA, [2**40, 2**40]), "shape"),
        (entry(b"", [0, 2**62, 2**62]), "shape"),
        (entry(DATA, [1] * 65), "shape"),
        (entry(DATA, [1] * 60_000), "shape"),
        (entry(DATA) + field(2, field(3, 1)), "shape"),
        (entry(DATA, [99]), "needs 99 bytes, has 100"),
        (entry(DATA, dtype=1), "needs 400 bytes, has 100"),
        (entry(DATA, [2**40]), "needs 1,099,511,627,776 bytes, has 100"),
        (entry(DATA, [2**40], size=2**40), "100 bytes"),
        (entry(DATA, size=-2), "needs 100 bytes"),
        (entry(DATA, offset=1), "ends at its byte 101"),
        (entry(DATA, offset=-1), "100 bytes"),
        (entry(DATA, offset=2**63), "100 bytes"),
        (entry(DATA, shard=1), "number 1"),
        (entry(DATA, shard=-1), "1 data files"),
        (entry(DATA, check=5), r"'a' have the checksum 0x.*not 0x00000005"),
        (A + b"\x28" + b"\xff" * 10 + b"\x01", "more than 64 bits"),
        (A + b"\x28" + b"\x80" * 10 + b"\x00", "more than 64 bits"),
        (A + b"\x28" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (A + b"\x28" + b"\xff" * 3, "more bytes"),
        (A + b"\x12" + HUGE, "needs 18,446,744,073,709,551,615 more bytes"),
        (A + b"\x35\0\0", "needs 4 more bytes"),
        (A + b"\x34", "wire type 4"),
        (A + b"\x07", "wire type 7"),
        (field(1, 4) + field(3, 0) * 150_000 + A[2:], "allowed"),
        (field(2, field(2, b"\x0a" * 3)), "more bytes"),
    ],
    ids=range(32),
)
def test_entries(path: Path, message: bytes, words: str) -> None:
    refused(path, pairs({b"a": message}), words)


def test_many_numbers_in_the_largest_index(path: Path) -> None:
    refused(path, pairs({b"a": A + field(9, 0) * 149_000 + b"\x07"}), "wire type 7")
    refused(path, pairs({b"a": A + field(2, field(2, b"")) * 74_000}), "shape|bytes")
    refused(path, pairs({b"a": field(1, 4) + field(7, field(1, b"")) * 74_000}), "slices")


def test_tensors_that_share_bytes(path: Path) -> None:
    refused(path, pairs({b"a": A, b"b": entry(DATA[99:], offset=99)}), "overlaps")
    path.write_bytes(pairs({b"a": entry(DATA[:99]), b"b": entry(DATA[99:], offset=99), b"c": entry(offset=5)}))
    assert loaded(path)["b"].tolist() == [99]


ONE = stored(b"", header())


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (table(), "not the index of a TensorFlow"),
        (table(block(stored(b"a", A))), "not the index of a TensorFlow"),
        (table(block(ONE + stored(b"b", A) + stored(b"a", A))), "'a' is not in order"),
        (table(block(ONE + stored(b"a", A) * 2)), "'a' is not in order"),
        (table(block(ONE), block(ONE)), "b'' is not in order"),
        (table(block(ONE + stored(b"\xff", A))), "no UTF-8"),
        (table(block(ONE + stored(b"a", A, shared=1))), "has a key"),
        (table(block(ONE + stored(b"a" * 1001, A))), "has a key"),
        (table(block(ONE + HUGE + b"\0\0")), "has a key"),
        (table(block(ONE + b"\0" + HUGE + b"\0")), "has a key"),
        (table(block(ONE + b"\0\1" + HUGE + b"a")), "more bytes"),
        (table(block(ONE + b"\0\1")), "more bytes"),
        (table(block(ONE + b"\0\1\1")), "more bytes"),
        (table(block(ONE + b"\0\2\1a")), "more bytes"),
        (table(block(ONE, restarts=2**32 - 1)), "too short"),
        (table(block(ONE, restarts=1000)), "too short"),
        (table(block(ONE, kind=1)), "compressed"),
        (table(block(ONE, kind=255)), "compressed"),
        (table(block(ONE)[:-1] + b"x"), "checksum of the block at byte 0"),
        (table(block(ONE), handles=[]), "between"),
        (table(block(ONE), handles=[varint(0) + varint(2**60)]), "not inside"),
        (table(block(ONE), handles=[varint(0) + HUGE]), "not inside"),
        (table(block(ONE), handles=[varint(0) + varint(0)]), "not inside"),
        (table(block(ONE), handles=[varint(2**60) + varint(5)]), "begins at byte"),
        (table(block(ONE), handles=[varint(1) + varint(5)]), "begins at byte 1"),
        (table(block(ONE), handles=[handle(0, block(ONE))] * 2), "begins at byte 0"),
        (table(block(ONE), handles=[handle(len(block(ONE)) + 13, block(ONE))]), "begins at byte"),
        (table(block(ONE), handles=[varint(0)]), "more bytes"),
        (table(block(ONE), meta=block(stored(b"filter", b"x"))), "between"),
        (table(block(ONE), meta=b"x" * 30), "checksum"),
        (table(block(ONE))[:-9] + b"\1" + table()[-8:], "footer"),
        (bytes(40) + table()[-8:], "footer"),
        (b"\xff" * 40 + table()[-8:], "64 bits"),
        (b"\x80" * 40 + table()[-8:], "64 bits"),
        (table()[-8:], "does not end"),
        (table(block(ONE + stored(b"a", b"\0" * 300_000))), "300,000 bytes allowed"),
        (table(block(ONE + b"".join(stored(b"%05d" % i, b"") for i in range(10_000)))), "10,000 variables"),
    ],
    ids=range(37),
)
def test_tables(path: Path, index: bytes, words: str) -> None:
    refused(path, index, words)


def test_keys_that_would_fill_the_memory(path: Path) -> None:
    none = field(1, 4) + shape(0)
    long = stored(b"k" * 990, none) + b"".join(stored(b"%06d" % i, none, shared=990) for i in range(2_000))
    path.write_bytes(table(block(ONE + long)))
    tracemalloc.start()
    try:
        assert len(read(path)) == 2_001
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    path.write_bytes(table(*[block(b"")] * 9_000, block(ONE)))
    assert read(path) == {}


# Variables in slices


def signed(number: int) -> bytes:
    assert -64 <= number < 64
    return bytes([number & 0xFF ^ 0x80])


def sliced(
    *cuts: tuple[int, int, bytes], sizes: tuple[int, ...] = (4, 5), extra: int = 1, dtype: int = 4, flat: bool = False
) -> bytes:
    """A variable in slices (start, length, data) along its first dimension, in the order given."""
    whole, entries, offset = field(1, 4) + shape(*sizes), {}, 0
    for start, length, data in cuts:
        whole += field(7, field(1, field(1, start) + field(2, length)) + field(1, b"") * extra)
        key = b"\0v\0\1\1" + bytes([1 + extra]) + signed(start) + signed(length) + (signed(0) + signed(-1)) * extra
        if data:
            form = (len(data),) if flat else (len(data) // 5, 5)
            entries[key] = entry(data, form, dtype=dtype, offset=offset)
            offset += len(data)
    return pairs({**entries, b"v": whole})


def test_slices(path: Path) -> None:
    path.write_bytes(sliced((1, 3, DATA[:15]), (0, 1, DATA[15:20])))
    assert loaded(path)["v"].tolist() == [list(range(15, 20)), *[list(range(i, i + 5)) for i in (0, 5, 10)]]
    path.write_bytes(sliced((0, 4, DATA[:20])))
    assert loaded(path)["v"].flatten().tolist() == list(range(20))


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (sliced((0, 1, DATA[:5]), (1, 3, b"")), "not there"),
        (sliced((0, 1, DATA[:5])), "do not fill"),
        (sliced((1, 3, DATA[:15])), "do not fit"),
        (sliced((0, 1, DATA[:5]), (2, 2, DATA[5:15])), "do not fit"),
        (sliced((0, 2, DATA[:10]), (1, 3, DATA[10:25])), "do not fit"),
        (sliced((0, 3, DATA[:15]), (3, 3, DATA[15:30])), "do not fill"),
        (sliced((0, 1, DATA[:15]), (1, 3, DATA[15:30])), "do not fit"),
        (sliced((0, 1, DATA[:5]), (1, 3, DATA[5:20]), dtype=6), "not like it"),
        (sliced((0, 1, DATA[:5]), (1, 3, DATA[5:20]), flat=True), "not like it"),
        (sliced((0, 1, DATA[:5]), (1, 3, DATA[5:20]), extra=0), "other dimensions"),
        (sliced((0, 1, DATA[:5]), sizes=(), extra=0), "other dimensions"),
        (pairs({b"v": field(1, 4) + field(7, b"")}), "other dimensions"),
        (pairs({b"v": field(1, 4) + shape(4) + field(7, field(1, field(1, -1) + field(2, -1)))}), "not there"),
        (pairs({b"v": field(1, 4) + shape(4) + field(7, field(1, field(1, 2**63)))}), "not there"),
        (pairs({b"v": field(1, 4) + shape(4) + field(7, field(1, b"") * 300)}), "other dimensions"),
        (pairs({b"v": field(1, 4) + shape(4) + field(5, 4) + field(7, field(1, b""))}), "needs 0 bytes"),
        (pairs({b"v": field(1, 4) + shape(2**61) + field(7, field(1, b""))}), "not there"),
    ],
    ids=range(17),
)
def test_slices_that_do_not_fit(path: Path, index: bytes, words: str) -> None:
    refused(path, index, words)


# Files that are not there, or something else


def test_data_files_that_are_not_there(path: Path) -> None:
    copy = path.with_name("model.ckpt.index")
    shutil.copy(VARIABLES, copy)
    with pytest.raises(CheckpointError, match=r"model\.ckpt\.data-0000.-of-00003'.*Put that file"):
        read(copy)
    for i in range(3):
        shutil.copy(VARIABLES.with_name(f"model.ckpt.data-{i:05}-of-00003"), path.parent)
    assert same(loaded(copy), loaded(VARIABLES))
    gone = copy.with_name("model.ckpt.data-00001-of-00003")
    gone.unlink()
    with pytest.raises(CheckpointError, match=r"model\.ckpt\.data-00001-of-00003'.*Put that file"):
        read(copy)
    gone.write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty"):
        read(copy)
    gone.unlink()
    os.mkfifo(gone)
    with pytest.raises(CheckpointError, match="not a regular file"):
        read(copy)
    gone.unlink()
    gone.mkdir()
    with pytest.raises(CheckpointError, match="data-00001-of-00003"):
        read(copy)


def test_another_name(path: Path) -> None:
    other = path.with_name("weights.bin")
    other.write_bytes(pairs({b"a": A}))
    with pytest.raises(CheckpointError, match=r"must end in \.index"):
        read(other)


def test_other_files(path: Path) -> None:
    for data in (b"x", b"x" * 100, (GOLDENS / "tf_ckpt/variables/values.npz").read_bytes(), DATA):
        path.write_bytes(data)
        assert not leveldb.is_table(MappedFile(path))


# Damage at any place: a value is right or there is an error


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pretraining checkpoint: the path of its index."""
    folder = tmp_path_factory.mktemp("damage")
    for path in (GOLDENS / "google_bert" / "pretraining").glob("bert_model.ckpt*"):
        shutil.copy(path, folder)
    return folder / "bert_model.ckpt.index"


PARTS = pytest.mark.parametrize("part", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
ORIGINAL = GOLDENS / "google_bert" / "pretraining"


def right_or_refused(index: Path, part: str, data: bytes) -> bool:
    """Whether a checkpoint with one part changed still loads; then all of it must be right."""
    (index.parent / part).write_bytes(data)
    try:
        with within(2):
            found = loaded(index)
    except CheckpointError as error:
        assert str(index.parent) in str(error)  # noqa: PT017
        return False
    finally:
        shutil.copy(ORIGINAL / part, index.parent)
    assert same(found, loaded(ORIGINAL / index.name))
    return True


@PARTS
def test_cut_anywhere(copied: Path, part: str) -> None:
    data = (ORIGINAL / part).read_bytes()
    for size in [*range(0, len(data), 64), len(data) - 1]:
        assert not right_or_refused(copied, part, data[:size])


@PARTS
def test_one_byte_changed(copied: Path, part: str) -> None:
    data = (ORIGINAL / part).read_bytes()
    for position in {*range(0, len(data), 61), *range(max(0, len(data) - 48), len(data))}:
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        assert not right_or_refused(copied, part, bytes(changed))


def test_a_changed_value_is_told_by_name(copied: Path) -> None:
    data = copied.with_name("bert_model.ckpt.data-00000-of-00001")
    before = loaded(ORIGINAL / copied.name)
    changed = bytearray(data.read_bytes())
    changed[3] ^= 1
    data.write_bytes(changed)
    tensors = read(copied)
    with pytest.raises(CheckpointError, match="'bert/embeddings/LayerNorm/beta' have the checksum"):
        tensors.pop("bert/embeddings/LayerNorm/beta").load()
    assert all(torch.equal(tensor.load(), before[name]) for name, tensor in tensors.items())
    shutil.copy(ORIGINAL / data.name, data)


@PARTS
def test_flips(copied: Path, part: str) -> None:
    data = (ORIGINAL / part).read_bytes()

    @settings(max_examples=150, deadline=None, database=None)
    @given(flipped(data))
    def check(changed: bytes) -> None:
        assert right_or_refused(copied, part, changed) == (changed == data)

    check()


@PARTS
def test_insertions_and_deletions(copied: Path, part: str) -> None:
    data = (ORIGINAL / part).read_bytes()

    @settings(max_examples=80, deadline=None, database=None)
    @given(patched(data))
    def check(changed: bytes) -> None:
        right_or_refused(copied, part, changed)

    check()


@settings(max_examples=200, deadline=None, database=None)
@given(st.data())
def test_damage_under_right_checksums(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What the checksums cannot see: blocks made anew of damaged content."""
    path = tmp_path_factory.getbasetemp() / "x.ckpt.index"
    path.with_name("x.ckpt.data-00000-of-00001").write_bytes(DATA)
    content = bytearray(
        ONE + stored(b"a", entry(DATA[:50])) + stored(b"b", entry(DATA[50:90], [10], dtype=1, offset=50))
    )
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=3)
    ):
        content[position] = value
    path.write_bytes(table(block(bytes(content))))
    try:
        found = loaded(path)
    except CheckpointError as error:
        assert str(path.parent) in str(error)  # noqa: PT017
    else:
        assert sum(value.nbytes for value in found.values()) <= len(DATA)
