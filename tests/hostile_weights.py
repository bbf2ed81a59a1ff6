"""Hostile weight files, in every format: `ATTACKS`, by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import torch
from hostile_changes import RAN, Attack, content, deep, fifo, header, instead, tensors

# ---- pickles


class _Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


PICKLES: dict[str, Callable[[str], bytes]] = {
    "REDUCE of os.system": lambda run: pickle.dumps({"a": _Call(os.system, run)}, 2),
    "REDUCE, protocol 0": lambda run: pickle.dumps({"a": _Call(os.system, run)}, 0),
    "STACK_GLOBAL": lambda run: pickle.dumps({"a": _Call(os.system, run)}, 4),
    "eval": lambda run: pickle.dumps(_Call(eval, f"__import__('os').system({run!r})"), 2),
    "INST": lambda run: b"\x80\x02(" + _text(run) + b"ios\nsystem\n.",
    "OBJ": lambda run: b"\x80\x02(cos\nsystem\n" + _text(run) + b"o.",
    "NEWOBJ of Popen": lambda run: b"\x80\x02csubprocess\nPopen\n" + _text(run[6:]) + b"\x85\x81.",
    "BUILD with __setstate__": lambda run: (
        b"\x80\x02cargparse\nNamespace\n)\x81}" + _text("__setstate__") + b"cos\nsystem\nsb" + _text(run) + b"b."
    ),
    "torch.load of another file": lambda run: b"\x80\x02ctorch\nload\n" + _text("other.bin") + b"\x85R.",
    "a pickled module": lambda run: b"\x80\x02}" + _text("a") + b"ctorch.nn.modules.linear\nLinear\n)\x81s.",
    "sparse tensor": lambda run: pickle.dumps({"a": _Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, ())}),
    "strided past its storage": lambda run: _described(b"K\x09K\x09\x86", b"K\x09K\x01\x86"),
    "a stride of 0": lambda run: _described(b"J\0\0\0\x7fJ\0\0\0\x7f\x86", b"K\0K\0\x86"),
}


def _described(shape: bytes, stride: bytes) -> bytes:
    """A state dict of one tensor of that shape and stride, in a storage of four numbers."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu") + b"K\x04tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + shape + stride + b"\x89ccollections\n"
    return b"\x80\x02}" + _text("a") + tensor + b"OrderedDict\n)RtRs."


def _zipped(pickled: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def _legacy(pickled: bytes) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    return b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, system)) + pickled + pickle.dumps([], 2)


def _tarred(pickled: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in (("storages", pickled), ("tensors", pickled), ("pickle", pickled)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _bomb() -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data.pkl", "w") as entry,
    ):
        for _ in range(600):
            entry.write(b"\0" * 2**20)
    return file.getvalue()


def _pickles() -> dict[str, Attack]:
    wraps = {"zip": _zipped, "legacy": _legacy, "bare": bytes}

    def made(pickled: Callable[[str], bytes], wrap: Callable[[bytes], bytes]) -> Attack:
        return Attack(instead("pytorch_model.bin", lambda folder: wrap(pickled(f"touch {folder / RAN}"))), door="model")

    found = {f"pickle: {name} ({form})": made(p, wrap) for name, p in PICKLES.items() for form, wrap in wraps.items()}
    found["pickle: in a tar file"] = made(PICKLES["REDUCE of os.system"], _tarred)
    found["pickle: called model.safetensors"] = Attack(
        lambda folder: (folder / "model.safetensors").write_bytes(
            _legacy(PICKLES["REDUCE of os.system"](f"touch {folder / RAN}"))
        ),
        "model",
    )
    empty = b"\x80\x02}."
    found["zip: compressed"] = Attack(
        instead("pytorch_model.bin", lambda _: _zipped(empty, zipfile.ZIP_DEFLATED)), "model"
    )
    found["zip: bomb of 600 MB in 600 kB"] = Attack(instead("pytorch_model.bin", lambda _: _bomb()), "model")
    return found


# ---- safetensors, HDF5, TensorFlow 1, Flax


def _entry(**values: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | values
    return header(json.dumps({"embeddings.word_embeddings.weight": entry}).encode(), b"\0" * 16)


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "a header of 2^40 bytes": lambda: header(b'{"a":1}', length=2**40),
    "a header of 2^63 bytes": lambda: header(b'{"a":1}', length=2**63),
    "a header 200,000 deep": lambda: header(deep()),
    "a header of 1,000,000 names": lambda: tensors({f"t{i}": "U8" for i in range(10**6)}),
    "a header of 100,000 names": lambda: tensors({f"t{i}": "U8" for i in range(10**5)}),
    "a shape larger than the file": lambda: _entry(shape=[2**30, 2**30], data_offsets=[0, 2**62]),
    "an offset outside": lambda: _entry(data_offsets=[2**40, 2**40 + 16]),
    "negative sizes": lambda: _entry(shape=[-2, -2]),
    "a dtype that is code": lambda: _entry(dtype="__import__('os')"),
    "a name twice": lambda: header(b'{"a":{},"a":{}}'),
}


def _hdf5(write: Callable[[h5py.Group, Path], None]) -> Callable[[Path], None]:
    """A tf_model.h5 with one layer, into which `write` puts its weights."""

    def make(folder: Path) -> None:
        with h5py.File(folder / "tf_model.h5", "w") as file:
            file.attrs["layer_names"] = [b"bert"]
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.15.0"
            layer = file.create_group("bert")
            layer.attrs["weight_names"] = [b"w:0"]
            write(layer, folder)

    return make


def _external(layer: h5py.Group, folder: Path) -> None:
    layer.create_dataset("w:0", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def _virtual(layer: h5py.Group, folder: Path) -> None:
    with h5py.File(folder.parent / f"{folder.name}-other.h5", "w") as other:
        other["secret"] = [1.0, 2.0]
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource(folder.parent / f"{folder.name}-other.h5", "secret", (2,))
    layer.create_virtual_dataset("w:0", layout)


def _reference(layer: h5py.Group, folder: Path) -> None:
    layer["w:0"] = layer.ref


def _put(name: str, value: Any) -> Callable[[h5py.Group, Path], None]:
    def write(layer: h5py.Group, folder: Path) -> None:
        layer[name] = value

    return write


HDF5: dict[str, Callable[[h5py.Group, Path], None]] = {
    "an external link": _put("w:0", h5py.ExternalLink("/etc/passwd", "/x")),
    "external storage": _external,
    "a virtual dataset": _virtual,
    "a soft link to nowhere": _put("w:0", h5py.SoftLink("/nowhere/else")),
    "a soft link in a circle": _put("w:0", h5py.SoftLink("/bert/w:0")),
    "an object reference": _reference,
    "a group that holds itself": lambda layer, _: layer.__setitem__("again", layer),
    "a shape larger than the storage": lambda layer, _: layer.create_dataset("w:0", (2**20, 2**20), "f4"),
    "a shape larger than the storage, chunked": lambda layer, _: layer.create_dataset(
        "w:0", (2**20, 2**20), "f4", chunks=(1024, 1024), compression="gzip"
    ),
    "text of any length": lambda layer, _: layer.create_dataset("w:0", data=["x" * 99], dtype=h5py.string_dtype()),
}

FLAX: dict[str, bytes] = {
    "an array larger than the file": b"\x81\xa1a\xc7\x12\x01\x93\x91\xce\x7f\xff\xff\xff\xa7float32\xc4\x00",
    "200,000 maps deep": b"\x81\xa1a" * 200_000 + b"\x80",
    "a map of 2^32 entries": b"\xdf\xff\xff\xff\xff\xa1a\x01",
    "a text of 2^32 bytes": b"\x81\xdb\xff\xff\xff\xff",
    "an extension of 2^32 bytes": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
}


def _tensorflow_1(footer: bytes, data: Callable[[Path], object] = lambda _: None) -> Callable[[Path], None]:
    """An index of nothing but a footer: two handles (offset, size), 40 bytes in all, and the magic number."""

    def make(folder: Path) -> None:
        (folder / "model.ckpt.index").write_bytes(
            b"\0" * 64 + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
        )
        data(folder)

    return make


TENSORFLOW_1: dict[str, Callable[[Path], None]] = {
    "a block of 2^42 bytes": _tensorflow_1(b"\x00\x08" + b"\x80" * 6 + b"\x01" + b"\x80" * 5 + b"\x01"),
    "a block outside": _tensorflow_1(b"\xff\xff\xff\x7f\x08\xff\xff\xff\x7f\x08"),
    "a FIFO as data": _tensorflow_1(b"\x00\x08\x00\x08", fifo("model.ckpt.data-00000-of-00001")),
}


def _weights() -> dict[str, Attack]:
    made = {f"safetensors: {k}": Attack(content("model.safetensors", v), "model") for k, v in SAFETENSORS.items()}
    made |= {f"h5: {k}": Attack(instead("tf_model.h5", _hdf5(v)), "model") for k, v in HDF5.items()}
    made |= {
        f"flax: {k}": Attack(instead("flax_model.msgpack", lambda _, v=v: v), "model")  # type: ignore[misc]
        for k, v in FLAX.items()
    }
    return made | {f"tf1: {k}": Attack(instead("", v), "model") for k, v in TENSORFLOW_1.items()}


ATTACKS = {**_pickles(), **_weights()}
