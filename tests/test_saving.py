"""Loading and saving: to the reference and back, old names, shards, missing and misfitting weights, types, memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import CASES, FAMILIES, batch, difference, having, main_head, pair, redraw
from safetensors.torch import load_file, save_file

import formers
from formers import registry
from tests.clock import within

OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def made(head: str = "sequence-classification", family: str = "bert", **changes: Any) -> Any:
    module = registry.load(family)
    model = module.HEADS[head](module.HEADS[head].config_class(**{**module.TINY, **changes}))
    redraw(model)
    return model.eval()


def rewritten(folder: Path, change: Any) -> None:
    """Replace the folder's weights by change(weights)."""
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})


def weights_equal(a: Any, b: Any) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in mine.items())


FEW = ("base", "sequence-classification")
FORMS = {"one file": {}, "shards": {"max_shard_size": "20KB"}, "pickle": {"safe_serialization": False}}


@pytest.mark.every
@pytest.mark.brief(lambda family, head, form: family == "bert" or (head in FEW and form == "one file"))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("family", "head"), CASES)
def test_to_the_reference_and_back(
    family: str, head: str, form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = pair(family, head)
    inputs = batch(ours, head, "right", labels=False)
    ours.save_pretrained(tmp_path / "ours", **FORMS[form])
    assert len(list((tmp_path / "ours").glob("*-of-*"))) == (0 if form != "shards" else len(set(_index(tmp_path))))
    theirs, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB" if form == "shards" else "5GB")
    back, report = type(ours).from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(report.values()) and not caplog.text
    assert weights_equal(ours, back) and not back.training
    with torch.no_grad():  # a product of a mapped weight may differ in the last bit, as its address does
        assert difference(back(**inputs)[0], ours(**inputs)[0]) < 1e-5
    assert back.config.architectures == [type(ours).__name__]


def _index(folder: Path) -> list[str]:
    return list(json.loads((folder / "ours" / "model.safetensors.index.json").read_text())["weight_map"].values())


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("named", ["as saved", "without prefix", "gamma and beta", "old buffer"])
def test_old_names(family: str, named: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = made(main_head(family), family)
    ours.save_pretrained(tmp_path)

    def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if named == "without prefix":
            return {k.removeprefix(f"{ours.base_model_prefix}."): v for k, v in weights.items()}
        if named == "old buffer":
            buffers = (f"{ours.base_model_prefix}.embeddings.{ending}" for ending in ours.BUFFERS)
            return weights | {name: torch.arange(40)[None] for name in buffers}
        for new, old in OLD_NAMES.items() if named == "gamma and beta" else ():
            weights = {k.replace(new, old): v for k, v in weights.items()}
        return weights

    rewritten(tmp_path, change)
    assert weights_equal(type(ours).from_pretrained(tmp_path), ours) and not caplog.text


@pytest.mark.parametrize("family", having("sequence-classification"))
def test_between_base_and_heads(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heads = registry.load(family).HEADS
    whole = made(main_head(family), family)
    whole.save_pretrained(tmp_path / "head")
    base = formers.AutoModel.from_pretrained(tmp_path / "head")
    mine = base.state_dict()
    assert all(torch.equal(v, mine[k]) for k, v in whole.base_model.state_dict().items())
    pooled = any(name.startswith("pooler.") for name in mine.keys() - whole.base_model.state_dict().keys())
    assert ("pooler" in caplog.text) == pooled and caplog.text.count("WARNING") == pooled
    base.save_pretrained(tmp_path / "base")
    caplog.clear()
    model, report = heads["sequence-classification"].from_pretrained(tmp_path / "base", output_loading_info=True)
    assert all(torch.equal(v, mine[k]) for k, v in model.base_model.state_dict().items())
    new = [k for k in model.state_dict() if not k.startswith(f"{model.base_model_prefix}.")]
    assert sorted(report["missing_keys"]) == sorted(new)
    assert len(caplog.records) == 1, "one line"
    line = caplog.records[0].getMessage()
    assert "\n" not in line and all(k in line for k in new) and type(base).__name__ in line and "Train" in line
    drawn = [model.get_parameter(k) for k in new if k.endswith(".weight") and "norm" not in k.lower()]
    assert drawn and all(0 < weight.std() < 0.3 for weight in drawn)
    assert not any(model.get_parameter(k).any() for k in new if k.endswith(".bias"))
    assert model(torch.tensor([[1, 2]])).logits.isfinite().all()


def test_missing_body_weights_are_an_error(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    lost = "bert.encoder.layer.1.output.dense.weight"
    rewritten(tmp_path, lambda weights: {k: v for k, v in weights.items() if k != lost})
    with pytest.raises(
        formers.CheckpointError, match=rf"1 of its body's weights.*{lost.removeprefix('bert.')}"
    ) as caught:
        formers.BertModel.from_pretrained(tmp_path)
    assert isinstance(caught.value, (OSError, RuntimeError)) and str(tmp_path) in str(caught.value)
    made(family="distilbert").save_pretrained(tmp_path / "other")
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(values))
    with pytest.raises(formers.CheckpointError, match="of its body's weights"):
        formers.BertForSequenceClassification.from_pretrained(tmp_path / "other")


def test_weights_that_there_is_no_place_for_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made().save_pretrained(tmp_path)
    formers.BertForSequenceClassification.from_pretrained(tmp_path, num_hidden_layers=1)
    assert "encoder.layer.1" in caplog.text and len(caplog.records) == 1


def test_shapes_that_do_not_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = made()
    ours.save_pretrained(tmp_path)
    load = formers.BertForSequenceClassification.from_pretrained
    said = r"classifier\.weight: \(2, 32\) in the file, \(5, 32\) in the model.*num_labels=5.*ignore_mismatched_sizes"
    with pytest.raises(RuntimeError, match=f"(?s){said}"):
        load(tmp_path, num_labels=5)
    with pytest.raises(formers.CheckpointError, match=r"(?s)word_embeddings.*\(99, 32\).*\(98, 32\).*vocab_size=98"):
        load(tmp_path, vocab_size=98)
    model, report = load(tmp_path, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    assert [name for name, *_ in report["mismatched_keys"]] == ["classifier.weight", "classifier.bias"]
    assert model.classifier.out_features == 5 and "classifier.weight" in caplog.text and len(caplog.records) == 1
    assert torch.equal(model.bert.pooler.dense.weight, ours.bert.pooler.dense.weight)
    assert 0 < model.classifier.weight.std() < 0.05 and not model.classifier.bias.any()
    start = made("masked-lm")
    start.save_pretrained(tmp_path / "lm")
    with pytest.raises(formers.CheckpointError, match="vocab_size=1000000000"):  # without making room for it
        formers.BertForMaskedLM.from_pretrained(tmp_path / "lm", vocab_size=10**9)


def test_the_collector_rests_during_loads_only(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    rested: list[bool] = []

    class Watching(formers.BertModel):
        def __init__(self, config: Any) -> None:
            rested.append(not gc.isenabled())
            super().__init__(config)

    def work() -> None:
        for _ in range(20):
            Watching.from_pretrained(tmp_path)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(formers.CheckpointError, match="intermediate_size"):
        Watching.from_pretrained(tmp_path, intermediate_size=50)
    assert gc.isenabled() and len(rested) == 61 and all(rested)
    gc.disable()
    try:
        Watching.from_pretrained(tmp_path)
        assert not gc.isenabled()
    finally:
        gc.enable()


HUGE = {
    "num_hidden_layers": [1000, 10**6],
    "hidden_size": [10**9, 2**31 - 4],
    "vocab_size": [10**9],
    "max_position_embeddings": [2**31 - 1],
    "intermediate_size": [2**31 - 1],
    "num_labels": [10**8],
}


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in HUGE.items() for v in values])
def test_sizes_that_the_files_do_not_have(key: str, value: int, ignore: bool, tmp_path: Path) -> None:
    made(num_attention_heads=1).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config = {k: v for k, v in config.items() if k not in ("id2label", "label2id")} | {key: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with within(2), pytest.raises(formers.FormersError, match=r"configuration|num_labels"):
        formers.BertForSequenceClassification.from_pretrained(tmp_path, ignore_mismatched_sizes=ignore)


def test_many_labels(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    with within(5):
        model = formers.BertForSequenceClassification.from_pretrained(
            tmp_path, num_labels=250_000, ignore_mismatched_sizes=True
        )
    assert model.classifier.weight.shape == (250_000, 32)
    model.save_pretrained(tmp_path)
    assert formers.AutoModelForSequenceClassification.from_pretrained(tmp_path).num_labels == 250_000


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(
    ("family", "head"),
    [c for c in CASES if c[1] in (main_head(c[0]), "pretraining") and registry.load(c[0]).HEADS[c[1]].TIED],
)
def test_tied_weights_of_different_values(
    family: str, head: str, tie: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = pair(family, head, tie_word_embeddings=tie)
    state = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    for i, name in enumerate(type(ours).TIED):
        state[name] += i + 1
    ours.config.save_pretrained(tmp_path)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    inputs = batch(ours, head, "right", labels=False)
    theirs, ours = type(theirs).from_pretrained(tmp_path), type(ours).from_pretrained(tmp_path)
    assert ("tie_word_embeddings=False" in caplog.text) == tie and not ours.config.tie_word_embeddings
    ours.save_pretrained(tmp_path / "again")
    again = type(theirs).from_pretrained(tmp_path / "again")
    with torch.no_grad():
        logits = [model(**inputs)[0][inputs["attention_mask"].bool()] for model in (theirs, ours, again)]
    assert difference(logits[1], logits[0]) < 1e-5 and difference(logits[2], logits[0]) < 1e-5


def test_the_other_head_of_deberta(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files with the newer head, whose configuration does not say so, as those that were published."""
    theirs, ours = pair("deberta_v2", "masked-lm", legacy=False)
    theirs.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["legacy"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    inputs = batch(ours, "masked-lm", "right", labels=False)
    back = type(ours).from_pretrained(tmp_path)
    assert back.config.legacy and not caplog.text
    with torch.no_grad():
        assert difference(back(**inputs)[0], ours(**inputs)[0]) < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_one_file(form: str, tmp_path: Path) -> None:
    ours = made()
    ours.save_pretrained(tmp_path, **FORMS[form])
    (file,) = [*tmp_path.glob("*.index.json")] or [*tmp_path.glob("*.safetensors"), *tmp_path.glob("*.bin")]
    for load in (formers.AutoModelForSequenceClassification, formers.BertForSequenceClassification):
        assert weights_equal(load.from_pretrained(file), ours)
        assert weights_equal(load.from_pretrained(str(file), config=ours.config), ours)
    with pytest.raises(formers.CheckpointError, match="weight_map"):
        formers.BertModel.from_pretrained(tmp_path / "config.json")
    (tmp_path / "config.json").unlink()
    with pytest.raises(formers.NotFoundError, match=r"config\.json"):
        formers.BertForSequenceClassification.from_pretrained(file)


def test_a_name_of_its_own_comes_first(tmp_path: Path) -> None:
    ours = made("base")
    state = {f"bert.{name}": tensor + 1 for name, tensor in ours.state_dict().items()} | ours.state_dict()
    loaded, report = type(ours).from_pretrained(None, config=ours.config, state_dict=state, output_loading_info=True)
    assert weights_equal(loaded, ours) and len(report["unexpected_keys"]) == len(state) / 2


def test_weights_given_as_a_state_dict(tmp_path: Path) -> None:
    ours, other = made(), made()
    redraw(other, seed=1)
    ours.save_pretrained(tmp_path)
    given = other.state_dict()
    model = formers.BertForSequenceClassification.from_pretrained(tmp_path, state_dict=given)
    assert weights_equal(model, other)
    without_files = formers.BertForSequenceClassification.from_pretrained(None, config=ours.config, state_dict=given)
    assert weights_equal(without_files, other)
    with torch.no_grad():
        model.classifier.weight.add_(1)
    assert not torch.equal(given["classifier.weight"], model.classifier.weight), "the caller's tensors stay as they are"
    model.save_pretrained(tmp_path / "other", state_dict=given)
    assert weights_equal(formers.BertForSequenceClassification.from_pretrained(tmp_path / "other"), other)


def test_where_files_are(tmp_path: Path) -> None:
    ours = made()
    ours.save_pretrained(tmp_path / "sub" / "folder")
    ours.half().save_pretrained(tmp_path, variant="fp16", max_shard_size="20KB")
    ours.save_pretrained(tmp_path, variant="fp16")
    load = formers.AutoModelForSequenceClassification.from_pretrained
    assert load(tmp_path, subfolder="sub/folder").dtype == torch.float32
    assert load(tmp_path, variant="fp16", dtype="auto").dtype == torch.float16
    with pytest.raises(OSError, match=r"model\.fp16\.safetensors"):
        load(tmp_path)
    with pytest.raises(OSError, match="fp32"):
        load(tmp_path, variant="fp32")
    with pytest.raises(OSError, match="bin"):
        load(tmp_path, subfolder="sub/folder", use_safetensors=False)
    for safe in (True, False):
        ours.float().save_pretrained(tmp_path, safe_serialization=safe)
        assert load(tmp_path, dtype="auto").dtype == torch.float32
        assert load(tmp_path, variant="fp16", dtype="auto").get_input_embeddings().weight.dtype == torch.float32
    names = {"config.json", "model.fp16.safetensors", "pytorch_model.bin", "sub"}
    assert {p.name for p in tmp_path.iterdir()} == names, "a variant stays beside the others"
    assert load(str(tmp_path) + "/", subfolder="sub/folder", local_files_only=True, low_cpu_mem_usage=True)


def test_number_types(tmp_path: Path) -> None:
    made().half().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "float16"
    load = formers.BertForSequenceClassification.from_pretrained
    assert load(tmp_path).dtype == torch.float32, "whatever is stored"
    for wanted in ("bfloat16", torch.bfloat16, "torch.bfloat16"):
        for keyword in ("dtype", "torch_dtype"):
            model = load(tmp_path, **{keyword: wanted})
            assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert load(tmp_path, dtype="auto").dtype == load(tmp_path, torch_dtype="auto").dtype == torch.float16
    values = json.loads((tmp_path / "config.json").read_text())
    values.pop("torch_dtype")
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert load(tmp_path, dtype="auto").dtype == torch.float16
    assert load(tmp_path).config.torch_dtype == torch.float32
    for wrong in ("float7", "int8", 3):
        with pytest.raises(ValueError, match=r"no floating-point type"):
            load(tmp_path, dtype=wrong)
    base = formers.BertForMaskedLM.from_pretrained(tmp_path, dtype=torch.float16)  # new weights have the type too
    assert {p.dtype for p in base.parameters()} == {torch.float16}


def test_devices(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    load = formers.BertForSequenceClassification.from_pretrained
    for where in ({"device_map": "cpu"}, {"device_map": {"": "cpu"}}, {"device": torch.device("cpu")}):
        assert load(tmp_path, **where).device.type == "cpu"
    assert load(tmp_path, device_map="auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    for wrong in ("gpu", {"bert": 0, "classifier": "cpu"}, *([] if torch.cuda.is_available() else ["cuda", 0])):
        with pytest.raises(ValueError, match="device"):
            load(tmp_path, device_map=wrong)


def test_two_threads_load_two_types_and_nothing_global_moves(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    before = (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
    )
    wrong: list[Any] = []

    def work(dtype: torch.dtype) -> None:
        for _ in range(50):
            model = formers.BertForSequenceClassification.from_pretrained(tmp_path, dtype=dtype)
            kinds = {p.dtype for p in model.parameters()}
            if kinds != {dtype} or torch.nn.Linear(1, 1).weight.dtype != torch.float32:
                wrong.append(kinds)

    threads = [threading.Thread(target=work, args=(d,)) for d in (torch.float16, torch.float64, torch.bfloat16)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        assert torch.empty(1).device.type == "cpu" and torch.empty(1).dtype == torch.float32
    for thread in threads:
        thread.join()
    assert not wrong
    after = (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
    )
    assert after == before


BROKEN = {
    "cut": (lambda b: b[:-100], r"(?s)bytes"),
    "cut in the header": (lambda b: b[:50], r"(?s)bytes"),
    "empty": (lambda b: b"", "empty"),
    "a page": (lambda b: b"<!DOCTYPE html><html>Not found</html>", "web page"),
    "a pointer": (
        lambda b: b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 440473133\n",
        "440,473,133.*git lfs pull",
    ),
    "another file": (lambda b: bytes(range(256)) * 4, r"(?s)model"),
}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("how", BROKEN)
def test_broken_weights(how: str, name: str, tmp_path: Path) -> None:
    change, said = BROKEN[how]
    made().save_pretrained(tmp_path, safe_serialization=name.endswith("safetensors"))
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(formers.CheckpointError, match=said) as caught:
        formers.AutoModel.from_pretrained(tmp_path)
    assert isinstance(caught.value, (OSError, ValueError)) and name in str(caught.value)


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path, safe_serialization=False)

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"a": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(formers.CheckpointError, match="system"):
        formers.AutoModel.from_pretrained(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_no_weights_at_all(tmp_path: Path) -> None:
    made().config.save_pretrained(tmp_path)
    with pytest.raises(formers.NotFoundError, match=r"model\.safetensors.*config\.json"):
        formers.AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
def test_saving_over_an_older_save(first: str, second: str, tmp_path: Path) -> None:
    old, new = made(num_hidden_layers=4), made()
    redraw(new, seed=1)
    old.save_pretrained(tmp_path, **FORMS[first])
    (tmp_path / "notes.txt").write_text("mine")
    loaded = type(old).from_pretrained(tmp_path)
    new.save_pretrained(tmp_path, **FORMS[second])
    assert weights_equal(loaded, old), "what is mapped from the old files stays"
    fresh = tmp_path / "fresh"
    new.save_pretrained(fresh, **FORMS[second])
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in fresh.iterdir()} | {"notes.txt", "fresh"}
    assert weights_equal(type(new).from_pretrained(tmp_path), new)
    again = type(new).from_pretrained(tmp_path)
    again.save_pretrained(tmp_path, **FORMS[second])  # over the files that it is mapped from
    assert weights_equal(again, new) and weights_equal(type(new).from_pretrained(tmp_path), new)


def test_where_nothing_can_be_saved(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for call, error in (
        (lambda: made().save_pretrained(tmp_path / "file"), OSError),
        (lambda: made().save_pretrained(tmp_path / "a", max_shard_size="many"), ValueError),
        (lambda: made().to("meta").save_pretrained(tmp_path / "b"), ValueError),
        (lambda: made().save_pretrained(tmp_path / "c", push_to_hub=True), formers.ArgumentError),
    ):
        with pytest.raises(error):
            call()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    made().save_pretrained(tmp_path / "d", is_main_process=False)
    assert not (tmp_path / "d").exists()


def test_misspelt_arguments(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match=r"'num_label'.*'num_labels'"):
        formers.BertForSequenceClassification.from_pretrained(tmp_path, num_label=3)
    with pytest.raises(TypeError, match="BertConfig"):
        formers.BertModel("bert-base-uncased")
    with pytest.raises(ValueError, match="None"):
        formers.BertModel.from_pretrained(None)


def test_loading_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made().save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert capfd.readouterr() == ("", "")


MEASURE = """
    import json, os, sys, torch, formers
    from formers.models.bert import BertModel
    def memory(kind):
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(kind)) / 1024
    torch.set_num_threads(1)
    BertModel(formers.BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    before = memory("VmRSS")
    model = BertModel.from_pretrained(sys.argv[1])
    anonymous = memory("RssAnon")
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[0] += 1
    print(json.dumps([before, memory("VmHWM"), memory("RssAnon") - anonymous]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_big_weights_are_mapped_not_copied(tmp_path: Path) -> None:
    config = formers.BertConfig(vocab_size=48_000, hidden_size=1024, num_hidden_layers=1, num_attention_heads=16)
    with torch.device("meta"):
        model = formers.BertModel(config)
    model.to_empty(device="cpu").save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size / 2**20
    code = textwrap.dedent(MEASURE)
    source = str(Path(formers.__file__).parents[1])
    env = os.environ | {"PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    before, peak, written = json.loads(done.stdout)
    assert size > 200 and peak - before < 0.25 * size, (size, before, peak)
    assert written < 10, "one row changed copies its pages only"


def test_the_reference_is_not_needed_to_read_a_reference_checkpoint_in_half(tmp_path: Path) -> None:
    theirs, ours = pair("bert", "base")
    theirs.to(torch.bfloat16).save_pretrained(tmp_path)
    model = formers.AutoModel.from_pretrained(tmp_path)
    assert model.dtype == torch.float32 and model.config.torch_dtype == torch.float32
    assert difference(model(torch.tensor([[1, 2]]))[0], ours(torch.tensor([[1, 2]]))[0]) < 0.1
    assert isinstance(theirs, transformers.PreTrainedModel)


def test_a_reader_beside_a_writer_sees_one_save(tmp_path: Path) -> None:
    """Two saves take turns in one folder while a reader loads it: labels, shapes and values are always of one save."""
    script = textwrap.dedent(
        """
        import itertools, sys, time, torch, formers
        models = []
        for labels in (2, 3):
            config = formers.BertConfig(**formers.registry.load("bert").TINY, num_labels=labels)
            model = formers.BertForSequenceClassification(config)
            torch.nn.init.constant_(model.classifier.bias, labels)
            models.append(model)
        for model in itertools.cycle(models):
            model.save_pretrained(sys.argv[1])
            print("saved", flush=True)
            time.sleep(0.2)
        """
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "model")], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"saved\n"
        seen, reads, end = set(), 0, time.monotonic() + 60  # however little time the writer gets
        while reads < 40 or (seen != {2, 3} and time.monotonic() < end):
            reads += 1
            model = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
            assert model.classifier.bias.tolist() == [float(model.config.num_labels)] * model.config.num_labels
            seen.add(model.config.num_labels)
        assert seen == {2, 3}
    finally:
        writer.kill()
        writer.wait()
