"""TensorFlow's HDF5 files: what Keras and Transformers write is read as h5py reads it, and nothing else is."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from damage import flipped, patched
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.checkpoints import LazyTensor, tf_h5
from formers.checkpoints.tensor import MappedFile
from formers.errors import CheckpointError, FormersError
from tests.clock import within

Arrays = dict[str, np.ndarray]
DRAW = np.random.default_rng(0)
WEIGHTS: Arrays = {
    "bert/embeddings/word_embeddings/weight:0": DRAW.normal(size=(7, 4)).astype("f4"),
    "bert/encoder/layer_._0/attention/self/query/kernel:0": DRAW.normal(size=(4, 4)).astype("f4"),
    "bert/encoder/layer_._0/attention/self/query/bias:0": DRAW.normal(size=4).astype("f4"),
    "mlm___cls/predictions/bias:0": DRAW.normal(size=7).astype("f4"),
}
SHARED = "bert/embeddings/word_embeddings/weight:0"


def write_keras(
    root: h5py.Group, weights: Arrays, model: str = "tf_bert_for_pre_training/", split: int = 0, fixed: bool = False
) -> None:
    """As `save_weights` does; `split`: names of one attribute, `fixed`: names as Keras wrote them before 2.4."""

    def put(group: h5py.Group, name: str, values: list[str]) -> None:
        data = np.array([value.encode() for value in values]) if fixed else values
        if not split or not values:
            group.attrs[name] = data
        for part in range(0, len(values) if split else 0, split or 1):
            group.attrs[f"{name}{part // split}"] = data[part : part + split]

    layers: dict[str, Arrays] = {"dropout": {}}
    for name, array in weights.items():
        layers.setdefault(name.split("/")[0], {})[f"{model}{name}"] = array
    if SHARED in weights and "mlm___cls" in layers:
        layers["mlm___cls"][f"{model}{SHARED}"] = weights[SHARED]
    put(root, "layer_names", list(layers))
    root.attrs["backend"] = "tensorflow"
    root.attrs["keras_version"] = b"2.15.0"
    for layer, arrays in [*layers.items(), ("top_level_model_weights", {f"{model}scale:0": np.float32(3)})]:
        group = root.create_group(layer)
        put(group, "weight_names", list(arrays))
        for name, array in arrays.items():
            group.create_dataset(name, array.shape, array.dtype)[...] = array


def write_shard(root: h5py.Group, weights: Arrays) -> None:
    """As the sharded `save_pretrained` does."""
    for name, array in sorted(weights.items()):
        root.create_dataset(name, array.shape, dtype=array.dtype)[...] = array
    root.attrs["layer_names"] = [name.encode() for name in sorted(weights)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tf_model.h5"


def made(path: Path, write: Callable[..., None], *arguments: object, **options: object) -> bytes:
    with h5py.File(path, "w") as root:
        write(root, *arguments, **options)
    return path.read_bytes()


def opened(path: Path, mmap: bool = True) -> dict[str, LazyTensor]:
    file = MappedFile(path, mmap=mmap)
    assert tf_h5.matches(file)
    return tf_h5.read(file)


def refused(path: Path, words: str) -> None:
    with within(2), pytest.raises(CheckpointError, match=words) as caught:
        opened(path)
    assert str(path) in str(caught.value)


def equal(tensors: Mapping[str, LazyTensor], weights: Arrays) -> None:
    assert set(tensors) == set(weights)
    for name, array in weights.items():
        assert tensors[name].shape == array.shape
        assert torch.equal(tensors[name].load(), torch.from_numpy(np.array(array)))


# What is read


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("split", [0, 1, 2])
def test_keras(path: Path, split: int, fixed: bool, mmap: bool) -> None:
    made(path, write_keras, WEIGHTS, split=split, fixed=fixed)
    equal(opened(path, mmap), WEIGHTS | {"scale:0": np.float32(3)})


@pytest.mark.parametrize("model", ["", "bert/", "tf_bert_model_1/"])
def test_models_name(path: Path, model: str) -> None:
    made(path, write_keras, WEIGHTS, model)
    with h5py.File(path, "r+") as root:
        del root["top_level_model_weights"]
    equal(opened(path), WEIGHTS)


def test_shards(path: Path) -> None:
    made(path, write_shard, WEIGHTS)
    equal(opened(path), WEIGHTS)


def test_whole_keras_models(path: Path) -> None:
    with h5py.File(path, "w") as root:
        root.attrs["model_config"] = "{}"
        write_keras(root.create_group("model_weights"), WEIGHTS)
        root.create_group("optimizer_weights").create_dataset("Adam/m/x:0", data=np.zeros(3))
    equal(opened(path), WEIGHTS | {"scale:0": np.float32(3)})


def test_more_than_one_node_of_members(path: Path) -> None:
    weights = {f"bert/layer_._{i}/kernel:0": np.full((1, 2), i, "f4") for i in range(300)}
    made(path, write_keras, weights)
    equal(opened(path), weights | {"scale:0": np.float32(3)})
    made(path, write_shard, weights)
    equal(opened(path), weights)


def test_names_of_other_scripts(path: Path) -> None:
    weights = {"模型/层 один/kernel:0": np.ones(2, "f4")}
    made(path, write_shard, weights)
    with h5py.File(path, "r+") as root:
        root.attrs["作者"] = "x"
    equal(opened(path), weights)


DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 5), (1,) * 32])
def test_dtypes(path: Path, shape: tuple[int, ...]) -> None:
    weights = {f"a/{dtype}:0": DRAW.integers(0, 100, shape).astype(dtype) for dtype in DTYPES}
    made(path, write_shard, weights)
    equal(opened(path), weights)


def test_bfloat16(path: Path) -> None:
    kind = h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_precision(16)
    kind.set_size(2)
    kind.set_ebias(127)
    made(path, write_shard, {})
    want = torch.randn(5).bfloat16()
    with h5py.File(path, "r+") as root:
        del root.attrs["layer_names"]
        root.attrs["layer_names"] = [b"x"]
        data = h5d.create(root.id, b"x", kind, h5s.create_simple((5,)))
        data.write(h5s.ALL, h5s.ALL, want.view(torch.int16).numpy(), mtype=kind)
    assert torch.equal(opened(path)["x"].load(), want)


def test_opening_reads_no_data_and_tensors_are_views(path: Path) -> None:
    big = np.zeros(2**24, "f4")  # 64 MB
    made(path, write_shard, {"a:0": big, "b:0": big})
    tracemalloc.start()
    tensors = opened(path)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    first, again = tensors["a:0"].load(), tensors["a:0"].load()
    assert first.data_ptr() == again.data_ptr()
    first[0] = 1  # in memory only
    with h5py.File(path) as root:
        assert root["a:0"][0] == 0


def test_no_library_is_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path, write_shard, WEIGHTS)
    monkeypatch.setitem(sys.modules, "h5py", None)
    equal(opened(path), WEIGHTS)


def test_copies_of_one_weight_must_agree(path: Path) -> None:
    made(path, write_keras, WEIGHTS)
    with h5py.File(path, "r+") as root:
        root[f"mlm___cls/tf_bert_for_pre_training/{SHARED}"][0, 0] += 1
    tensors = opened(path)
    with pytest.raises(CheckpointError, match="2 times, with different values"):
        tensors[SHARED].load()
    assert tensors["mlm___cls/predictions/bias:0"].load().shape == (7,)


# What is refused


def link(value: object) -> Callable[[h5py.Group], None]:
    def change(root: h5py.Group) -> None:
        root["bert"]["x:0"] = value

    return change


def dataset(**options: object) -> Callable[[h5py.Group], None]:
    return lambda root: root["bert"].create_dataset("x:0", **options) and None


def virtual(root: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    root["bert"].create_virtual_dataset("x:0", layout)


def compact(root: h5py.Group) -> None:
    how = h5p.create(h5p.DATASET_CREATE)
    how.set_layout(h5d.COMPACT)
    h5d.create(root["bert"].id, b"x:0", h5t.IEEE_F32LE, h5s.create_simple((2,)), how).write(
        h5s.ALL, h5s.ALL, np.ones(2, "f4")
    )


def never_written(root: h5py.Group) -> None:
    root["bert"].create_dataset("x:0", (2**40, 2**10), "f4")


def no_space(root: h5py.Group) -> None:
    root["bert"].create_dataset("x:0", data=h5py.Empty("f4"))


def hard_cycle(root: h5py.Group) -> None:
    root["bert"]["up"] = root["bert"]


def to_the_root(root: h5py.Group) -> None:
    root["bert"]["up"] = root["/"]


def twice(root: h5py.Group) -> None:
    names: list[str] = []
    root.visit(names.append)
    root["bert/x:0"] = root[next(name for name in names if name.endswith("predictions/bias:0"))]


def committed_type(root: h5py.Group) -> None:
    root["bert/kind"] = np.dtype("f4")


def dataset_of_committed_type(root: h5py.Group) -> None:
    root["kind"] = np.dtype("f4")
    root["bert"].create_dataset("x:0", (2,), root["kind"])


def deep(root: h5py.Group) -> None:
    root["bert"].create_dataset("/".join("a" * 200) + "/x:0", data=np.ones(1))


def long_name(root: h5py.Group) -> None:
    root["bert"].create_dataset("x" * 60_000, data=np.ones(1))


def newer_group(root: h5py.Group) -> None:
    root["bert"].create_group("new", track_order=True)


def odd_name(name: str) -> Callable[[h5py.Group], None]:
    return lambda root: root["bert"].create_dataset(name, data=np.ones(1)) and None


ATTACKS: dict[str, tuple[Callable[[h5py.Group], None], str]] = {
    "external link": (link(h5py.ExternalLink("/etc/passwd", "/x")), "link to other files"),
    "soft link": (link(h5py.SoftLink("/mlm___cls")), "is a link to a name"),
    "soft link to itself": (link(h5py.SoftLink("x:0")), "is a link to a name"),
    "virtual": (virtual, "virtual"),
    "external storage": (dataset(shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)]), "another file"),
    "chunked": (dataset(data=np.zeros(8), chunks=(2,)), "chunked"),
    "compressed": (dataset(data=np.zeros(1_000_000), compression="gzip"), "compressed"),
    "resizable": (dataset(data=np.zeros(8), maxshape=(None,)), "chunked"),
    "compact": (compact, "compact"),
    "never written": (never_written, "needs 4,503,599,627,370,496 bytes, and has 0"),
    "no space": (no_space, "shape"),
    "object reference": (dataset(shape=(2,), dtype=h5py.ref_dtype), "a type"),
    "region reference": (dataset(shape=(2,), dtype=h5py.regionref_dtype), "a type"),
    "variable-length strings": (dataset(data=["a", "b"]), "a type"),
    "variable-length arrays": (dataset(shape=(2,), dtype=h5py.vlen_dtype("f4")), "a type"),
    "compound": (dataset(data=np.zeros(2, [("a", "f4"), ("b", "i4")])), "a type"),
    "complex": (dataset(data=np.zeros(2, "c8")), "a type"),
    "strings": (dataset(data=np.array([b"ab"])), "a type"),
    "opaque": (dataset(data=np.zeros(2, "V4")), "a type"),
    "enum": (dataset(shape=(2,), dtype=h5py.enum_dtype({"TRUE": 0, "FALSE": 1}, "i1")), "a type"),
    "big-endian": (dataset(data=np.zeros(2, ">f4")), "little-endian"),
    "big-endian integers": (dataset(data=np.zeros(2, ">i4")), "little-endian"),
    "arrays": (dataset(shape=(2,), dtype=np.dtype(("f4", (2,)))), "a type"),
    "hard cycle": (hard_cycle, "overlap"),
    "root below itself": (to_the_root, "overlap"),
    "object twice": (twice, "overlap|names 3 tensors"),
    "committed type": (committed_type, "neither a group nor a dataset"),
    "of a committed type": (dataset_of_committed_type, "another place|neither"),
    "deep": (deep, "too deep"),
    "long name": (long_name, "longer than 1000 bytes"),
    "newer group": (newer_group, "newer kind"),
    "control character": (odd_name("a\nb"), "impossible name"),
    "right to left": (odd_name("a\u202eb"), "impossible name"),
    "one too many": (odd_name("y:0"), "names 3 tensors, and has 4|layer_names are 4; it has 0 layers and 5"),
    "two dots": (odd_name(".."), "impossible name"),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("write", [write_keras, write_shard])
def test_attacks(path: Path, name: str, write: Callable[..., None]) -> None:
    made(path, write, WEIGHTS)
    change, words = ATTACKS[name]
    with h5py.File(path, "r+") as root:
        change(root)
    refused(path, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"libver": "latest"}, "version 3"),
        ({"libver": ("v108", "v108")}, "version 2"),
        ({"userblock_size": 512}, "cannot happen"),
        ({"track_order": True}, "newer kind"),
    ],
)
def test_other_kinds_of_file(path: Path, options: dict[str, object], words: str) -> None:
    with h5py.File(path, "w", **options) as root:
        write_shard(root, WEIGHTS)
    if "userblock_size" in options:
        assert not tf_h5.matches(MappedFile(path))
    else:
        refused(path, words)


@pytest.mark.parametrize("write", [lambda root: None, lambda root: root.create_dataset("x", data=np.ones(2))])
def test_files_without_layer_names(path: Path, write: Callable[..., None]) -> None:
    made(path, write)
    refused(path, "layer_names")


def test_layers_and_loose_tensors(path: Path) -> None:
    made(path, write_keras, WEIGHTS)
    with h5py.File(path, "r+") as root:
        root["loose:0"] = np.ones(2)
    refused(path, "layer_names are 3; it has 3 layers and 1 tensors in none")


def test_fewer_layers_than_named(path: Path) -> None:
    made(path, write_keras, WEIGHTS)
    with h5py.File(path, "r+") as root:
        del root["mlm___cls"]
    refused(path, "layer_names are 3")


def test_two_shapes_of_one_weight(path: Path) -> None:
    made(path, write_keras, WEIGHTS)
    with h5py.File(path, "r+") as root:
        name = f"mlm___cls/tf_bert_for_pre_training/{SHARED}"
        del root[name]
        root[name] = np.ones(3, "f4")
    refused(path, "several shapes or types")


def test_many_members(path: Path) -> None:
    with h5py.File(path, "w") as root:
        root.attrs["layer_names"] = [b"x"]
        for i in range(18_000):
            h5py.h5g.create(root.id, b"%d" % i)
    refused(path, "parts: no model has so many")


def test_many_attributes(path: Path) -> None:
    made(path, write_shard, WEIGHTS)
    with h5py.File(path, "r+") as root:
        for i in range(50):
            root["bert"].attrs[f"weight_names{i}"] = np.zeros(60_000, "i1")
    refused(path, "names 3,000,000 tensors, and has 3")


def changed(path: Path, data: bytes, old: bytes, new: bytes) -> None:
    assert len(old) == len(new) and old in data
    path.write_bytes(data.replace(old, new, 1))


@pytest.mark.parametrize(
    "name", ["embed/ings", "/mbeddings", ".\0beddings", "..\0eddings", "\0mbeddings", "emb\u0007ddings"]
)
def test_names_that_lead_elsewhere(path: Path, name: str) -> None:
    data = made(path, write_shard, WEIGHTS)
    changed(path, data, b"embeddings\0", name.encode()[:10].ljust(10, b"x") + b"\0")
    refused(path, "impossible name")


def test_names_that_are_no_text(path: Path) -> None:
    data = made(path, write_shard, WEIGHTS)
    changed(path, data, b"embeddings\0", b"embed\xff\xfeing\0")
    refused(path, "impossible name")


def test_same_name_twice(path: Path) -> None:
    data = made(path, write_shard, WEIGHTS | {"bert/embeddings/word_embeddinga/weight:0": np.ones(2)})
    changed(path, data, b"word_embeddinga\0", b"word_embeddings\0")
    refused(path, "twice")


@pytest.mark.parametrize("where", [0, 8, 96, 2**40, 2**64 - 1, 2**64 - 2, 2**63])
def test_data_elsewhere(path: Path, where: int) -> None:
    data = bytearray(made(path, write_shard, WEIGHTS))
    with h5py.File(path) as root:
        offset = root[SHARED].id.get_offset()
    struct.pack_into("<Q", data, data.index(struct.pack("<QQ", offset, 7 * 4 * 4)), where)
    path.write_bytes(data)
    refused(path, "overlap|should be|has 0")


def test_tensors_that_overlap(path: Path) -> None:
    data = bytearray(made(path, write_shard, WEIGHTS))
    with h5py.File(path) as root:
        offset = root[SHARED].id.get_offset()
        other = root["mlm___cls/predictions/bias:0"].id.get_offset()
    struct.pack_into("<Q", data, data.index(struct.pack("<QQ", offset, 7 * 4 * 4)), other - 4)
    path.write_bytes(data)
    refused(path, "overlap")


@pytest.mark.parametrize("shape", [(7, 5), (2**40, 4), (2**62, 2**62), (2**64 - 1, 4), (0, 2**63)])
def test_shapes_that_do_not_fit(path: Path, shape: tuple[int, int]) -> None:
    data = bytearray(made(path, write_shard, WEIGHTS))
    struct.pack_into("<QQ", data, data.index(struct.pack("<QQ", 7, 4)), *shape)
    path.write_bytes(data)
    refused(path, "shape")


@pytest.mark.parametrize("at", [24, 32])  # a child of the node, where the tree's first key and child are
def test_trees_that_end_nowhere(path: Path, at: int) -> None:
    data = made(path, write_shard, WEIGHTS)
    tree = data.index(b"TREE")
    for level in (0, 1, 2, 255):
        cycle = bytearray(data)
        cycle[tree + 5] = level
        struct.pack_into("<Q", cycle, tree + at, tree)
        path.write_bytes(cycle)
        try:
            opened(path)
            assert at == 24 and level == 0  # keys only help to search
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("mark", [b"TREE", b"SNOD", b"HEAP"])
def test_groups_that_share(path: Path, mark: bytes) -> None:
    """The HDF5 library does not survive all of these."""
    data = made(path, write_shard, WEIGHTS)
    one, other = (struct.pack("<Q", place) for place in [data.index(mark), data.rindex(mark)])
    path.write_bytes(data.replace(other, one))
    refused(path, "overlap|impossible name")


@pytest.mark.parametrize("mark", [b"TREE", b"SNOD", b"HEAP"])
def test_parts_of_another_kind(path: Path, mark: bytes) -> None:
    changed(path, made(path, write_shard, WEIGHTS), mark, b"XXXX")
    refused(path, "is not where|are not where")


def test_header_that_continues_in_itself(path: Path) -> None:
    made(path, write_shard, WEIGHTS)
    with h5py.File(path, "r+") as root:
        for i in range(50):
            root["bert"].attrs[f"x{i}"] = i
        address = h5py.h5o.get_info(root["bert"].id).addr
    data = bytearray(path.read_bytes())
    position = address + 16
    while data[position] != 16:
        position += 8 + int.from_bytes(data[position + 2 : position + 4], "little")
    struct.pack_into("<Q", data, position + 8, address + 16)
    path.write_bytes(data)
    refused(path, "overlap|twice|messages|is cut")


# What is damaged


@pytest.mark.parametrize("write", [write_keras, write_shard])
def test_cut_anywhere(path: Path, write: Callable[..., None]) -> None:
    data = made(path, write, WEIGHTS)
    for size in [*range(8, len(data), 64), len(data) - 1]:
        path.write_bytes(data[:size])
        refused(path, "bytes")
    path.write_bytes(data + b"x")
    refused(path, "says that it has")


def survives(path: Path, data: bytes, weights: Arrays) -> None:
    """Only a FormersError may leave; with `weights`, a tensor of a known name has the known values."""
    path.write_bytes(data)
    with within(2):
        try:
            tensors = {name: lazy.load() for name, lazy in tf_h5.read(MappedFile(path)).items()}
        except FormersError as error:
            assert str(path) in str(error)  # noqa: PT017
            tensors = {}
    for name in tensors.keys() & weights.keys():
        assert torch.equal(tensors[name], torch.from_numpy(weights[name]))


WRITERS = pytest.mark.parametrize("write", [write_keras, write_shard])


@WRITERS
def test_flips(path: Path, write: Callable[..., None]) -> None:
    data = made(path, write, WEIGHTS)
    spans = []
    with h5py.File(path) as root:
        root.visititems(lambda _, item: spans.append(item.id) if isinstance(item, h5py.Dataset) else None)
        inside = [i for data in spans for i in range(data.get_offset(), data.get_offset() + data.get_storage_size())]
    outside = sorted(set(range(8, len(data))) - set(inside))

    @settings(max_examples=300, deadline=None, database=None)
    @given(flipped(data, outside))
    def around_the_data(changed: bytes) -> None:
        survives(path, changed, WEIGHTS)

    @settings(max_examples=100, deadline=None, database=None)
    @given(flipped(data, range(8, len(data)), most=20))
    def anywhere(changed: bytes) -> None:
        survives(path, changed, {})

    around_the_data()
    anywhere()


@WRITERS
def test_addresses_that_change(path: Path, write: Callable[..., None]) -> None:
    """Of all changes these are the ones that the HDF5 library does not survive."""
    data = made(path, write, WEIGHTS)
    words = {place: struct.unpack_from("<Q", data, place)[0] for place in range(0, len(data) - 7, 8)}
    places = [place for place, word in words.items() if 0 < word < len(data)]
    targets = sorted({words[place] for place in places} | {0, 2**64 - 1, 2**40, len(data)})

    @settings(max_examples=300, deadline=None, database=None)
    @given(st.lists(st.tuples(st.sampled_from(places), st.sampled_from(targets)), min_size=1, max_size=4))
    def check(changes: list[tuple[int, int]]) -> None:
        moved = bytearray(data)
        for place, target in changes:
            struct.pack_into("<Q", moved, place, target)
        survives(path, bytes(moved), {})

    check()


@WRITERS
def test_insertions_and_deletions(path: Path, write: Callable[..., None]) -> None:
    data = made(path, write, WEIGHTS)

    @settings(max_examples=150, deadline=None, database=None)
    @given(patched(data, first=8, most=40))
    def check(changed: bytes) -> None:
        survives(path, changed, {})

    check()
