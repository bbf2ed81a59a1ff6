"""Every format gives what its own library reads, without a second copy and without touching the file."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import formers
from formers.checkpoints import LazyTensor, open_checkpoint
from formers.checkpoints.names import torch_names
from formers.checkpoints.safetensors import DTYPES
from formers.errors import CheckpointError, NotFoundError

SOURCE = Path(formers.__file__).parents[1]
NEWER = {torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2}
PICKLED = [*DTYPES.values(), torch.complex128]


def random_tensor(dtype: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 100, shape, generator=generator)
    return values % 2 == 0 if dtype == torch.bool else values.to(dtype)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.contiguous().reshape(-1).view(torch.uint8).equal(other.contiguous().reshape(-1).view(torch.uint8))


def save(tensors: dict[str, torch.Tensor], path: Path, form: str) -> dict[str, torch.Tensor]:
    """Write with the format's own library; gives what that library reads back."""
    if form == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})
        return load_file(path)
    torch.save(tensors, path, _use_new_zipfile_serialization=form == "zip")
    if form == "legacy" and any(tensor.dtype in NEWER for tensor in tensors.values()):
        return tensors  # torch writes these, and fails to read them back
    return torch.load(path, weights_only=True)


def states(dtypes: list[torch.dtype]) -> st.SearchStrategy[dict[str, torch.Tensor]]:
    shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
    tensors = st.builds(random_tensor, st.sampled_from(dtypes), shapes, st.integers(0, 9))
    views = tensors.map(lambda t: t.transpose(0, -1) if t.dim() > 1 else t[1:] if t.dim() else t)
    names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")
    return st.dictionaries(names, st.one_of(tensors, views), min_size=1, max_size=5)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_random_states(tmp_path: Path, form: str) -> None:
    dtypes = list(DTYPES.values()) if form == "safetensors" else PICKLED

    @settings(max_examples=60, deadline=None, database=None)
    @given(states(dtypes))
    def check(tensors: dict[str, torch.Tensor]) -> None:
        path = tmp_path / "weights"
        expected = save(tensors, path, form)
        found = open_checkpoint(path)
        assert set(found) == set(expected)
        for name, lazy in found.items():
            assert (lazy.name, lazy.file) == (name, path)
            assert (lazy.shape, lazy.dtype) == (tuple(expected[name].shape), expected[name].dtype)
            assert same(lazy.load(), expected[name])
            if form != "safetensors":
                assert lazy.load().stride() == expected[name].stride()

    check()


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("dtype", PICKLED, ids=str)
def test_every_dtype(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    if form == "safetensors" and dtype == torch.complex128:
        pytest.skip("not in the format")
    tensors = {
        "a": random_tensor(torch.bool, (3,), 0),
        "b": random_tensor(dtype, (5, 3), 1),
        "c": torch.zeros((), dtype=dtype),
    }
    expected = save(tensors, tmp_path / "w", form)
    for name, lazy in open_checkpoint(tmp_path / "w").items():
        assert same(lazy.load(), expected[name])


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_tensors_with_attributes(tmp_path: Path, form: str) -> None:
    tensor, parameter = torch.arange(3.0), torch.nn.Parameter(torch.ones(2))
    tensor.note, parameter.note = "of a program", ["of its own"]  # type: ignore[attr-defined]
    save({"a": tensor, "b": parameter}, tmp_path / "w", form)
    assert b"_rebuild_from_type_v2" in (tmp_path / "w").read_bytes()
    loaded = open_checkpoint(tmp_path / "w")
    assert torch.equal(loaded["a"].load(), tensor) and torch.equal(loaded["b"].load(), parameter)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_views_share_memory(tmp_path: Path, form: str) -> None:
    base, one = torch.arange(12.0), torch.ones(3)
    views = {"base": base, "tail": base[6:], "table": base.view(3, 4).t(), "wide": base[:1].expand(5)}
    save({**views, "one": one, "same": one}, tmp_path / "w", form)
    found = {name: lazy.load() for name, lazy in open_checkpoint(tmp_path / "w").items()}
    found["base"][7] = -1
    assert found["tail"][1] == -1
    assert found["table"][3, 1] == -1
    assert found["wide"].tolist() == [0.0] * 5
    assert found["one"].data_ptr() == found["same"].data_ptr()


def test_odd_addresses(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    (tmp_path / "w").write_bytes(
        len(header).to_bytes(8, "little") + header + torch.tensor([1.5, 2.5]).numpy().tobytes()
    )
    tensor = open_checkpoint(tmp_path / "w")["a"].load()
    assert tensor.data_ptr() % 4 == 0
    assert tensor.tolist() == [1.5, 2.5]


def test_a_copy_leaves_its_neighbours(tmp_path: Path) -> None:
    """What was copied because of its address gives its pages back, and no others."""
    tensors = {f"{i}": torch.full((50_001,), i, dtype=torch.uint8) for i in range(6)}
    raw = b"".join(tensor.numpy().tobytes() for tensor in tensors.values())
    spans = [(name, 50_001 * i, 50_001) for i, name in enumerate(tensors)]
    header: dict[str, object] = {}
    for name, begin, size in spans:
        kind, shape = ("U8", [size]) if int(name) % 2 == 0 else ("F32", [size // 4])
        size = size if kind == "U8" else size // 4 * 4
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, begin + size]}
        if kind == "F32":
            header[f"rest {name}"] = {"dtype": "U8", "shape": [1], "data_offsets": [begin + size, begin + 50_001]}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 8 + 1)
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(text)) + text + raw)
    lazies = open_checkpoint(tmp_path / "w")
    kept = {name: lazies[name].load().fill_(99) for name in ("0", "2", "4")}
    copies = [lazies[name].load() for name in ("1", "3", "5")]
    assert all((tensor == 99).all() for tensor in kept.values())
    assert [int(copy.view(torch.uint8)[0]) for copy in copies] == [1, 3, 5]
    assert torch.equal(lazies["3"].load(), copies[1])


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_changing_a_tensor_leaves_the_file(tmp_path: Path, form: str) -> None:
    save({"a": torch.ones(1000)}, tmp_path / "w", form)
    before = (tmp_path / "w").read_bytes()
    open_checkpoint(tmp_path / "w")["a"].load().zero_()
    assert (tmp_path / "w").read_bytes() == before
    assert open_checkpoint(tmp_path / "w")["a"].load().sum() == 1000


def test_the_file_may_be_replaced_while_its_tensors_are_used(tmp_path: Path) -> None:
    save({"a": torch.ones(100_000)}, tmp_path / "w", "safetensors")
    tensor = open_checkpoint(tmp_path / "w")["a"].load()
    save({"a": torch.zeros(10)}, tmp_path / "new", "safetensors")
    os.replace(tmp_path / "new", tmp_path / "w")
    assert tensor.sum() == 100_000


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(2)}}}},
        lambda state: {"epoch": 3, "model": state, "ema": {"w": torch.ones(2)}},
        lambda state: {"anything": state, "lr": 0.1, "when": "today", "seeds": [1, 2, {"a": b"x"}], "none": None},
        lambda state: {**state, "epoch": 3, "names": {"x"}, "size": torch.Size([2, 3]), "device": torch.device("cpu")},
        lambda state: torch.nn.ParameterDict(state).state_dict(),
        lambda state: {name: torch.nn.Parameter(tensor) for name, tensor in state.items()},
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_state_within_a_training_checkpoint(tmp_path: Path, wrapped, form: str) -> None:
    state = {"a": torch.ones(2, 3), "b": torch.zeros(4)}
    value = wrapped(state)
    if "names" in value and form == "zip":  # Python's sets need a newer protocol to be no call
        torch.save(value, tmp_path / "w", pickle_protocol=4)
    else:
        value.pop("names", None)
        torch.save(value, tmp_path / "w", _use_new_zipfile_serialization=form == "zip")
    found = open_checkpoint(tmp_path / "w")
    assert {name: lazy.load().tolist() for name, lazy in found.items()} == {k: v.tolist() for k, v in state.items()}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(tmp_path: Path, protocol: int) -> None:
    for zipped in (True, False):
        torch.save(
            {"ä": torch.ones(3)}, tmp_path / "w", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
        )
        assert open_checkpoint(tmp_path / "w")["ä"].load().tolist() == [1, 1, 1]


def test_more_entries_than_a_plain_zip_has_room_for(tmp_path: Path) -> None:
    save({"a": torch.ones(3)}, tmp_path / "w", "zip")
    with zipfile.ZipFile(tmp_path / "w") as old, zipfile.ZipFile(tmp_path / "new", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for i in range(65_600):
            new.writestr(f"archive/data/x{i}", b"")
    assert open_checkpoint(tmp_path / "new")["a"].load().tolist() == [1, 1, 1]


def test_file_without_names(tmp_path: Path) -> None:
    for value in ({}, {0: torch.ones(1)}, [torch.ones(1)], torch.ones(1), {"a": 1}):
        torch.save(value, tmp_path / "w")
        with pytest.raises(CheckpointError, match="no tensors with names"):
            open_checkpoint(tmp_path / "w")
    save_file({}, tmp_path / "w")
    assert open_checkpoint(tmp_path / "w") == {}


def test_several_files_are_joined(tmp_path: Path) -> None:
    save({"a": torch.ones(2)}, tmp_path / "1", "safetensors")
    save({"b": torch.ones(2)}, tmp_path / "2", "zip")
    found = open_checkpoint([tmp_path / "1", tmp_path / "2"])
    assert {name: lazy.file.name for name, lazy in found.items()} == {"a": "1", "b": "2"}
    assert all(isinstance(lazy, LazyTensor) for lazy in found.values())
    with pytest.raises(CheckpointError, match=r"'a' is in two files.*1.*1"):
        open_checkpoint([tmp_path / "1", tmp_path / "1"])


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        open_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(tmp_path)


LOAD = """
import sys, torch
from pathlib import Path
from formers.checkpoints import open_checkpoint

def used():
    fields = dict(line.split(":") for line in open("/proc/self/status"))
    return [int(fields[key].split()[0]) * 1024 for key in ("RssAnon", "VmRSS")]

torch.ones(1000).sum()
before = used()
tensors = {name: lazy.load() for name, lazy in open_checkpoint(Path(sys.argv[1])).items()}
total = sum(float(tensor.sum()) for tensor in tensors.values())
anonymous, resident = (after - start for after, start in zip(used(), before))
print(total, anonymous, resident)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_memory(tmp_path: Path, form: str) -> None:
    tensors = {str(i): torch.ones(2500, 1000) for i in range(20)}
    if form == "safetensors":
        save_file(tensors, tmp_path / "w")
    else:
        torch.save(tensors, tmp_path / "w", _use_new_zipfile_serialization=form == "zip")
    output = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "w"],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    total, anonymous, resident = map(float, output.split())
    size = (tmp_path / "w").stat().st_size
    assert total == 50_000_000
    assert anonymous < (size * 1.05 if form == "legacy" else 20_000_000)  # there, odd addresses: copied
    assert resident < size * 1.1


@pytest.mark.parametrize(
    ("name", "torch_name"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
        *[(name, name) for name in ("a.weight", "gamma", "a.gamma.b", "a.weight_g", "alphabeta", "kernel", "a.kernel")],
        ("bert/embeddings/LayerNorm/gamma:0", "bert.embeddings.LayerNorm.weight"),
        ("bert/embeddings/word_embeddings/weight:0", "bert.embeddings.word_embeddings.weight"),
        ("bert/embeddings/position_embeddings/embeddings:0", "bert.embeddings.position_embeddings.weight"),
        ("bert/encoder/layer_._11/output/dense/bias:0", "bert.encoder.layer.11.output.dense.bias"),
        ("mlm___cls/predictions/bias:0", "cls.predictions.bias"),
        ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight"),
        ("bert/encoder/layer_11/output/LayerNorm/beta", "bert.encoder.layer.11.output.LayerNorm.bias"),
        ("cls/predictions/output_bias", "cls.predictions.bias"),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("bert/encoder/layer/11/output/LayerNorm/scale", "bert.encoder.layer.11.output.LayerNorm.weight"),
        ("bert/embeddings/word_embeddings/embedding", "bert.embeddings.word_embeddings.weight"),
    ],
)
def test_names(name: str, torch_name: str) -> None:
    tensor = torch.ones(2, 3)
    (found, same), *more = torch_names({name: tensor}).items()
    assert found == torch_name and same is tensor and not more


@pytest.mark.parametrize("order", [(1, 0), (2, 1, 0), (3, 2, 0, 1)])
def test_kernels_are_turned(order: tuple[int, ...], tmp_path: Path) -> None:
    """A kernel's last dimension, the output, is torch's first; the one before it, the input, is the second."""
    kernel = torch.randn(2, 3, 4, 5)[(0,) * (4 - len(order))]
    save_file({"a/kernel": kernel.contiguous()}, tmp_path / "w")
    lazy = torch_names(open_checkpoint(tmp_path / "w"))["a.weight"]
    assert torch.equal(lazy.load(), kernel.permute(order)) and lazy.load().is_contiguous()
    assert lazy.shape == lazy.load().shape


def test_an_optimizer_s_own_tensors_are_left_out() -> None:
    one = torch.ones(1)
    names = ["a/bias", "a/bias/adam_m", "a/bias/adam_v", "a/bias/Adam", "a/bias/Adam_1", "global_step"]
    assert list(torch_names(dict.fromkeys(names, one))) == ["a.bias"]


def test_two_tensors_of_one_name() -> None:
    with pytest.raises(CheckpointError, match=r"'a\.LayerNorm\.gamma' and 'a\.LayerNorm\.weight' are both"):
        torch_names({"a.LayerNorm.gamma": torch.ones(1), "a.LayerNorm.weight": torch.ones(1)})


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_files_that_shrink_or_change_under_a_copy(tmp_path: Path, form: str) -> None:
    path = tmp_path / "w"
    state = {"a": torch.arange(5000.0), "b": torch.ones(3, dtype=torch.float16)}
    save(state, path, form)
    tensors = open_checkpoint(path, mmap=False)
    loaded = {name: tensor.load() for name, tensor in tensors.items()}
    with open(path, "r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
        file.truncate(10)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert all(torch.equal(tensors[name].load(), tensor) for name, tensor in state.items())


def test_nothing_of_torch_changes(tmp_path: Path) -> None:
    save({"a": torch.ones(3, dtype=torch.float16)}, tmp_path / "w", "safetensors")
    state = random.getstate(), torch.get_rng_state(), torch.get_default_dtype()
    open_checkpoint(tmp_path / "w")["a"].load()
    assert random.getstate() == state[0]
    assert torch.get_rng_state().equal(state[1])
    assert torch.get_default_dtype() == state[2]
