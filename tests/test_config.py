"""Configurations: keys, labels, files, and that each key does something."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import FAMILIES, MASKS, main_head, rates, redraw
from of_families import CHANGED, UNSEEN, facts

import formers
from formers import registry
from tests.clock import within

CONFIGS = {f: registry.load(f).HEADS["base"].config_class for f in FAMILIES}
BERT_4_20 = (11, 8, 3, 2, 9, "relu", 0.2, 0.3, 7, 3, 0.5, 1e-5, 1, "relative_key", False, 0.4)
DISTILBERT_4_20 = (11, 7, True, 3, 2, 8, 9, 0.2, 0.3, "relu", 0.5, 0.4, 0.6, 1)


def test_values_by_position_as_release_4_20_took_them() -> None:
    bert, distilbert = formers.BertConfig(*BERT_4_20), formers.DistilBertConfig(*DISTILBERT_4_20)
    assert (bert.hidden_size, bert.hidden_act, bert.pad_token_id, bert.classifier_dropout) == (8, "relu", 1, 0.4)
    assert (bert.position_embedding_type, bert.use_cache) == ("relative_key", False)
    assert (distilbert.sinusoidal_pos_embds, distilbert.dim, distilbert.activation) == (True, 8, "relu")
    assert (distilbert.seq_classif_dropout, distilbert.pad_token_id) == (0.6, 1)
    with pytest.raises(TypeError, match="at most 16"):
        formers.BertConfig(*BERT_4_20, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_are_the_references(family: str) -> None:
    ours, theirs = CONFIGS[family](), getattr(transformers, CONFIGS[family].__name__)()
    for key, value in ours.to_dict().items():
        if hasattr(theirs, key):
            assert getattr(theirs, key) == value, key
    known = ours.to_dict().keys() | {"transformers_version", "dtype", "_name_or_path"}
    assert theirs.to_dict().keys() <= known


def test_other_names_of_keys() -> None:
    config = formers.DistilBertConfig(hidden_size=64, n_heads=4)
    assert (config.dim, config.hidden_size, config.num_attention_heads) == (64, 64, 4)
    config.num_hidden_layers = 3
    assert config.n_layers == 3 and "num_hidden_layers" not in config.to_dict()
    config.n_layers = 2
    assert config.num_hidden_layers == 2 and hasattr(config, "num_hidden_layers")
    assert formers.DistilBertConfig.from_dict({"dim": 8}, hidden_size=4).dim == 4
    config.update({"num_hidden_layers": 5})
    assert config.n_layers == 5
    with pytest.raises(AttributeError, match="n_layers"):
        _ = config.n_layer


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ({}, {0: "LABEL_0", 1: "LABEL_1"}),
        ({"num_labels": 3}, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        ({"num_labels": 1}, {0: "LABEL_0"}),
        ({"id2label": {"0": "NO", "1": "YES"}}, {0: "NO", 1: "YES"}),
        ({"id2label": {0: "NO", 1: "YES"}, "num_labels": 2}, {0: "NO", 1: "YES"}),
        ({"label2id": {"NO": 0, "YES": 1, "WELL": 2}}, {0: "NO", 1: "YES", 2: "WELL"}),
        ({"id2label": None, "num_labels": 3}, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        ({"id2label": None, "label2id": None}, {0: "LABEL_0", 1: "LABEL_1"}),
        ({"id2label": {"0": 1, "1": 2.5, "2": "three"}}, {0: 1, 1: 2.5, 2: "three"}),
        ({"id2label": {np.int64(0): np.int64(4)}, "num_labels": np.int32(1)}, {0: 4}),
    ],
)
def test_labels(given: dict[str, Any], labels: dict[int, str]) -> None:
    config = formers.BertConfig(**given)
    assert config.id2label == labels and config.num_labels == len(labels)
    assert formers.BertConfig.from_dict(given) == config
    assert [*map(type, config.id2label.values())] == [*map(type, labels.values())]
    assert config.label2id == {v: k for k, v in labels.items()}
    back = formers.BertConfig.from_dict(json.loads(config.to_json_string()))
    assert back == config and back.id2label == labels
    config.num_labels = len(labels)
    assert config.id2label == labels, "the same number keeps the names"
    config.num_labels = 7
    assert len(config.id2label) == len(config.label2id) == 7


def test_labels_given_while_loading(tmp_path: Path) -> None:
    formers.BertConfig(id2label={0: "a", 1: "b", 2: "c"}).save_pretrained(tmp_path)
    load = formers.AutoConfig.from_pretrained
    assert load(tmp_path).label2id == {"a": 0, "b": 1, "c": 2}
    assert load(tmp_path, num_labels=3).id2label == {0: "a", 1: "b", 2: "c"}
    assert load(tmp_path, num_labels=2).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    changed = load(tmp_path, id2label={0: "x", 1: "y"}, label2id={"x": 0, "y": 1})
    assert changed.num_labels == 2 and changed.label2id == {"x": 0, "y": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_labels": -1},
        {"num_labels": "3"},
        {"num_labels": 10**8},
        {"num_labels": 2, "id2label": {0: "a"}},
        {"id2label": ["NO"]},
        {"id2label": {"a": "b"}},
        {"label2id": {"a": "b"}},
    ],
)
def test_labels_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with within(1), pytest.raises(formers.ConfigError, match=next(iter(wrong))):
        formers.BertConfig(**wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_keys_go_to_the_reference_and_back(family: str, tmp_path: Path) -> None:
    ours_class, theirs_class = CONFIGS[family], getattr(transformers, CONFIGS[family].__name__)
    extra = {"my_key": {"a": [1, None]}, "rate": 0.5, "id2label": {0: "a", 1: "b", 2: "c"}, "_private": 3}
    ours = ours_class(**registry.load(family).TINY, **extra)
    for config_class in (theirs_class, ours_class, theirs_class, ours_class):
        ours.save_pretrained(tmp_path)
        ours = config_class.from_pretrained(tmp_path)
        assert ours.my_key == {"a": [1, None]} and ours.rate == 0.5 and ours.id2label == extra["id2label"]
        assert ours._private == 3
        assert all(getattr(ours, k) == v for k, v in registry.load(family).TINY.items())


def test_what_is_written(tmp_path: Path) -> None:
    config = formers.BertConfig(vocab_size=11, dtype=torch.float16, architectures=["BertModel"])
    values = json.loads(config.to_json_string())
    assert values["model_type"] == "bert" and values["torch_dtype"] == "float16" and values["vocab_size"] == 11
    assert values["hidden_size"] == 768 and "output_attentions" not in values and "id2label" not in values
    assert config.to_diff_dict().keys() == values.keys() <= config.to_dict().keys()
    assert json.loads(config.to_json_string(use_diff=False)).keys() == config.to_dict().keys()
    config.to_json_file(tmp_path / "any.json")
    for name in (tmp_path / "any.json", str(tmp_path / "any.json")):
        assert formers.BertConfig.from_pretrained(name) == config == formers.BertConfig.from_json_file(name)
    assert formers.BertConfig(output_attentions=True, num_labels=3).to_diff_dict().keys() >= {"output_attentions"}
    assert repr(config).startswith("BertConfig {\n") and '"vocab_size": 11' in str(config)
    assert transformers.BertConfig.from_dict(values).dtype == torch.float16


def test_dtype_has_two_names() -> None:
    for key in ("dtype", "torch_dtype"):
        for value in ("bfloat16", "torch.bfloat16", torch.bfloat16):
            config = formers.BertConfig.from_dict({key: value})
            assert config.dtype is config.torch_dtype is torch.bfloat16 and "torch_dtype" in config
            assert config.to_dict()["torch_dtype"] == "bfloat16"
    config.torch_dtype = "float16"
    assert config.torch_dtype == torch.float16 and "dtype" not in config.to_dict()
    assert formers.BertConfig().dtype is None and formers.BertConfig(dtype="nonsense").dtype == "nonsense"
    assert copy.deepcopy(config).dtype == pickle.loads(pickle.dumps(config)).dtype == torch.float16


def test_reading_keys_as_the_reference() -> None:
    ours, theirs = formers.DistilBertConfig(my_key=1), transformers.DistilBertConfig(my_key=1)
    for key in ("dim", "my_key", "id2label", "output_hidden_states", "hidden_size", "num_labels", "no_key", "dtype"):
        assert (key in ours) == (key in theirs) == (key in list(ours)), key
    assert ours.transformers_version is None and "transformers_version" not in ours.to_json_string()
    assert formers.BertConfig.from_dict({"transformers_version": "4.20.1"}).transformers_version == "4.20.1"
    assert ours.get_text_config() is ours.get_text_config(decoder=True) is ours
    ours.text_config = inner = formers.BertConfig()
    assert ours.get_text_config() is ours.get_text_config(decoder=True) is inner
    assert ours.get_text_config(encoder=True) is ours


def test_update_from_string() -> None:
    ours, theirs = formers.BertConfig(), transformers.BertConfig()
    text = "hidden_size=8,hidden_dropout_prob=0.25,use_cache=no,hidden_act=relu,output_attentions=true"
    for config in (ours, theirs):
        config.update_from_string(text)
    for key in ("hidden_size", "hidden_dropout_prob", "use_cache", "hidden_act", "output_attentions"):
        assert getattr(ours, key) == getattr(theirs, key) and type(getattr(ours, key)) is type(getattr(theirs, key))
    distilbert = formers.DistilBertConfig()
    distilbert.update_from_string("hidden_size=8")
    assert distilbert.dim == 8
    for wrong, said in {
        "hiden_size=8": "Did you mean 'hidden_size'",
        "hidden_size": "key=value",
        "hidden_size=x": "whole numbers",
        "use_cache=2": "true or false",
        "classifier_dropout=1": "None",
    }.items():
        for error in (ValueError, TypeError):
            with pytest.raises(error, match=said):
                ours.update_from_string(wrong)


def test_torchscript_means_tuples(tmp_path: Path) -> None:
    values = registry.load("bert").TINY
    config = formers.BertConfig(**values, torchscript=True)
    assert not config.use_return_dict and config.return_dict and formers.BertConfig().use_return_dict
    config.save_pretrained(tmp_path)
    model = formers.BertModel(formers.AutoConfig.from_pretrained(tmp_path)).eval()
    ids = torch.tensor([[1, 2]])
    assert type(model(ids)) is tuple and not isinstance(model(ids, return_dict=True), tuple)
    assert type(formers.BertForMaskedLM(config)(ids)) is tuple


def test_numpys_numbers_are_numbers() -> None:
    values = {key: np.int64(v) if type(v) is int else v for key, v in registry.load("bert").TINY.items()}
    config = formers.BertConfig(
        **values, hidden_dropout_prob=np.float64(0.5), num_labels=np.int64(3), more=[np.int8(1)]
    )
    config.check()
    assert type(config.hidden_size) is int and type(config.hidden_dropout_prob) is float and config.num_labels == 3
    assert json.loads(config.to_json_string())["more"] == [1]
    config.num_labels = np.int16(4)
    assert len(config.id2label) == 4


def test_equality_and_copies() -> None:
    config = formers.BertConfig(hidden_size=8, my_key=[1])
    for copied in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), formers.BertConfig(**config.to_dict())):
        assert copied == config
        copied.my_key.append(2)
        assert copied != config and config.my_key == [1]
    assert formers.BertConfig() != formers.DistilBertConfig() and formers.BertConfig() != {}
    assert formers.BertConfig().pruned_heads is not formers.BertConfig().pruned_heads


def test_overrides_and_unused_keywords(tmp_path: Path) -> None:
    formers.BertConfig(hidden_size=8).save_pretrained(tmp_path)
    config, rest = formers.BertConfig.from_pretrained(
        tmp_path, hidden_size=16, output_attentions=True, foo=1, return_unused_kwargs=True
    )
    assert (config.hidden_size, config.output_attentions, rest) == (16, True, {"foo": 1})
    assert config.name_or_path == str(tmp_path) and config.use_return_dict
    with pytest.raises(formers.ConfigError, match=r"'bert'.*'distilbert'.*AutoConfig"):
        formers.DistilBertConfig.from_pretrained(tmp_path)


class MyConfig(formers.PretrainedConfig):
    """As a user writes one: plain attributes, the common part last."""

    model_type = "mine"

    def __init__(self, width: int = 4, names: Any = ("a",), **kwargs: Any) -> None:
        self.width, self.names = width, list(names)
        super().__init__(**kwargs)


def test_a_users_own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = MyConfig(width=5, names=["x"], num_labels=3, extra=1)
    config.save_pretrained(tmp_path)
    back = MyConfig.from_pretrained(tmp_path, width=6)
    assert (back.width, back.names, back.num_labels, back.extra) == (6, ["x"], 3, 1)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "mine"
    monkeypatch.setattr("formers.classes.configs", {})
    formers.AutoConfig.register("mine", MyConfig)
    assert formers.AutoConfig.from_pretrained(tmp_path) == config and MyConfig() == MyConfig.from_dict({})
    theirs = type("Theirs", (transformers.PretrainedConfig,), {"model_type": "mine"}).from_pretrained(tmp_path)
    assert theirs.width == 5 and theirs.num_labels == 3


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "cut": (b'{"model_type": "bert", "hidden', "line 1, column"),
    "list": (b"[1, 2]", "JSON list"),
    "null": (b"null", "JSON NoneType"),
    "page": (b"<html>not found</html>", "line 1, column 1"),
    "binary": (b"\x80\x04\xff\xfe", "UTF-8"),
    "nested": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "no JSON that can be read"),
    "long number": (b'{"hidden_size": ' + b"9" * 5000 + b"}", "no JSON that can be read"),
    "no type": (b"{}", "model_type"),
    "unknown type": (b'{"model_type": "brt"}', "'brt'.*Did you mean 'bert'"),
    "type of another type": (b'{"model_type": ["bert"]}', "model_type"),
    "labels": (b'{"model_type": "bert", "id2label": 5}', "id2label"),
    "architectures": (b'{"architectures": 5}', "model_type"),
    "pruned": (b'{"model_type": "bert", "pruned_heads": [1]}', "pruned_heads"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_broken_files(name: str, tmp_path: Path) -> None:
    contents, said = CONTENTS[name]
    (tmp_path / "config.json").write_bytes(contents)
    for load in (formers.AutoConfig.from_pretrained, formers.AutoModel.from_pretrained):
        with pytest.raises(formers.ConfigError, match=f"(?s){said}") as caught:
            load(tmp_path)
        assert isinstance(caught.value, (OSError, ValueError)) and isinstance(caught.value, formers.FormersError)
        if name not in ("labels", "pruned"):
            assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "contents",
    [
        '{"a": [' + "[]," * 300_000 + "[]]}",
        '{"a": [' + "1.5," * 2_000_000 + "1]}",
        "{" + ",".join(f'"{i}":1' for i in range(20_000)) + "}",
        '{"id2label": {"0": "' + "x" * 21_000_000 + '"}}',
    ],
)
def test_files_out_of_proportion(contents: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(contents)
    with within(2), pytest.raises(formers.ConfigError, match=r"config\.json has .* at most .* are read"):
        formers.AutoConfig.from_pretrained(tmp_path)


def test_the_file_of_google_s_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "bert_config.json").write_text('{"hidden_size": 24, "num_attention_heads": 4}')
    for place in (tmp_path, tmp_path / "bert_config.json"):
        for kind in (formers.AutoConfig, formers.BertConfig):
            config = kind.from_pretrained(place)
            assert type(config) is formers.BertConfig and config.hidden_size == 24
    (tmp_path / "other_config.json").write_text("{}")
    with pytest.raises(formers.ConfigError, match="model_type"):
        formers.AutoConfig.from_pretrained(tmp_path / "other_config.json")
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    assert type(formers.AutoConfig.from_pretrained(tmp_path)) is formers.DistilBertConfig


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    with pytest.raises(formers.NotFoundError, match=r"config\.json.*other\.txt") as caught:
        formers.AutoConfig.from_pretrained(tmp_path)
    assert isinstance(caught.value, OSError)
    with pytest.raises(OSError, match="nowhere"):
        formers.BertConfig.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(OSError, match="config"):
        formers.BertConfig.from_pretrained(tmp_path)


WRONG = {
    "hidden_size": ["8", 8.5, None, -8, 0, 10**30, True],
    "num_attention_heads": [0, -1, 5, "a"],
    "num_hidden_layers": [-1, 10**9, "2"],
    "vocab_size": [0, -1, 10**30, [1]],
    "hidden_act": ["gelo", 5, None, "__class__"],
    "hidden_dropout_prob": [-0.1, 1.5, "x", float("nan")],
    "layer_norm_eps": ["x", None],
    "max_position_embeddings": [0, "512"],
    "pad_token_id": [99, "0", 10**30],
    "position_embedding_type": ["relative", 3],
    "classifier_dropout": ["x", 2],
    "initializer_range": ["x", float("inf")],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in WRONG.items() for v in values])
def test_values_that_make_no_model(key: str, value: Any) -> None:
    config = formers.BertConfig(**{**registry.load("bert").TINY, key: value})
    with within(1), pytest.raises(formers.ConfigError, match=key):
        formers.BertForSequenceClassification(config)


def test_activation_by_a_near_name() -> None:
    with pytest.raises(ValueError, match=r"'gelo' is no activation\. Did you mean 'gelu'"):
        formers.BertModel(formers.BertConfig(hidden_act="gelo"))
    with pytest.raises(ValueError, match=r"^activation='gelo'"):
        formers.DistilBertModel(formers.DistilBertConfig(activation="gelo"))


def another(family: str, key: str, value: Any) -> Any:
    """Another value of a key than `value`, which would change an output."""
    usual = {own: name for name, own in CONFIGS[family].attribute_map.items()}.get(key, key)
    if (given := {**CHANGED, **facts(family).changed}).keys() & {key, usual}:
        return given[key if key in given else usual]
    if isinstance(value, str) and "act" in key:
        return "relu"
    return not value if isinstance(value, bool) else 0.7 if key in rates(family) else (value or 0) + 1


@pytest.mark.parametrize(("family", "key"), [(f, k) for f in FAMILIES for k in CONFIGS[f].keys()])  # noqa: SIM118
def test_config_honoured(family: str, key: str) -> None:
    values = registry.load(family).TINY

    def result(**change: Any) -> tuple[Any, torch.Tensor]:
        torch.manual_seed(0)
        model = registry.load(family).HEADS[main_head(family)](CONFIGS[family](**{**values, **change})).eval()
        redraw(model)
        with torch.no_grad():
            ids, mask = torch.arange(27).view(3, 9), torch.tensor(MASKS["right"])
            return {k: v.shape for k, v in model.state_dict().items()}, model(input_ids=ids, attention_mask=mask)[0]

    changed = another(family, key, CONFIGS[family](**values).to_dict()[key])
    (shapes, out), (other_shapes, other_out) = result(), result(**{key: changed, **facts(family).together.get(key, {})})
    differs = shapes != other_shapes or not torch.equal(out, other_out)
    unseen = {**dict.fromkeys(rates(family), "training only"), **UNSEEN, **facts(family).unseen}
    assert differs != (key in unseen and key not in facts(family).seen), unseen.get(key)
