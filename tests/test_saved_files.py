"""Which files a save writes and removes, and what becomes of places that cannot be written to."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import redraw

import formers
from formers import registry
from formers.convert import convert


@pytest.fixture(scope="module")
def model() -> Any:
    module = registry.load("bert")
    made = module.HEADS["masked-lm"](module.BertConfig(**module.TINY))
    redraw(made)
    return made.eval()


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_pickles_in_shards(variant: str | None, tie: bool, model: Any, tmp_path: Path) -> None:
    given = type(model)(formers.BertConfig(**{**model.config.to_dict(), "tie_word_embeddings": tie}))
    given.save_pretrained(tmp_path, safe_serialization=False, max_shard_size="20KB", variant=variant)
    mark = f".{variant}" if variant else ""
    index = json.loads((tmp_path / f"pytorch_model.bin.index{mark}.json").read_text())
    shards = sorted(path.name for path in tmp_path.glob("*.bin"))
    assert shards == sorted(set(index["weight_map"].values())) and len(shards) > 2
    assert shards[0] == f"pytorch_model{mark}-00001-of-{len(shards):05}.bin"
    assert all((tmp_path / name).stat().st_size < 25_000 for name in shards), "each with its own tensors alone"
    assert equal(type(model).from_pretrained(tmp_path, variant=variant), given)
    theirs, report = transformers.BertForMaskedLM.from_pretrained(tmp_path, variant=variant, output_loading_info=True)
    assert not report["missing_keys"] and equal(given, theirs)
    given.save_pretrained(tmp_path, safe_serialization=False, variant=variant)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", f"pytorch_model{mark}.bin"}


def test_a_part_of_a_larger_tensor_is_saved_alone(model: Any, tmp_path: Path) -> None:
    large = torch.zeros(1000, *model.bert.embeddings.word_embeddings.weight.shape)
    state = {**model.state_dict(), "bert.embeddings.word_embeddings.weight": large[3]}
    model.save_pretrained(tmp_path, safe_serialization=False, state_dict=state)
    assert (tmp_path / "pytorch_model.bin").stat().st_size < 500_000


def test_what_a_save_removes_and_what_it_leaves(model: Any, tmp_path: Path) -> None:
    """As docs/saving_and_loading.md says: the weights for PyTorch, of any form; nothing else."""
    gone = ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json")
    stay = ("tf_model.h5", "flax_model.msgpack", "pytorch_model.fp16.bin", "training_args.bin", "optimizer.pt", "x.bin")
    for name in (*gone, *stay):
        (tmp_path / name).write_text("of others")
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors", *stay}


@pytest.mark.parametrize("safe", [True, False])
def test_a_full_disk(safe: bool, model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, safe_serialization=safe)
    (before,) = (path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(formers.CheckpointError, match=r"(?s)unchanged: File too large"):
            model.save_pretrained(tmp_path, safe_serialization=safe)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json"] == [before]


BAD = {"empty": "", "long": "a" * 300, "NUL": "a\0b", "surrogate": "a\ud800", "bytes": b"a", "number": 5}


@pytest.mark.parametrize("how", BAD)
def test_names_that_are_none(how: str, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("good")
    bad: Any = BAD[how]
    tokenizer = formers.BertTokenizer({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4})
    calls: dict[str, Callable[[], Any]] = {
        "model, to": lambda: model.save_pretrained(bad),
        "configuration, to": lambda: model.config.save_pretrained(bad),
        "tokenizer, to": lambda: tokenizer.save_pretrained(bad),
        "convert, to": lambda: convert("good", bad),
        "model, from": lambda: formers.AutoModel.from_pretrained(bad),
        "class, from": lambda: formers.BertModel.from_pretrained(bad),
        "configuration, from": lambda: formers.BertConfig.from_pretrained(bad),
        "tokenizer, from": lambda: formers.AutoTokenizer.from_pretrained(bad),
        "convert, from": lambda: convert(bad, "new"),
    }
    if how not in ("empty",):
        calls["subfolder"] = lambda: formers.AutoModel.from_pretrained("good", subfolder=bad)
        calls["variant, from"] = lambda: formers.AutoModel.from_pretrained("good", variant=bad)
        calls["variant, to"] = lambda: model.save_pretrained("other", variant=bad)
    for name, call in calls.items():
        with pytest.raises(formers.FormersError):
            print(f"{name}: {bad!r} gave {call()}")
    assert [path.name for path in tmp_path.iterdir()] == ["good"]


def test_the_home_folder_in_saving_and_loading(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("~/model")
    model.config.save_pretrained(Path("~") / "model")
    tokenizer = formers.BertTokenizer({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4})
    assert all(os.path.isfile(path) for path in tokenizer.save_pretrained("~/model"))
    assert os.listdir(tmp_path) == ["home"]
    for name in ("~/model", Path("~/model"), "~/model/model.safetensors"):
        assert equal(formers.AutoModelForMaskedLM.from_pretrained(name), model)
    assert formers.AutoModelForMaskedLM.from_pretrained("~/model", config="~/model/config.json") is not None
    assert formers.BertConfig.from_pretrained("~/model/config.json") == formers.AutoConfig.from_pretrained("~/model")
    assert formers.AutoTokenizer.from_pretrained("~/model").mask_token_id == 4
    convert("~/model", "~/other")
    assert (tmp_path / "home" / "other" / "model.safetensors").is_file() and os.listdir(tmp_path) == ["home"]


def test_the_current_folder_stays_the_current_folder(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        model.save_pretrained(".")
        assert sorted(os.listdir()) == ["config.json", "model.safetensors"]
        assert os.path.samefile(os.getcwd(), tmp_path)
    assert equal(formers.AutoModelForMaskedLM.from_pretrained("."), model)
