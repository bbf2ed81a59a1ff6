"""`formers.convert`: whatever comes in, the reference loads what comes out, and computes the same."""

from __future__ import annotations

import json
import os
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import pair
from hostile import ATTACKS, RAN, valid
from safetensors.torch import load_file, save_file
from test_frameworks import FRAMEWORKS, GOLDENS, UNUSED, arrays, assert_equal, loaded, outputs, unpacked

import formers
from formers import registry
from formers.checkpoints import LazyTensor, open_checkpoint
from formers.checkpoints.write import save_checkpoint
from formers.convert import Conversion, convert
from formers.errors import ArgumentError, CheckpointError, ConfigError, FormersError, InputError, NotFoundError

INPUTS = {"input_ids": torch.arange(2, 20).view(2, 9), "attention_mask": torch.ones(2, 9, dtype=torch.long)}


@pytest.fixture
def model() -> Any:
    """The reference's, with pretraining's heads."""
    return pair("bert", "pretraining")[0]


@pytest.fixture
def folder(model: Any, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "in")
    (tmp_path / "in" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    return tmp_path / "in"


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in (json.loads(path.read_text()) | values).items() if v is not None}))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def as_torch(folder: Path, tensors: dict[str, torch.Tensor], **options: Any) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", **options)


def twice(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    tied = {"weight": "bert.embeddings.word_embeddings.weight", "bias": "cls.predictions.bias"}
    as_torch(folder, tensors | {f"cls.predictions.decoder.{end}": tensors[name] for end, name in tied.items()})


def in_torch_shards(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    table = {name: f"pytorch_model-{i % 2 + 1:05}-of-00002.bin" for i, name in enumerate(tensors)}
    for shard in set(table.values()):
        torch.save({name: tensors[name] for name in tensors if table[name] == shard}, folder / shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))


def in_shards(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    save_checkpoint(tensors, folder, max_shard_size=9000)


def old(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    words = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, was in words.items():
        tensors = {name.replace(new, was): tensor for name, tensor in tensors.items()}
    as_torch(folder, tensors | {"bert.embeddings.position_ids": torch.arange(40)[None]})
    change(folder, architectures=None, model_type=None)
    (folder / "config.json").rename(folder / "bert_config.json")


FORMS: dict[str, Callable[[Path, dict[str, torch.Tensor]], object]] = {
    "safetensors": lambda folder, tensors: None,
    "safetensors in shards": in_shards,
    "torch": as_torch,
    "torch, legacy": lambda folder, tensors: as_torch(folder, tensors, _use_new_zipfile_serialization=False),
    "torch, tied tensors twice": twice,
    "torch in shards": in_torch_shards,
    "the first names": old,
}


class TestEveryForm:
    @pytest.mark.parametrize("form", FORMS)
    def test_torch_and_safetensors(self, form: str, model: Any, folder: Path, tmp_path: Path) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
        FORMS[form](folder, tensors)
        done = convert(folder, tmp_path / "out")
        assert (done.architecture, done.dtype, done.tensors) == ("BertForPreTraining", "float32", len(tensors))
        assert load_file(tmp_path / "out" / "model.safetensors").keys() == tensors.keys()
        assert done.left_out == (["bert.embeddings.position_ids"] if form == "the first names" else [])
        assert {"config.json", "model.safetensors", "vocab.txt"} <= set(names(tmp_path / "out"))
        theirs = loaded(transformers.BertForPreTraining, tmp_path / "out")
        ours, expected = outputs(theirs, INPUTS), outputs(model, INPUTS)
        assert all(torch.equal(ours[name], value) for name, value in expected.items())

    @pytest.mark.parametrize("golden", FRAMEWORKS, ids=lambda path: "-".join(path.parts[-3:]))
    def test_tensorflow_and_flax(self, golden: Path, tmp_path: Path) -> None:
        done = convert(unpacked(golden, tmp_path / "in"), tmp_path / "out")
        unused = UNUSED.get(golden.parts[-3], " ")
        assert (done.left_out, [n for n in done.notes if "tied" not in n and unused not in n]) == ([], [])
        theirs = loaded(getattr(transformers, str(done.architecture)), tmp_path / "out", unused)
        inputs = arrays(golden / "expected.npz", "inputs.")
        assert_equal(outputs(theirs, inputs), arrays(golden / "expected.npz", "outputs."), inputs["attention_mask"])

    @pytest.mark.parametrize(
        ("name", "architecture", "others"),
        [
            ("pretraining", "BertForPreTraining", []),
            ("classifier", "BertForSequenceClassification", []),
            ("squad", "BertForQuestionAnswering", ["bert.pooler.dense.bias", "bert.pooler.dense.weight"]),
        ],
    )
    def test_google(self, name: str, architecture: str, others: list[str], tmp_path: Path) -> None:
        golden = GOLDENS / "google_bert" / name
        (index,) = golden.glob("*.index")
        for number, given in enumerate((golden, index, str(index).removesuffix(".index"))):
            done = convert(given, tmp_path / str(number))
            assert done.architecture == architecture
            assert all(part.rpartition("/")[2] in ("adam_m", "adam_v", "global_step") for part in done.left_out)
            assert "vocab.txt" in done.files
            kind = getattr(transformers, architecture)
            theirs, info = kind.from_pretrained(tmp_path / str(number), output_loading_info=True)
            assert sorted(info["unexpected_keys"]) == others
            assert not info["missing_keys"]
            ours = getattr(formers, architecture).from_pretrained(golden, num_labels=theirs.config.num_labels)
            inputs = {key: value.long() for key, value in arrays(golden / "inputs.npz").items() if key in ours.inputs()}
            theirs_out, ours_out = outputs(theirs.eval(), inputs), outputs(ours, inputs)
            assert_equal(ours_out, theirs_out, inputs["attention_mask"])

    @pytest.mark.parametrize(
        ("family", "head", "decoder"),
        [("bert", "masked-lm", False), ("bert", "causal-lm", True), ("modernbert", "masked-lm", True)],
    )
    def test_without_the_name_of_a_class(self, family: str, head: str, decoder: bool, tmp_path: Path) -> None:
        """Of two heads with the same names the configuration tells which; a family with one of them has no choice."""
        _, ours = pair(family, head, is_decoder=decoder)
        ours.save_pretrained(tmp_path / "in")
        change(tmp_path / "in", architectures=None)
        assert convert(tmp_path / "in", tmp_path / "out").architecture == type(ours).__name__

    def test_a_file_alone(self, folder: Path, tmp_path: Path) -> None:
        (folder / "diary.json").write_text("{}")
        convert(folder / "model.safetensors", tmp_path / "out")
        assert names(tmp_path / "out") == ["config.json", "model.safetensors", "vocab.txt"]


class TestWeights:
    def test_one_tensor_at_a_time(self, tmp_path: Path) -> None:
        alive: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

        def read(number: int) -> torch.Tensor:
            assert not alive, "the one before is still in memory"
            tensor = torch.full((1000,), float(number))
            alive.add(tensor.untyped_storage())
            return tensor

        lazies = {f"t{i}": LazyTensor(f"t{i}", (1000,), torch.float32, tmp_path, lambda i=i: read(i)) for i in range(9)}
        save_checkpoint(lazies, tmp_path, max_shard_size=10_000)
        for i, lazy in enumerate(open_checkpoint(tmp_path / "model.safetensors.index.json").values()):
            assert lazy.load().unique().tolist() == [i]

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
    def test_types(self, dtype: str, model: Any, folder: Path, tmp_path: Path) -> None:
        done = convert(folder, tmp_path / "out", dtype=dtype)
        assert done.dtype == dtype
        assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == dtype
        for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items():
            assert torch.equal(tensor, model.state_dict()[name].to(getattr(torch, dtype)))

    def test_numbers_beyond_float16(self, folder: Path, tmp_path: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["bert.pooler.dense.bias"][3] = 1e5
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"bert\.pooler\.dense\.bias.*65,504.*bfloat16"):
            convert(folder, tmp_path / "out", dtype="float16")
        assert names(tmp_path) == ["in"]
        convert(folder, tmp_path / "out", dtype="bfloat16")

    def test_shards(self, model: Any, folder: Path, tmp_path: Path) -> None:
        done = convert(folder, tmp_path / "out", max_shard_size="20KB")
        assert "model.safetensors.index.json" in done.files
        assert "model-00001-of-00005.safetensors" in done.files
        loaded(transformers.BertForPreTraining, tmp_path / "out")

    def test_what_the_class_has_no_place_for_is_kept(self, folder: Path, tmp_path: Path) -> None:
        change(folder, architectures=["BertForMaskedLM"])
        done = convert(folder, tmp_path / "out")
        assert done.architecture == "BertForMaskedLM"
        assert "BertForMaskedLM has no place for" in done.notes[0]
        loaded(transformers.BertForPreTraining, tmp_path / "out")

    def test_weights_that_are_tied_and_differ(self, folder: Path, tmp_path: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1
        save_file(tensors, folder / "model.safetensors")
        done = convert(folder, tmp_path / "out")
        assert "tie_word_embeddings is false" in done.notes[0]
        theirs = loaded(transformers.BertForPreTraining, tmp_path / "out")
        assert torch.equal(theirs.cls.predictions.decoder.weight, tensors["cls.predictions.decoder.weight"])

    def test_what_is_missing(self, folder: Path, tmp_path: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        del tensors["bert.encoder.layer.1.output.dense.weight"]
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
            convert(folder, tmp_path / "out")
        assert names(tmp_path) == ["in"]

    def test_shapes_that_do_not_fit(self, folder: Path, tmp_path: Path) -> None:
        change(folder, vocab_size=98)
        with pytest.raises(CheckpointError, match=r"word_embeddings\.weight is \(99, 32\) and should be \(98, 32\)"):
            convert(folder, tmp_path / "out")

    def test_names_that_no_file_can_have(self, tmp_path: Path) -> None:
        path = tmp_path / "model.safetensors"
        header = b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
        with pytest.raises(InputError, match="cannot be the name"):
            convert(path, tmp_path / "out")

    def test_a_pickle_that_asks_for_more(self, folder: Path, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "ran"),)

        as_torch(folder, {"a": Evil()})  # type: ignore[dict-item]
        with pytest.raises(CheckpointError, match="not opened"):
            convert(folder, tmp_path / "out")
        assert names(tmp_path) == ["in"]

    def test_a_framework_is_chosen(self, folder: Path, tmp_path: Path) -> None:
        torch.save({k: v + 1 for k, v in load_file(folder / "model.safetensors").items()}, folder / "pytorch_model.bin")
        for framework, change_by in (("torch", 1.0), (None, 0.0)):
            convert(folder, tmp_path / "out", framework=framework)
            found = load_file(tmp_path / "out" / "model.safetensors")["bert.pooler.dense.bias"]
            assert torch.equal(found, load_file(folder / "model.safetensors")["bert.pooler.dense.bias"] + change_by)

    def test_a_framework_that_is_not_there(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match=r"no weights of tf, but model\.safetensors"):
            convert(folder, tmp_path / "out", framework="tf")
        with pytest.raises(ArgumentError, match="'onnx' is not one of safetensors, torch, tf, flax"):
            convert(folder, tmp_path / "out", framework="onnx")
        google = GOLDENS / "google_bert" / "pretraining"
        assert convert(google, tmp_path / "out", framework="tf").architecture == "BertForPreTraining"

    @pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.door != "tokenizer"])
    def test_attack(self, name: str, tmp_path: Path) -> None:
        """Of hostile files, nothing is written, or what a load heeds of them."""
        valid(tmp_path / "in")
        ATTACKS[name].make(tmp_path / "in")
        try:
            done = convert(tmp_path / "in", tmp_path / "out")
        except FormersError:
            assert not (tmp_path / "out").exists()
        else:
            assert len(str(done)) < 3000
            if done.architecture:
                formers.AutoModel.from_pretrained(tmp_path / "out")
        assert not (tmp_path / "in" / RAN).exists()


class TestFamiliesThatAreNotKnown:
    def test_torch(self, folder: Path, tmp_path: Path) -> None:
        change(folder, model_type="brt", architectures=["BrtModel"], auto_map={"AutoModel": "own.BrtModel"})
        done = convert(folder, tmp_path / "out", dtype="bfloat16")
        assert done.architecture is None
        assert "'brt' is not one of" in done.notes[0]
        values = json.loads((tmp_path / "out" / "config.json").read_text())
        assert (values["architectures"], values["torch_dtype"]) == (["BrtModel"], "bfloat16")
        assert (
            load_file(tmp_path / "out" / "model.safetensors").keys() == load_file(folder / "model.safetensors").keys()
        )

    def test_an_own_class_of_a_known_family(self, folder: Path, tmp_path: Path) -> None:
        change(folder, architectures=["BertForMagic"])
        assert "BertForMagic" in convert(folder, tmp_path / "out").notes[0]

    def test_no_configuration(self, folder: Path, tmp_path: Path) -> None:
        (folder / "config.json").unlink()
        done = convert(folder, tmp_path / "out")
        assert "there is no config.json" in done.notes[0]
        assert "config.json" not in done.files

    def test_tensorflow(self, tmp_path: Path) -> None:
        folder = unpacked(GOLDENS / "frameworks/bert/tf/base", tmp_path / "in")
        change(folder, model_type="brt", architectures=["BrtModel"])
        with pytest.raises(CheckpointError, match="'brt' is not one of"):
            convert(folder, tmp_path / "out")
        (folder / "config.json").unlink()
        with pytest.raises(CheckpointError, match=r"no config\.json"):
            convert(folder, tmp_path / "out")

    def test_a_value_that_cannot_be(self, folder: Path, tmp_path: Path) -> None:
        change(folder, hidden_size=-1)
        with pytest.raises(ConfigError, match="hidden_size"):
            convert(folder, tmp_path / "out")


class TestFolders:
    def test_what_is_copied(self, folder: Path, tmp_path: Path) -> None:
        for name in ("README.md", "tokenizer_config.json", "chat_template.jinja", "LICENSE", "spiece.model"):
            (folder / name).write_text("{}")
        for name in ("modeling.py", "data.csv", "pytorch_model.bin.index.json", ".secret.json"):
            (folder / name).write_text("{}")
        torch.save({"a": 1}, folder / "weights.model")
        (tmp_path / "elsewhere.json").write_text("{}")
        (folder / "link.json").symlink_to(tmp_path / "elsewhere.json")
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text("{}")
        change(folder, auto_map={"AutoModel": "modeling.Own"})
        done = convert(folder, tmp_path / "out")
        assert done.files == names(tmp_path / "out")
        assert done.files == [
            "LICENSE", "README.md", "chat_template.jinja", "config.json", "model.safetensors",
            "spiece.model", "tokenizer_config.json", "vocab.txt",
        ]  # fmt: skip
        assert "auto_map" not in json.loads((tmp_path / "out" / "config.json").read_text())
        assert done.notes[-1] == "Not copied: 1_Pooling/, link.json, weights.model."

    def test_the_files_of_every_tokenizer(self, folder: Path, tmp_path: Path) -> None:
        """Also those of Marian, which are two; and beside a file alone."""
        families = [registry.load(name) for name in registry.families()]
        wanted = {name for f in families if f.TOKENIZER for name in f.TOKENIZER.vocab_files_names.values()}
        for name in wanted:
            (folder / name).write_text("{}")
        convert(folder, tmp_path / "out")
        assert wanted <= {*names(tmp_path / "out")} and "source.spm" in wanted
        (weights,) = folder.glob("*.safetensors")
        convert(weights, tmp_path / "alone")
        assert wanted <= {*names(tmp_path / "alone")}

    def test_a_model_is_replaced(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        for name in (
            "config.json",
            "tokenizer.json",
            "pytorch_model.bin",
            "model-00001-of-00002.safetensors",
            "own.csv",
        ):
            out.mkdir(exist_ok=True)
            (out / name).write_text("{}")
        convert(folder, out)
        assert names(out) == ["config.json", "model.safetensors", "own.csv", "vocab.txt"]
        convert(folder, out, max_shard_size="50KB")
        assert "model.safetensors" not in names(out)
        loaded(transformers.BertForPreTraining, out)

    def test_a_folder_of_other_things(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "diary.txt").write_text("x")
        with pytest.raises(ArgumentError, match="no model's folder"):
            convert(folder, tmp_path / "out")
        with pytest.raises(NotFoundError, match="is a file"):
            convert(folder, tmp_path / "out" / "diary.txt")
        assert names(tmp_path / "out") == ["diary.txt"]

    def test_in_place(self, folder: Path, tmp_path: Path) -> None:
        as_torch(folder, load_file(folder / "model.safetensors"))
        (folder / "own.py").write_text("")
        before = names(folder)
        convert(folder, folder)
        assert names(folder) == sorted([*before, "model.safetensors"])
        loaded(transformers.BertForPreTraining, folder)
        with pytest.raises(ArgumentError, match="give another folder"):
            convert(folder, folder, dtype="float16")

    def test_google_in_place(self, tmp_path: Path) -> None:
        shutil.copytree(GOLDENS / "google_bert" / "pretraining", tmp_path / "bert")
        convert(tmp_path / "bert", tmp_path / "bert")
        loaded(transformers.BertForPreTraining, tmp_path / "bert")
        assert "bert_model.ckpt.index" in names(tmp_path / "bert")

    def test_a_full_disk(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        convert(folder, tmp_path / "out", dtype="float16")
        before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("formers.checkpoints.write._append", fail)
        with pytest.raises(CheckpointError, match="No space left"):
            convert(folder, tmp_path / "out")
        assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before

    def test_what_is_told(self, folder: Path, tmp_path: Path) -> None:
        done = convert(folder, tmp_path / "out")
        size = sum(tensor.nbytes for tensor in load_file(folder / "model.safetensors").values())
        expected = Conversion(str(folder), str(tmp_path / "out"), "BertForPreTraining", "float32", 46, size)
        assert replace(done, files=[]) == expected
