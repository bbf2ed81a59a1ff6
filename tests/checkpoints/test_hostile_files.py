"""Broken and hostile files: a FormersError that names the file, soon, with nothing run and little memory taken."""

from __future__ import annotations

import copyreg
import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from damage import flipped, patched
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from formers.checkpoints import open_checkpoint
from formers.errors import CheckpointError, FormersError
from tests.clock import within

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(3, dtype=torch.int64), "c": torch.tensor(True)}


def content(form: str) -> bytes:
    path = Path(os.environ["PYTEST_FILES"]) / form
    if not path.exists():
        if form == "safetensors":
            save_file(STATE, path, {"format": "pt"})
        else:
            torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")
    return path.read_bytes()


@pytest.fixture(autouse=True, scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_FILES", str(tmp_path_factory.mktemp("files")))
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.bin"


def refused(path: Path, data: bytes, match: str = "bytes|not opened") -> CheckpointError:
    path.write_bytes(data)
    with within(2), pytest.raises(CheckpointError, match=match) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)
    for word in ("weights_only", "unsafe", "trust", "unset"):
        assert word not in str(caught.value)
    return caught.value


def opened(path: Path) -> bool:
    """Whether a file opens and loads; only a FormersError may say no."""
    try:
        for lazy in open_checkpoint(path).values():
            assert tuple(lazy.load().shape) == lazy.shape
    except FormersError as error:
        assert str(path) in str(error)  # noqa: PT017
        return False
    return True


FORMS = pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])


@FORMS
def test_cut_anywhere(path: Path, form: str) -> None:
    data = content(form)
    for size in [*range(0, len(data), 16 if form == "safetensors" else 64), len(data) - 1]:
        refused(path, data[:size], "0 bytes|bytes")


@FORMS
def test_more_at_the_end(path: Path, form: str) -> None:
    if form == "safetensors":
        refused(path, content(form) + b"x", "its tensors need")


@FORMS
def test_flips(path: Path, form: str) -> None:
    data = content(form)

    @settings(max_examples=150, deadline=None, database=None)
    @given(flipped(data))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        opened(path)

    check()


@FORMS
def test_insertions_and_deletions(path: Path, form: str) -> None:
    data = content(form)

    @settings(max_examples=80, deadline=None, database=None)
    @given(patched(data))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        opened(path)

    check()


@settings(max_examples=150, deadline=None, database=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]),
)
def test_noise(data: bytes, head: bytes) -> None:
    path = Path(os.environ["PYTEST_FILES"]) / "noise"
    path.write_bytes(head + data)
    opened(path)


# Files that are something else


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\n<HTML><body>404</body></HTML>", "web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 440473133\n",
            "it has 72 bytes.*440,473,133.*lfs pull",
        ),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "HDF5"),
        (b"\x1f\x8b" + b"\0" * 100, "gzip"),
        (b"x" * 257 + b"ustar" + b"0" * 300, "tar"),
        (b'[{"error": "not found"}]', "JSON"),
        (b"Entry not found", "no known weight format"),
        (b"\x80\x04]\x94.", "not one that torch.save wrote"),
    ],
)
def test_other_files(path: Path, data: bytes, words: str) -> None:
    refused(path, data, words)


def test_fifo(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(path)


# Safetensors


def header(text: str | bytes, data: bytes = b"") -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + data


def entry(dtype: object = "U8", shape: object = (1,), offsets: object = (0, 1)) -> str:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack("<Q", 2**40) + b"{}" + b" " * 100, "needs 1,099,511,627,776 bytes"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "header needs"),
        (header("{" + " " * 10_500_000 + "}"), "larger than"),
        (header('{"a":' * 200_000), "no valid JSON"),
        (header(b'{"\xff":1}'), "no valid JSON"),
        (header('{"a":' + "9" * 10_000 + "}"), "no valid JSON"),
        (header('{"a":{},"a":{}}'), "'a' is there twice"),
        (
            header(
                '{"__metadata__":{"format":"flax"},"a.b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                '"a/b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
                b"xx",
            ),
            "'a/b' is in it twice",
        ),
        (header('{"a":1}'), "not an object"),
        (header(entry("F33"), b"x"), "unknown dtype 'F33'"),
        (header(entry(["U8"]), b"x"), "unknown dtype"),
        (header(entry(None), b"x"), "unknown dtype"),
        (header(entry(shape=-1), b"x"), "no valid shape"),
        (header(entry(shape=[-1]), b"x"), "no valid shape"),
        (header(entry(shape=[True]), b"x"), "no valid shape"),
        (header(entry(shape=[1.0]), b"x"), "no valid shape"),
        (header(entry(shape=[1] * 65), b"x"), "no valid shape"),
        (header(entry(shape=[2**62, 2**62, 0], offsets=[0, 0])), "no valid shape"),
        (header(entry(shape=[2]), b"x"), "needs 2 bytes, has 1"),
        (header(entry(offsets=[1, 0]), b"x"), "data_offsets"),
        (header(entry(offsets=[0, 1, 2]), b"x"), "data_offsets"),
        (header(entry(offsets=[0, 1]), b""), "need 1 bytes after the header, and it has 0"),
        (header(entry(offsets=[1, 2]), b"xx"), "unused"),
        (
            header(
                '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
                b"xxx",
            ),
            "overlaps",
        ),
    ],
)
def test_safetensors_headers(path: Path, data: bytes, words: str) -> None:
    refused(path, data, words)


def test_empty_tensors_of_any_shape(path: Path) -> None:
    path.write_bytes(header(entry(shape=[0, 2**40], offsets=[0, 0])))
    assert open_checkpoint(path)["a"].load().shape == (0, 2**40)


# Pickles


def zipped(pickled: bytes, **entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def legacy(pickled: bytes) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join(parts) + pickled + pickle.dumps([], 2)


class Call:
    def __init__(self, function, *arguments) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


CANARY = "formers_pickle_canary"
TEXT = f"touch /tmp/{CANARY}"
ATTACKS = {
    "reduce": pickle.dumps(Call(os.system, TEXT), 2),
    "reduce, protocol 0": pickle.dumps(Call(os.system, TEXT), 0),
    "reduce, protocol 4": pickle.dumps(Call(os.system, TEXT), 4),
    "eval": pickle.dumps(Call(eval, f"__import__('os').system('{TEXT}')"), 2),
    "in a state dict": pickle.dumps(OrderedDict(a=Call(os.system, TEXT)), 2),
    "getattr": pickle.dumps(Call(getattr, "x", "upper"), 2),
    "inst": b"(S'" + TEXT.encode() + b"'\nios\nsystem\n.",
    "inst alone": b"\x80\x02(ios\nsystem\n.",
    "obj": b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",
    "global": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "dotted": b"\x80\x04\x8c\x05torch\x8c\x15serialization.os.name\x93.",
    "of our own table, dotted": b"\x80\x04\x8c\x0ccollections\x8c\x1dOrderedDict.__init__.__globals\x93.",
    "builtins": b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
    "newobj": b"\x80\x02csubprocess\nPopen\n(X\x04\x00\x00\x00truet\x81.",
    "newobj of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)\x81.",
    "newobj_ex": b"\x80\x04\x8c\nsubprocess\x8c\x05Popen\x93)}\x92.",
    "build": b"\x80\x02cbuiltins\nobject\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsbX\x04\x00\x00\x00trueb.",
    "call of a number": b"\x80\x02K\x01)R.",
    "call of text": b"\x80\x02X\x02\x00\x00\x00os)R.",
    "persistent id of protocol 0": b"Pos.system\n.",
    "module": b"\x80\x02(X\x06\x00\x00\x00modulectorch.nn\nLinear\nNNtQ.",
    "ext1": b"\x80\x02\x82\x01)R.",
    "ext2": b"\x80\x02\x83\x01\x00)R.",
    "ext4": b"\x80\x02\x84\x01\x00\x00\x00)R.",
    "torch.load": b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.",
    "storage loader": b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01x\x85R.",
    "storage type called": b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.",
    "sparse": b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n.",
    "quantised": b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.",
    "subclass": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n.",
    "torchscript": b"\x80\x02c__torch__.Model\nModel\n.",
}


@pytest.mark.parametrize("wrap", [zipped, legacy, bytes])
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_pickle_runs(path: Path, attack: str, wrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copyreg._inverted_registry, 1, ("os", "system"))  # type: ignore[attr-defined]
    monkeypatch.setitem(copyreg._extension_cache, 1, os.system)  # type: ignore[attr-defined]
    refused(path, wrap(ATTACKS[attack]), "known weight format|not opened|broken")
    assert not Path(f"/tmp/{CANARY}").exists()


def test_the_refused_name_is_told(path: Path) -> None:
    error = refused(path, zipped(ATTACKS["reduce"]), "'posix.system'")
    assert "safetensors" in str(error)
    refused(path, zipped(ATTACKS["sparse"]), "sparse")
    refused(path, zipped(ATTACKS["quantised"]), "quantised")
    refused(path, zipped(ATTACKS["module"]), "torch.nn.Linear")


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"


def number(value: int) -> bytes:
    raw = value.to_bytes(20, "little", signed=True)
    return b"\x8a\x14" + raw


def described(
    offset: int = 0, shape: tuple[int, ...] = (2, 2), stride: tuple[int, ...] = (2, 1), count: int = 4
) -> bytes:
    """A state dict of one tensor "a", described as the arguments say."""
    sizes = b"(" + b"".join(map(number, shape)) + b"t"
    strides = b"(" + b"".join(map(number, stride)) + b"t"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + STORAGE % number(count)
        + number(offset)
        + sizes
        + strides
        + b"\x89)tR"
    )
    return zipped(b"\x80\x02}X\x01\x00\x00\x00a" + tensor + b"s.")


def test_described_well(path: Path) -> None:
    path.write_bytes(described())
    assert open_checkpoint(path)["a"].load().tolist() == [[1, 2], [3, 4]]
    path.write_bytes(described(offset=3, shape=(1, 1), stride=(9, 9)))
    assert open_checkpoint(path)["a"].load().tolist() == [[4]]
    path.write_bytes(described(offset=4, shape=(0, 9), stride=(9, 9)))
    assert open_checkpoint(path)["a"].load().shape == (0, 9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 5, "shape": (0, 1)},
        {"shape": (3, 2)},
        {"shape": (-2, 2)},
        {"shape": (2,)},
        {"stride": (3, 1)},
        {"stride": (-2, 1)},
        {"stride": (2**70, 1)},
        {"shape": (2**61, 2**61), "stride": (0, 0)},
        {"shape": (10**5, 10**5), "stride": (0, 0)},
        {"shape": (0, 2**61, 2**61), "stride": (0, 0, 0)},
        {"shape": (1,) * 65, "stride": (1,) * 65},
        {"count": 5},
        {"count": -1},
        {"count": 2**100},
    ],
    ids=str,
)
def test_tensors_past_their_storage(path: Path, wrong: dict) -> None:
    refused(path, described(**wrong), "broken")


TENSORS = "several sets of tensors|no tensors with names"


@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        (b"\x80\x02.", "fails at byte"),
        (b"\x80\x02}", "fails at byte"),
        (b"\x80\x02h\x05.", "fails at byte"),
        (b"\x80\x02t.", "fails at byte"),
        (b"\x80\x02N}sN.", "fails at byte"),
        (b"\x80\x02K\x01NNs.", "fails at byte"),
        (b"\x80\x02]q\x00X\x01\x00\x00\x00ah\x00\x93.", "fails at byte"),
        (b"\x80\x02X\xff\xff\xff\xffa.", "fails at byte"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b"a.", "fails at byte"),
        (b"\x80\x05\x96" + b"\xff" * 8 + b"a.", "fails at byte"),
        (b"\x80\x02\x8b\xff\xff\xff\x7fa.", "fails at byte"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "fails at byte"),
        (b"\x80\x02c" + b"x" * 2000 + b"\n.", "fails at byte"),
        (b"\x80\x02N.", TENSORS),
        (b"\x80\x02]r\xff\xff\xff\x7f.", TENSORS),
        (b"\x80\x02" + b"]" * 490_000 + b".", TENSORS),
        (b"\x80\x02" + b"N" * 550_000 + b".", "steps"),
        (b"\x80\x02)" + b"\x85" * 490_000 + b".", TENSORS),
        (b"\x80\x02)" + b"q\x00h\x00\x86" * 200 + b"}q\x01h\x00Ns.", TENSORS),
        (b"\x80\x02}q\x00)" + b"q\x01h\x01\x86" * 200 + b"q\x02h\x00h\x02Ns.", TENSORS),
        (
            b"\x80\x02" + b"ccollections\nOrderedDict\nq\x00(" + b"K\x01" * 200_000 + b"tq\x01h\x00h\x01R.",
            "calls something",
        ),
        (b"\x80\x02(" + b"X\xe8\x03\x00\x00" + b"x" * 1000 + b"0", "fails at byte"),
    ],
    ids=range(22),
)
def test_broken_and_endless_pickles(path: Path, pickled: bytes, words: str) -> None:
    refused(path, zipped(pickled), words)


def test_no_pickles_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMERS_NO_PICKLE", "1")
    for form in ("zip", "legacy"):
        refused(path, content(form), "FORMERS_NO_PICKLE")
    path.write_bytes(content("safetensors"))
    assert opened(path)
    monkeypatch.setenv("FORMERS_NO_PICKLE", "0")
    path.write_bytes(content("zip"))
    assert opened(path)


# The archive around a pickle


def test_compressed_archive(path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content("zip"))) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    refused(path, file.getvalue(), "compressed")


def test_zip_bomb(path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    assert len(file.getvalue()) < 100_000
    refused(path, file.getvalue(), "compressed")


def test_archives_of_other_things(path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", b"<x/>")
    refused(path, file.getvalue(), "word/document.xml")
    refused(path, zipped(b"\x80\x02}.", **{"constants.pkl": b""}), "TorchScript")
    refused(path, zipped(b"\x80\x02}.", byteorder=b"big"), "big-endian")
    with pytest.warns(UserWarning, match="Duplicate"):
        refused(path, zipped(b"\x80\x02}.", **{"data/0": b""}), "twice")
    refused(path, legacy(b"").replace(b"\x88", b"\x89"), "big-endian")


def test_zip_directory_that_points_elsewhere(path: Path) -> None:
    data = bytearray(zipped(b"\x80\x02}."))
    end = data.rindex(b"PK\x05\x06")
    for position, size in ((end + 12, 4), (end + 16, 4), (end + 10, 2)):
        for value in (0, 1, 2**31, 2**32 - 1):
            changed = bytearray(data)
            changed[position : position + size] = (value % 256**size).to_bytes(size, "little")
            path.write_bytes(changed)
            opened(path)
    entries = data.index(b"PK\x01\x02")
    for field, size in ((20, 4), (24, 4), (28, 2), (30, 2), (42, 4)):
        changed = bytearray(data)
        changed[entries + field : entries + field + size] = b"\xff" * size
        refused(path, bytes(changed))
