"""Loaded models inside classes of the user's own: what was loaded is never drawn again, the rest is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from families import redraw
from safetensors.torch import load_file, save_file
from torch import nn

import formers
from formers import BertModel, BertPreTrainedModel, registry
from formers.check import check
from formers.models.bert import BertPooler
from tests.clock import within


def config(**changes: Any) -> Any:
    return formers.BertConfig(**{**registry.load("bert").TINY, **changes})


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved body whose weights have a spread that no drawing gives."""
    folder = tmp_path_factory.mktemp("body")
    model = BertModel(config())
    redraw(model)
    model.save_pretrained(folder)
    return folder


def kept(model: Any, folder: Path) -> bool:
    saved = load_file(folder / "model.safetensors")
    mine = model.state_dict()
    return all(torch.equal(mine[name], tensor) for name, tensor in saved.items())


class Net(BertPreTrainedModel):
    """Body, fresh head, and the call at the end that both 4.x and 5.x know."""

    def __init__(self, config: Any, folder: Path, name: str = "bert", last: str = "post_init") -> None:
        super().__init__(config)
        loader = formers.AutoModel if name == "bert" else BertModel
        self.add_module(name, loader.from_pretrained(folder))
        self.head = nn.Linear(config.hidden_size, 3)
        nn.init.constant_(self.head.weight, 7)
        getattr(self, last)()


@pytest.mark.parametrize("last", ["post_init", "init_weights"])
@pytest.mark.parametrize("name", ["bert", "encoder"])
def test_a_loaded_body_is_not_drawn_and_the_head_beside_it_is(name: str, last: str, body: Path) -> None:
    net = Net(config(), body, name, last)
    assert kept(net.get_submodule(name), body)
    assert 0 < net.head.weight.std() < 0.1 and not net.head.bias.any()
    net.get_submodule(name).init_weights()
    assert kept(net.get_submodule(name), body), "whoever asks"
    net.apply(net._init_weights)
    assert not kept(net.get_submodule(name), body), "by the user's own hand"


def test_copies_and_containers_that_draw_what_is_in_them(body: Path) -> None:
    class Two(BertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.student = BertModel.from_pretrained(body)
            self.teacher = copy.deepcopy(self.student)
            self.student.pooler = BertPooler(config)
            nn.init.constant_(self.student.pooler.dense.weight, 7)
            self.post_init()

    two = Two(config())
    assert kept(two.teacher, body) and two.student.pooler.dense.weight.std() < 0.1
    assert torch.equal(two.student.get_input_embeddings().weight, two.teacher.get_input_embeddings().weight)
    module = registry.load("modernbert")
    model = module.HEADS["base"](module.HEADS["base"].config_class(**module.TINY))
    state = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    loaded = type(model).from_pretrained(None, config=model.config, state_dict=state)
    loaded.init_weights()  # which draws linear layers from the parts that hold them
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_a_whole_class_with_loaded_parts_loads(body: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = Net(config(), body)
    redraw(net)
    net.save_pretrained(tmp_path)
    back = Net.from_pretrained(tmp_path, body)
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in back.state_dict().items())
    assert not caplog.text

    class WithAnother(Net):
        def __init__(self, config: Any, folder: Path) -> None:
            super().__init__(config, folder)
            self.other = BertModel.from_pretrained(folder)
            self.scale = nn.Parameter(torch.full((2,), 5.0))

    more, report = WithAnother.from_pretrained(tmp_path, body, dtype=torch.float64, output_loading_info=True)
    assert report["missing_keys"] == ["scale"] and "other." not in caplog.text
    assert kept(more.other.float(), body), "what the file lacks keeps what its own load gave"
    assert {p.dtype for name, p in more.named_parameters() if not name.startswith("other")} == {torch.float64}
    assert more.scale.tolist() == [5.0, 5.0]


def test_tie_weights_of_a_class_without_post_init(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Tied(BertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.bert = BertModel(config)
            self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

        def tie_weights(self) -> None:
            self.decoder.weight = self.bert.embeddings.word_embeddings.weight

    class TiedByStorage(Tied):
        def tie_weights(self) -> None:
            self.decoder.weight.data = self.bert.embeddings.word_embeddings.weight.data

    Tied(config()).save_pretrained(tmp_path)
    model, report = Tied.from_pretrained(tmp_path, output_loading_info=True)
    assert model.decoder.weight is model.bert.embeddings.word_embeddings.weight and not any(report.values())
    untied = load_file(tmp_path / "model.safetensors")
    untied["decoder.weight"] = untied["bert.embeddings.word_embeddings.weight"] + 1
    save_file(untied, tmp_path / "model.safetensors")
    for kind in (Tied, TiedByStorage):
        model = kind.from_pretrained(tmp_path)
        assert model.decoder.weight.data_ptr() == model.bert.embeddings.word_embeddings.weight.data_ptr()
        assert model.config.tie_word_embeddings and not caplog.text


class Base(formers.PreTrainedModel):
    config_class = formers.BertConfig
    base_model_prefix = "base"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.linear = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)


class WithHead(Base):
    def __init__(self, config: Any) -> None:
        formers.PreTrainedModel.__init__(self, config)
        self.base = Base(config)
        self.linear = nn.Linear(4, 4)


def test_whether_a_file_has_a_prefix_is_told_from_the_whole_file(tmp_path: Path) -> None:
    """A head whose layer has the name of one of its body's."""
    whole = WithHead(formers.BertConfig())
    whole.save_pretrained(tmp_path / "whole")
    base, report = Base.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert torch.equal(base.linear.weight, whole.base.linear.weight)
    assert report["unexpected_keys"] == ["linear.weight", "linear.bias"] and not report["missing_keys"]
    base.save_pretrained(tmp_path / "base")
    again, report = WithHead.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert torch.equal(again.base.linear.weight, base.linear.weight)
    assert not torch.equal(again.linear.weight, base.linear.weight)
    assert report["missing_keys"] == ["linear.weight", "linear.bias"] and not report["unexpected_keys"]
    same = WithHead.from_pretrained(tmp_path / "whole")
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in same.state_dict().items())


@pytest.mark.parametrize("first", ["module.", "_orig_mod.", "model.", "_orig_mod.module."])
def test_names_that_another_program_put_something_before(first: str, body: Path, tmp_path: Path) -> None:
    weights = {f"{first}bert.{name}": tensor for name, tensor in load_file(body / "model.safetensors").items()}
    save_file(weights | {"step": torch.zeros(1)}, tmp_path / "model.safetensors")
    config().save_pretrained(tmp_path)
    for kind in (BertModel, formers.BertForSequenceClassification):
        with pytest.raises(formers.CheckpointError, match=rf"begin with '{first}(bert\.)?'.*removeprefix") as caught:
            kind.from_pretrained(tmp_path)
        taken = str(caught.value).partition("state_dict=")[2].partition("), with")[0]
        state = eval(taken, {"weights": weights})
        model = kind.from_pretrained(tmp_path, state_dict=state)
        assert kept(model.base_model, body)
    (problem,) = [f for f in check(tmp_path).findings if f.check == "shapes"]
    assert problem.state == "problem" and f"'{first}" in problem.words


def test_loading_on_the_meta_device_stays_there(body: Path) -> None:
    with within(2), torch.device("meta"):
        for load in (BertModel, formers.AutoModelForSequenceClassification, formers.AutoModelForMaskedLM):
            model = load.from_pretrained(body, dtype=torch.float16)
            assert {p.device.type for p in (*model.parameters(), *model.buffers())} == {"meta"}
            assert {p.dtype for p in model.parameters()} == {torch.float16}
        net = Net.from_pretrained(body, body)
        assert {p.device.type for p in net.parameters()} == {"meta"}
        tied = formers.AutoModelForMaskedLM.from_pretrained(body)
        assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight
    assert BertModel.from_pretrained(body, device="meta").device.type == "meta"
    assert BertModel.from_pretrained(body).device.type == "cpu"


def test_gradient_checkpointing_from_an_old_configuration(body: Path, tmp_path: Path) -> None:
    old = config(gradient_checkpointing=True)
    old.save_pretrained(tmp_path)
    model = formers.BertForSequenceClassification(config(gradient_checkpointing=True))
    assert model.is_gradient_checkpointing and not model.bert.config.to_dict().get("gradient_checkpointing")
    assert formers.AutoModel.from_pretrained(body, config=str(tmp_path)).is_gradient_checkpointing
    assert not BertModel(config(gradient_checkpointing=False)).is_gradient_checkpointing
    assert not BertModel.from_pretrained(body).is_gradient_checkpointing


def test_keywords_of_gradient_checkpointing() -> None:
    model = BertModel(config())
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False}, every_n_layers=1)
    assert model.is_gradient_checkpointing
    model.gradient_checkpointing_enable({"use_reentrant": True, "preserve_rng_state": False}, offload=False)
    with pytest.raises(formers.ArgumentError, match="use_reentrant"):
        model.gradient_checkpointing_enable({"use_rentrant": True})
    with pytest.raises(TypeError, match="every_n_layer"):
        model.gradient_checkpointing_enable(every_n_layer=2)


def test_an_adapter_finds_the_name_of_its_base(body: Path) -> None:
    """As PEFT reads it, from the model's own attributes."""
    model = formers.AutoModelForSequenceClassification.from_pretrained(body)
    for part in (model, model.bert):
        assert part.__dict__["name_or_path"] == part.name_or_path == str(body)
    assert BertModel(config()).name_or_path == ""
