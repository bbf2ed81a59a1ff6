"""Makers of hostile model folders: `ATTACKS` has each by name, as a change to a small valid folder that `valid` makes.

An attack that tries to run code leaves a file in the folder it is loaded from, `RAN`.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
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


# ---- changes


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
            outside.write_bytes(_tensors({"x": "U8"}) if name.endswith("safetensors") else b"secret\n")
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


def _header(text: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _tensors(dtypes: dict[str, str]) -> bytes:
    entries = {n: {"dtype": d, "shape": [0], "data_offsets": [0, 0]} for n, d in dtypes.items()}
    return _header(json.dumps(entries).encode())


def _entry(**values: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | values
    return _header(json.dumps({"embeddings.word_embeddings.weight": entry}).encode(), b"\0" * 16)


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "a header of 2^40 bytes": lambda: _header(b'{"a":1}', length=2**40),
    "a header of 2^63 bytes": lambda: _header(b'{"a":1}', length=2**63),
    "a header 200,000 deep": lambda: _header(deep()),
    "a header of 1,000,000 names": lambda: _tensors({f"t{i}": "U8" for i in range(10**6)}),
    "a header of 100,000 names": lambda: _tensors({f"t{i}": "U8" for i in range(10**5)}),
    "a shape larger than the file": lambda: _entry(shape=[2**30, 2**30], data_offsets=[0, 2**62]),
    "an offset outside": lambda: _entry(data_offsets=[2**40, 2**40 + 16]),
    "negative sizes": lambda: _entry(shape=[-2, -2]),
    "a dtype that is code": lambda: _entry(dtype="__import__('os')"),
    "a name twice": lambda: _header(b'{"a":{},"a":{}}'),
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


# ---- paths


PATHS = {
    "weight_map with ../": Attack(index("../{secret}"), "model"),
    "weight_map with an absolute path": Attack(index("{folder}/../{secret}"), "model"),
    "weight_map with a backslash": Attack(index("..\\{secret}"), "model"),
    "weight_map with a NUL": Attack(index("a\0b.safetensors"), "model"),
    "weight_map with a device": Attack(index("/dev/zero"), "model"),
    "weight_map to a FIFO": Attack(index("pipe.safetensors", fifo("pipe.safetensors")), "model"),
    "weight_map to a link to /dev/zero": Attack(
        index("zero.safetensors", link("zero.safetensors", "/dev/zero")), "model"
    ),
    "weight_map to a link out of the folder": Attack(index("a.safetensors", link("a.safetensors", "./")), "model"),
    "weight_map to itself": Attack(index("model.safetensors.index.json"), "model"),
    "weight_map that is a list": Attack(content("model.safetensors.index.json", '{"weight_map": [1]}'), "model", True),
    "weights that are a FIFO": Attack(fifo("model.safetensors"), "model"),
    "weights that are a link to /dev/zero": Attack(link("model.safetensors", "/dev/zero"), "model"),
    "weights that are a link out of the folder": Attack(link("model.safetensors", "./"), "model"),
    "config that is a FIFO": Attack(fifo("config.json"), "config"),
    "config that is a link to /dev/zero": Attack(link("config.json", "/dev/zero"), "config"),
    "config that is a link out of the folder": Attack(link("config.json", "./"), "config"),
    "vocabulary that is a link out of the folder": Attack(link("vocab.txt", "/etc/passwd"), "tokenizer"),
    "tokenizer.json that is a FIFO": Attack(fifo("tokenizer.json"), "tokenizer"),
    **{
        f"{file}: {key}": Attack(merged(file, **{key: "/etc/passwd"}), "tokenizer", True)
        for file in ("tokenizer_config.json", "special_tokens_map.json")
        for key in ("vocab_file", "tokenizer_file", "vocab", "merges_file", "special_tokens_map_file", "name_or_path")
    },
    "config: _name_or_path": Attack(config(_name_or_path="/etc", _commit_hash="../../x"), "model", True),
    "chat template that is a path": Attack(
        merged("tokenizer_config.json", chat_template="../../../etc/passwd"), "tokenizer", True
    ),
    "chat templates with paths as names": Attack(
        merged("tokenizer_config.json", chat_template=[{"name": "../../x", "template": "{{ 1 }}"}]), "tokenizer", True
    ),
}


# ---- sizes


def _bert_of(**sizes: int) -> Attack:
    return Attack(config(**sizes), "model")


SIZES = {
    "1,000,000 layers": _bert_of(num_hidden_layers=10**6),
    "10,000 layers": _bert_of(num_hidden_layers=10**4),
    "10^8 labels": _bert_of(num_labels=10**8),
    "labels with a key of 5,000 digits": Attack(config(id2label={"9" * 5000: "a"}), "config"),
    "hidden_size 10^9": _bert_of(hidden_size=10**9),
    "intermediate_size 10^12": _bert_of(intermediate_size=10**12),
    "intermediate_size 10^9": _bert_of(intermediate_size=10**9),
    "vocab_size 10^9": _bert_of(vocab_size=10**9),
    "max_position_embeddings 2^31-1": _bert_of(max_position_embeddings=2**31 - 1),
    "type_vocab_size 10^9": _bert_of(type_vocab_size=10**9),
    "num_attention_heads 10^9": _bert_of(num_attention_heads=10**9),
    "hidden_size -8": _bert_of(hidden_size=-8),
    "vocab_size 1e400": Attack(content("config.json", '{"model_type": "bert", "vocab_size": 1e400}'), "model"),
    "a number of 10,000 digits": Attack(content("config.json", '{"vocab_size": ' + "9" * 10_000 + "}"), "config"),
    "pruned_heads of 10^6 layers": Attack(config(pruned_heads={i: [0] for i in range(10**6)}), "model"),
    "config 200,000 deep": Attack(content("config.json", deep()), "config"),
    "config with lists 200,000 deep": Attack(content("config.json", b'{"a":' + b"[" * 200_000), "config"),
    "config of 100,000 keys": Attack(config(**{f"k{i}": 1 for i in range(10**5)}), "config"),
    "config of 1,000,000 keys": Attack(config(**{f"k{i}": 1 for i in range(10**6)}), "config"),
    "index 200,000 deep": Attack(instead("model.safetensors.index.json", lambda _: deep()), "model"),
    "index of 1,000,000 names": Attack(
        instead(
            "model.safetensors.index.json",
            lambda _: json.dumps(
                {"metadata": {}, "weight_map": dict.fromkeys(map(str, range(10**6)), "a")}
            ).encode(),
        ),
        "model",
    ),
    **{f"{name} 200,000 deep": Attack(content(name, deep()), "tokenizer")
       for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")},
    "added_tokens.json with an id of 10^12": Attack(content("added_tokens.json", '{"x": 1000000000000}'), "tokenizer"),
    "added_tokens.json with a negative id": Attack(content("added_tokens.json", '{"x": -1}'), "tokenizer"),
    "added_tokens.json with an id that is text": Attack(content("added_tokens.json", '{"x": "y"}'), "tokenizer"),
    "100,000 added tokens": Attack(
        content("added_tokens.json", json.dumps({f"<{i}>": i + 13 for i in range(100_000)})), "tokenizer"
    ),
    "vocabulary of 10,000,000 blank lines": Attack(
        lambda folder: (
            (folder / "tokenizer.json").unlink(),
            (folder / "vocab.txt").write_text("[UNK]" + "\n" * 10**7 + "a"),
        ),
        "tokenizer",
    ),
    "model_max_length Infinity": Attack(
        merged("tokenizer_config.json", model_max_length=float("inf")), "tokenizer", True
    ),
    "model_max_length NaN": Attack(merged("tokenizer_config.json", model_max_length=float("nan")), "tokenizer", True),
}  # fmt: skip


# ---- names that ask for code


def _evil(**values: Any) -> Callable[[Path], None]:
    """A config with these values beside a module that would leave the canary."""

    def make(folder: Path) -> None:
        config(**values)(folder)
        (folder / "evil.py").write_text(
            f"open({str(folder / RAN)!r}, 'w')\nclass Model: pass\nConfig = Tokenizer = Model\n"
        )

    return make


def _tokenizer_config(**values: Any) -> Attack:
    def make(folder: Path) -> None:
        _evil()(folder)
        merged("tokenizer_config.json", **values)(folder)

    return Attack(make, "tokenizer", True)


AUTO_MAP = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]}
CODE = {
    "auto_map": Attack(_evil(auto_map=AUTO_MAP), "model", True),
    "auto_map and trust_remote_code": Attack(_evil(auto_map=AUTO_MAP, trust_remote_code=True), "model", True),
    "auto_map of an unknown model_type": Attack(_evil(model_type="evil", auto_map=AUTO_MAP), "model"),
    "_attn_implementation": Attack(_evil(_attn_implementation="evil.Model"), "model", True),
    "attn_implementation": Attack(_evil(attn_implementation="kernels-community/evil"), "model", True),
    "_attn_implementation_internal": Attack(_evil(_attn_implementation_internal="evil"), "model", True),
    "custom_pipelines": Attack(_evil(custom_pipelines={"evil": {"impl": "evil.Model"}}), "model", True),
    "quantization_config": Attack(_evil(quantization_config={"quant_method": "evil"}), "model", True),
    "use_kernels": Attack(_evil(use_kernels=True, kernel_config={"Linear": "evil/kernel:Model"}), "model", True),
    "model_type ../../evil": Attack(_evil(model_type="../../evil"), "config"),
    "model_type os": Attack(_evil(model_type="os"), "config"),
    "model_type bert.os": Attack(_evil(model_type="bert.os"), "config"),
    "model_type of 1,000,000 characters": Attack(_evil(model_type="bert" * 250_000), "config"),
    "architectures os": Attack(_evil(model_type=None, architectures=["os", "bert", "BertOs"]), "config"),
    "architectures of 1,000,000 characters": Attack(_evil(architectures=["Bert" * 250_000]), "model", True),
    "hidden_act __class__": Attack(_evil(hidden_act="__class__"), "model"),
    "hidden_act torch.load": Attack(_evil(hidden_act="torch.load"), "model"),
    **{
        f"dtype {name!r}": Attack(_evil(torch_dtype=name), "model", options={"torch_dtype": "auto"})
        for name in ("__import__", "load", "Tensor", "_dynamo", "onnx", ["x"])
    },
    **{
        f"key {name!r}": Attack(_evil(**{name: 1}), "model", True)
        for name in ("__class__", "__dict__", "self", "to_dict", "check", "name_or_path", "use_return_dict", "keys")
    },
    "tokenizer_class os.system": _tokenizer_config(tokenizer_class="os.system"),
    "tokenizer_class BertModel": _tokenizer_config(tokenizer_class="BertModel"),
    "tokenizer auto_map": _tokenizer_config(auto_map=AUTO_MAP, tokenizer_class="Tokenizer"),
    "tokenizer_object": _tokenizer_config(tokenizer_object="x"),
    "tokenizer key self": Attack(merged("tokenizer_config.json", self=1), "tokenizer", True),
    "tokenizer key never_split 5": Attack(merged("tokenizer_config.json", never_split=5), "tokenizer"),
    "tokenizer key pad_token 5": Attack(merged("special_tokens_map.json", pad_token=5), "tokenizer"),
    "tokenizer key model_input_names 5": Attack(merged("tokenizer_config.json", model_input_names=5), "tokenizer"),
    "tokenizer key padding_side": Attack(merged("tokenizer_config.json", padding_side={"a": 1}), "tokenizer"),
    "chat template that is code": _tokenizer_config(
        chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**9) %}{% endfor %}"
    ),
}  # fmt: skip


# ---- JSON that is no JSON

TEXT = json.dumps(CONFIG)
JSON: dict[str, tuple[bytes, bool]] = {
    "NaN": (TEXT.replace("}", ', "layer_norm_eps": NaN}').encode(), False),
    "Infinity": (TEXT.replace("}", ', "initializer_range": Infinity}').encode(), False),
    "a key twice": (TEXT.replace("{", '{"vocab_size": 1000000000, ', 1).encode(), True),
    "a byte order mark": (TEXT.encode("utf-8-sig"), True),
    "UTF-16": (TEXT.encode("utf-16"), False),
    "NUL bytes": (TEXT.replace(" ", "\0").encode(), False),
    "a lone surrogate": (TEXT.replace("}", r', "id2label": {"0": "\ud800", "1": "\udfff"}}').encode(), True),
    "bytes that are no text": (b"\xff\xfe\xfa" + TEXT.encode(), False),
}
TOKENIZER_JSON: dict[str, tuple[str, bytes]] = {
    "a lone surrogate": ("special_tokens_map.json", rb'{"pad_token": "\ud800"}'),
    "a lone surrogate as key": ("added_tokens.json", rb'{"\ud800": 13}'),
    "UTF-16": ("tokenizer_config.json", '{"pad_token": "[PAD]"}'.encode("utf-16")),
    "NUL bytes": ("tokenizer.json", b"\0" * 1000),
    "bytes that are no text": ("vocab.txt", b"\xff\xfe\xfa"),
}


def _json() -> dict[str, Attack]:
    made = {
        f"config.json with {k}": Attack(content("config.json", data), "model", loads)
        for k, (data, loads) in JSON.items()
    }

    def change(name: str, data: bytes) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            if name == "vocab.txt":
                (folder / "tokenizer.json").unlink()
            content(name, data)(folder)

        return make

    return made | {
        f"{name} with {k}": Attack(change(name, data), "tokenizer") for k, (name, data) in TOKENIZER_JSON.items()
    }


# ---- tokenizer.json


def backend(**parts: Any) -> Attack:
    """A tokenizer.json with these parts, which no class of ours replaces."""

    def make(folder: Path) -> None:
        merged("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")(folder)
        merged("tokenizer.json", **parts)(folder)

    return Attack(make, "tokenizer")


def _word_piece(number: int) -> dict[str, Any]:
    rest = {"unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    return {"type": "WordPiece", "vocab": {"a": number}, **rest}


def _regex(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _replace(pattern: dict[str, str], new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": new}


BACKEND = {
    "tokenizer.json: (.+)+é": backend(pre_tokenizer=_regex("(.+)+[é-ü]")),
    "tokenizer.json: (.|th)*é": backend(normalizer=_replace({"Regex": "(.|th)*[é-ü]"}, "x")),
    "tokenizer.json: .+.+é": backend(pre_tokenizer=_regex(".+.+[é-ü]")),
    "tokenizer.json: text that grows": backend(
        normalizer={"type": "Sequence", "normalizers": [_replace({"String": "a"}, "a" * 100)] * 6}
    ),
    "tokenizer.json: a broken pattern": backend(pre_tokenizer=_regex("(a")),
    "tokenizer.json: an unknown part": backend(normalizer={"type": "Evil", "path": "/etc/passwd"}),
    "tokenizer.json: a broken character map": backend(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}
    ),
    "tokenizer.json: a vocabulary with an id of 2^32": backend(model=_word_piece(2**32)),
    "tokenizer.json: a vocabulary with a negative id": backend(model=_word_piece(-1)),
    "tokenizer.json: an unknown token that is not there": backend(
        model={"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]}
    ),
    "tokenizer.json: merges of nothing": backend(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}),
    "tokenizer.json: special tokens of no id": backend(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
}  # fmt: skip

with warnings.catch_warnings():
    ATTACKS: dict[str, Attack] = {
        **_pickles(),
        **_weights(),
        **PATHS,
        **SIZES,
        **CODE,
        **_json(),
        **BACKEND,
    }
