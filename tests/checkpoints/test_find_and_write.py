"""Which files a model's weights are in, and files that are written."""

from __future__ import annotations

import errno
import json
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from formers.atomic import replacing
from formers.checkpoints import file_given, find_weights, open_checkpoint
from formers.checkpoints.safetensors import DTYPES
from formers.checkpoints.write import save_checkpoint
from formers.errors import CheckpointError, InputError, NotFoundError
from formers.hub import locate


def find(folder: Path, **options) -> list[str]:
    return [path.name for path in find_weights(locate(str(folder)), **options)]


def index(folder: Path, table: object, name: str = "model.safetensors.index.json") -> Path:
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return folder / name


ALL = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.fp16.safetensors",
    "pytorch_model.fp16.bin",
]


def test_order(tmp_path: Path) -> None:
    for name in ALL:
        (tmp_path / name).write_bytes(b"x")
    for kind in ("model.safetensors", "pytorch_model.bin"):
        index(tmp_path, {"a": "b.part", "c": "a.part", "d": "b.part"}, f"{kind}.index.json")
    for part in ("a.part", "b.part"):
        (tmp_path / part).write_bytes(b"x")
    assert find(tmp_path, variant="fp16") == ["model.fp16.safetensors"]
    assert find(tmp_path, use_safetensors=False) == ["pytorch_model.bin"]
    assert find(tmp_path, use_safetensors=False, variant="fp16") == ["pytorch_model.fp16.bin"]
    assert find(tmp_path) == ["model.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    assert find(tmp_path) == ["model.safetensors.index.json", "b.part", "a.part"]
    assert find(tmp_path, use_safetensors=True) == ["model.safetensors.index.json", "b.part", "a.part"]
    (tmp_path / "model.safetensors.index.json").unlink()
    assert find(tmp_path) == ["pytorch_model.bin"]
    (tmp_path / "pytorch_model.bin").unlink()
    assert find(tmp_path) == ["pytorch_model.bin.index.json", "b.part", "a.part"]


def test_order_of_frameworks(tmp_path: Path) -> None:
    names = ["pytorch_model.bin", "tf_model.h5", "model.ckpt.index", "flax_model.msgpack"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert find(tmp_path, first="tf") == ["tf_model.h5"]
    assert find(tmp_path, first="flax") == ["flax_model.msgpack"]
    for name in names:
        assert find(tmp_path) == [name]
        (tmp_path / name).unlink()
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert find(tmp_path, first="tf") == ["model.safetensors"]


@pytest.mark.parametrize("kind", ["tf_model.h5", "flax_model.msgpack"])
def test_shards_of_other_frameworks(tmp_path: Path, kind: str) -> None:
    index(tmp_path, {"a": "b.part", "c": "a.part"}, f"{kind}.index.json")
    for part in ("a.part", "b.part"):
        (tmp_path / part).write_bytes(b"x")
    assert find(tmp_path) == [f"{kind}.index.json", "b.part", "a.part"]


def test_several_tensorflow_checkpoints(tmp_path: Path) -> None:
    for step in (0, 10):
        (tmp_path / f"model.ckpt-{step}.index").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"model\.ckpt-0\.index, model\.ckpt-10\.index.*path of one"):
        find(tmp_path)


def test_a_file_that_is_given(tmp_path: Path) -> None:
    for name in ("any.bin", "model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"x")
    assert file_given(tmp_path / "any.bin") == tmp_path / "any.bin"
    for name in ("model.ckpt-10", "model.ckpt-10.index"):
        assert file_given(str(tmp_path / name)) == tmp_path / "model.ckpt-10.index"
    for name in (tmp_path, str(tmp_path) + "/", "bert-base-uncased", "", ".", "/", tmp_path / "no", 5, None):
        assert file_given(name) is None


def test_only_what_is_used_is_fetched() -> None:
    class Repository:
        is_local, where = False, "The repository 'x'"
        asked: list[str] = []

        def file(self, name: str) -> Path | None:
            self.asked.append(name)
            return Path("/cache") / name

    assert find_weights(Repository()) == [Path("/cache/model.safetensors")]
    assert Repository.asked == ["model.safetensors"]


@pytest.mark.parametrize(
    ("there", "options", "words"),
    [
        ([], {}, "looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin.*is empty"),
        (["config.json"], {}, "It has config.json"),
        (["pytorch_model.bin"], {"use_safetensors": True}, "It has pytorch_model.bin.*use_safetensors="),
        (["model.safetensors"], {"variant": "fp16"}, "model.fp16.safetensors.*It has model.safetensors.*'fp16'"),
        (["model.fp16.safetensors"], {}, "It has model.fp16.safetensors.*variant="),
        (["model.gguf"], {}, "It has model.gguf: load that file by its path, or give gguf_file=.model.gguf.,"),
        (["model.onnx"], {}, r"model.onnx \(ONNX\), which cannot be read. Get the model's safetensors"),
        (["tf_model.h5"], {"use_safetensors": True}, "It has tf_model.h5.*use_safetensors="),
        (["bert_model.ckpt.index"], {"variant": "fp16"}, "It has bert_model.ckpt.index"),
    ],
)
def test_none_there(tmp_path: Path, there: list[str], options: dict, words: str) -> None:
    for name in there:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(NotFoundError, match=words) as caught:
        find(tmp_path, **options)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "shard",
    ["../evil", "/etc/passwd", "sub/file", "..", ".", "", ".hidden", "a\\b", "C:x", "a\0b", "a\nb", 3, None, ["a"]],
    ids=repr,
)
def test_shards_are_plain_names(tmp_path: Path, shard: object) -> None:
    path = index(tmp_path, {"a": shard})
    for use in (lambda: find(tmp_path), lambda: open_checkpoint(path)):
        with pytest.raises(CheckpointError, match="plain file name"):
            use()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no valid JSON"),
        ("{" * 200_000, "no valid JSON"),
        ('{"a":' * 200_000, "no valid JSON"),
        ('{"a": "\xff', "no valid JSON"),
        ("{}        ", "no weight_map"),
        ('{"weight_map": {}}', "no weight_map"),
        ('{"weight_map": ["a"]}', "no weight_map"),
    ],
)
def test_broken_index(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=words) as caught:
        open_checkpoint(find_weights(locate(str(tmp_path))))
    assert "model.safetensors.index.json" in str(caught.value)


def test_index_that_is_a_pointer(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("version https://git-lfs.github.com/spec/v1\nsize 99\n")
    with pytest.raises(CheckpointError, match="git-LFS"):
        open_checkpoint(find_weights(locate(str(tmp_path))))


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_shards(tmp_path: Path, form: str) -> None:
    tensors = {f"layer.{i}": torch.full((10,), float(i)) for i in range(5)}
    if form == "safetensors":
        names = save_checkpoint(tensors, tmp_path, max_shard_size=100)
        assert names == [*(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)), "model.safetensors.index.json"]
    else:
        table = {name: f"pytorch_model-{i % 2}.bin" for i, name in enumerate(tensors)}
        for shard in set(table.values()):
            torch.save({name: tensors[name] for name in table if table[name] == shard}, tmp_path / shard)
        index(tmp_path, table, "pytorch_model.bin.index.json")
    files = find_weights(locate(str(tmp_path)))
    for given in (files, files[0], files[1:]):
        found = open_checkpoint(given)
        assert {name: lazy.load().tolist() for name, lazy in found.items()} == {
            k: v.tolist() for k, v in tensors.items()
        }
    files[2].unlink()
    for use in (lambda: find(tmp_path), lambda: open_checkpoint(files[0])):
        with pytest.raises(CheckpointError, match=f"{files[2].name}'.*has no such file"):
            use()


def test_index_and_shards_that_do_not_belong_together(tmp_path: Path) -> None:
    save_checkpoint({"a": torch.ones(1)}, tmp_path)
    os.rename(tmp_path / "model.safetensors", tmp_path / "part")
    path = index(tmp_path, {"a": "part", "b": "part"})
    with pytest.raises(CheckpointError, match="'b' is in 'part', and it is not there"):
        open_checkpoint(path)


# Writing


def test_written_files_are_read_by_the_library(tmp_path: Path) -> None:
    grid = torch.arange(24.0).view(4, 6)
    tensors = {
        "odd": torch.ones(3, dtype=torch.uint8),
        "transposed": grid.t(),
        "strided": grid[::2, 1::2],
        "expanded": grid[:1].expand(3, 6),
        "parameter": torch.nn.Parameter(grid),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "conjugate": torch.tensor([1 + 2j]).to(torch.complex64).conj(),
        "ünï": torch.ones(1),
        **{kind: torch.ones(3, 5).to(dtype) for kind, dtype in DTYPES.items()},
    }
    assert save_checkpoint(tensors, tmp_path) == ["model.safetensors"]
    path = tmp_path / "model.safetensors"
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}
    ours, theirs = open_checkpoint(path), load_file(path)
    assert set(ours) == set(theirs) == set(tensors)
    for name, tensor in tensors.items():
        for found in (ours[name].load(), theirs[name]):
            assert found.dtype == tensor.dtype
            assert found.shape == tensor.shape
            assert torch.equal(found.to(torch.complex64), tensor.detach().to(torch.complex64).resolve_conj())


def test_alignment(tmp_path: Path) -> None:
    save_checkpoint({"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(3)}, tmp_path)
    data = (tmp_path / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    assert (8 + size) % 64 == 0
    assert json.loads(data[8 : 8 + size])["b"]["data_offsets"] == [0, 12]


def test_shard_sizes(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(10), "big": torch.ones(100), "b": torch.ones(10), "c": torch.ones(10)}
    save_checkpoint(tensors, tmp_path, "0.1KB", {"format": "pt", "by": "test"}, variant="fp16")
    data = json.loads((tmp_path / "model.safetensors.index.fp16.json").read_text())
    assert data["metadata"] == {"total_size": 520}
    assert data["weight_map"] == {
        "a": "model.fp16-00001-of-00003.safetensors",
        "big": "model.fp16-00002-of-00003.safetensors",
        "b": "model.fp16-00003-of-00003.safetensors",
        "c": "model.fp16-00003-of-00003.safetensors",
    }
    assert len(open_checkpoint(find_weights(locate(str(tmp_path)), variant="fp16"))) == 4


@pytest.mark.parametrize(
    "size", ["0", "5 parsecs", "GB", "-5GB", "", 0, -1, None, 1.5, True, "9" * 5000], ids=lambda s: str(s)[:9]
)
def test_sizes_that_are_none(tmp_path: Path, size) -> None:
    with pytest.raises(InputError, match="max_shard_size"):
        save_checkpoint({"a": torch.ones(1)}, tmp_path, size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["520", 520, "1KB", "1kb", "1KiB", "0.001MB", "5 GB", "1TB"])
def test_sizes(tmp_path: Path, size) -> None:
    assert save_checkpoint({"a": torch.ones(65), "b": torch.ones(65)}, tmp_path, size) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("__metadata__", torch.ones(1), "cannot be the name"),
        ("a", torch.ones(2, 2).to_sparse(), "sparse"),
        ("a", torch.ones(2, device="meta"), "meta device"),
        ("a", torch.ones(2, dtype=torch.complex128), "complex128"),
    ],
)
def test_tensors_that_cannot_be_saved(tmp_path: Path, name: str, tensor: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        save_checkpoint({"first": torch.ones(1), name: tensor}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_tensors(tmp_path: Path) -> None:
    assert save_checkpoint({}, tmp_path) == ["model.safetensors"]
    assert open_checkpoint(tmp_path / "model.safetensors") == {}
    assert load_file(tmp_path / "model.safetensors") == {}


def test_saving_over_the_file_that_the_tensors_come_from(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with replacing(folder) as stage:
        save_checkpoint({"a": torch.arange(100_000.0), "b": torch.ones(5)}, stage)
    tensors = {name: lazy.load() for name, lazy in open_checkpoint(folder / "model.safetensors").items()}
    tensors["b"] += 1
    with replacing(folder, stale=["model*.safetensors"]) as stage:
        save_checkpoint(tensors, stage, max_shard_size=1000)
    assert not (folder / "model.safetensors").exists()
    found = open_checkpoint(find_weights(locate(str(folder))))
    assert torch.equal(found["a"].load(), torch.arange(100_000.0))
    assert found["b"].load().tolist() == [2] * 5


def test_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with replacing(folder) as stage:
        save_checkpoint({"a": torch.ones(5)}, stage)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(CheckpointError, match=os.strerror(errno.EFBIG)), replacing(folder) as stage:
            save_checkpoint({"a": torch.ones(5000)}, stage)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert open_checkpoint(folder / "model.safetensors")["a"].shape == (5,)
    assert list(tmp_path.iterdir()) == [folder]
