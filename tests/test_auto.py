"""Auto classes: the class that a checkpoint asks for, a user's own, and errors that list what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import CASES, FAMILIES, JOINED, SEQ2SEQ, SEQ2SEQ_CASES, TOWER_CASES, main_head
from tokenizers import Tokenizer, models

import formers
from formers import registry
from formers.tokenization import BoxedWords

AUTO = {
    "base": "AutoModel",
    "pretraining": "AutoModelForPreTraining",
    "masked-lm": "AutoModelForMaskedLM",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "text-encoding": "AutoModelForTextEncoding",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "document-question-answering": "AutoModelForDocumentQuestionAnswering",
    "table-question-answering": "AutoModelForTableQuestionAnswering",
    "multiple-choice": "AutoModelForMultipleChoice",
    "next-sentence-prediction": "AutoModelForNextSentencePrediction",
}
OF_IMAGES = {
    "base": "AutoModel",
    "image-classification": "AutoModelForImageClassification",
    "masked-image-modeling": "AutoModelForMaskedImageModeling",
    "semantic-segmentation": "AutoModelForSemanticSegmentation",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "image-text-to-text": "AutoModelForImageTextToText",
    "visual-question-answering": "AutoModelForVisualQuestionAnswering",
    "document-question-answering": "AutoModelForDocumentQuestionAnswering",
    "backbone": "AutoBackbone",
}
OF_SOUND = {
    "base": "AutoModel",
    "ctc": "AutoModelForCTC",
    "speech-seq2seq": "AutoModelForSpeechSeq2Seq",
    "audio-classification": "AutoModelForAudioClassification",
    "audio-frame-classification": "AutoModelForAudioFrameClassification",
    "audio-xvector": "AutoModelForAudioXVector",
}
OF_TOWERS = {**OF_IMAGES, **OF_SOUND}


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("configs", "models", "tokenizers"):
        monkeypatch.setattr(f"formers.classes.{table}", {})


def config_of(family: str, **changes: Any) -> Any:
    module = registry.load(family)
    return module.HEADS["base"].config_class(**{**module.TINY, **changes})


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), [*CASES, *SEQ2SEQ_CASES])
def test_the_class_of_a_head(family: str, head: str, tmp_path: Path) -> None:
    auto, expected = getattr(formers, AUTO[head]), registry.load(family).HEADS[head]
    config = config_of(family, is_decoder=head == "causal-lm")
    theirs = getattr(transformers, AUTO[head]).from_config(
        getattr(transformers, type(config).__name__)(**config.to_dict())
    )
    model = auto.from_config(config)
    assert type(model) is expected and type(theirs).__name__ == expected.__name__ and model.training
    own = family in SEQ2SEQ and head in ("causal-lm", "question-answering")  # which set keys, there as here
    assert (own or model.config == config) and model.config is not config
    model.save_pretrained(tmp_path)
    back = auto.from_pretrained(tmp_path)
    assert type(back) is expected and not back.training
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())


def test_every_auto_class_is_tested() -> None:
    autos = {n for n in vars(formers.auto) if n.startswith("AutoModel")}
    again = {"AutoModelWithLMHead", "AutoModelForVision2Seq", "AutoModelForMultimodalLM"}
    assert autos - again == {*AUTO.values(), *OF_IMAGES.values(), *OF_SOUND.values()} - {"AutoBackbone"}


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), [(f, h) for f, h in TOWER_CASES if h in OF_TOWERS])
def test_the_class_of_a_head_of_pictures_or_sound(family: str, head: str) -> None:
    expected, config = registry.load(family).HEADS[head], config_of(family)
    auto, theirs = getattr(formers, OF_TOWERS[head]), getattr(transformers, OF_TOWERS[head])
    model = auto.from_config(config)
    assert type(model) is expected
    mapping = theirs._model_mapping
    if head == "base" and (family in JOINED or expected is registry.load(family).HEADS.get("speech-seq2seq")):
        return  # what has no model without a head is none there
    of_theirs = mapping[getattr(transformers, type(config).__name__)]
    assert expected.__name__ in [cls.__name__ for cls in (of_theirs if isinstance(of_theirs, tuple) else [of_theirs])]


@pytest.mark.parametrize(("family", "head"), [("bert", "masked-lm"), ("gpt2", "causal-lm"), ("t5", "seq2seq-lm")])
def test_whichever_head_scores_the_vocabulary(family: str, head: str) -> None:
    expected = registry.load(family).HEADS[head]
    assert type(formers.AutoModelWithLMHead.from_config(config_of(family))) is expected
    assert formers.MODEL_WITH_LM_HEAD_MAPPING[expected.config_class] is expected
    with pytest.raises(formers.ConfigError, match=r"masked-lm or seq2seq-lm or causal-lm"):
        formers.AutoModelWithLMHead.from_config(formers.PretrainedConfig())


def test_the_mapping_of_encoder_decoders() -> None:
    mapping = formers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    theirs = transformers.models.auto.modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    assert {c.__name__ for c in mapping} >= {"T5Config", "BartConfig"}
    assert all(theirs[config.model_type] == model.__name__ for config, model in mapping.items())


def test_what_from_pretrained_takes(tmp_path: Path) -> None:
    formers.BertForSequenceClassification(config_of("bert")).save_pretrained(tmp_path)
    load = formers.AutoModelForSequenceClassification.from_pretrained
    assert load(tmp_path, output_attentions=True)(torch.tensor([[1]])).attentions is not None
    assert load(tmp_path, attn_implementation="eager").config._attn_implementation == "eager"
    assert load(str(tmp_path), torch_dtype=torch.float16).dtype == torch.float16
    changed = load(tmp_path, num_labels=3, ignore_mismatched_sizes=True)
    assert changed.classifier.out_features == changed.config.num_labels == 3
    named = load(tmp_path, id2label={0: "NO", 1: "YES"}, label2id={"NO": 0, "YES": 1})
    assert named.config.id2label == {0: "NO", 1: "YES"} and named.config.label2id == {"NO": 0, "YES": 1}
    config = formers.AutoConfig.from_pretrained(tmp_path, hidden_dropout_prob=0.5)
    given = load(tmp_path, config=config)
    assert given.dropout.p == 0.5 and given.config is not config and load(tmp_path, config=str(tmp_path))
    _, report = load(tmp_path, output_loading_info=True)
    assert set(report) == {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}
    with pytest.raises(TypeError, match=r"'output_attention'.*'output_attentions'"):
        load(tmp_path, output_attention=True)


def test_code_beside_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    formers.BertModel(config_of("bert")).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    assert type(formers.AutoModel.from_pretrained(tmp_path, trust_remote_code=True)) is formers.BertModel
    assert formers.AutoConfig.from_pretrained(tmp_path, trust_remote_code=True).auto_map == values["auto_map"]


@pytest.mark.parametrize("family", [*FAMILIES, *SEQ2SEQ])
def test_a_config_of_before_model_types(family: str, tmp_path: Path) -> None:
    auto, expected = getattr(formers, AUTO[main_head(family)]), registry.load(family).HEADS[main_head(family)]
    auto.from_config(config_of(family)).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values.pop("model_type")
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert type(auto.from_pretrained(tmp_path)) is expected
    values.pop("architectures")
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(formers.ConfigError, match=rf"{tmp_path}.*model_type"):
        formers.AutoConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("brt", "Did you mean 'bert'"),
        ("distil-bert", "'distilbert'"),
        ("no-such-type", ", ".join(registry.model_types())),
        ("BERT", "bert"),
    ],
)
def test_unknown_model_types(model_type: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    for load in (formers.AutoConfig.from_pretrained, formers.AutoModel.from_pretrained):
        with pytest.raises(ValueError, match=rf"'{model_type}'.*{said}"):
            load(tmp_path)
    with pytest.raises(ValueError, match=said):
        formers.AutoConfig.for_model(model_type)


def test_for_model() -> None:
    assert formers.AutoConfig.for_model("bert", hidden_size=8) == formers.BertConfig(hidden_size=8)


@pytest.mark.parametrize("head", ["next-sentence-prediction", "causal-lm"])
def test_a_head_that_the_family_lacks(head: str, tmp_path: Path) -> None:
    auto, config = getattr(formers, AUTO[head]), config_of("distilbert")
    formers.AutoModel.from_config(config).save_pretrained(tmp_path)
    families = [registry.load(family) for family in registry.families()]
    have = ", ".join(t for family in families if head in family.HEADS for t in family.MODEL_TYPES)
    for call in (lambda: auto.from_pretrained(tmp_path), lambda: auto.from_config(config)):
        with pytest.raises(ValueError, match=rf"DistilBertConfig.*these have one: {have}\."):
            call()


@pytest.mark.parametrize(
    "name", ["TFAutoModel", "FlaxAutoModelForMaskedLM", "TFBertModel", "FlaxDistilBertForMaskedLM"]
)
def test_other_frameworks(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"PyTorch.*Use {name.removeprefix('TF').removeprefix('Flax')}"):
        getattr(formers, name)


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="AutoModelForSequenceClassification"):
        _ = formers.AutoModelForSequenceClasification
    with pytest.raises(AttributeError, match=", ".join(registry.families())):
        _ = formers.NoSuchModel
    assert not hasattr(formers, "nothing")
    for auto in (formers.AutoModel, formers.AutoConfig, formers.AutoTokenizer):
        with pytest.raises(formers.ArgumentError, match=rf"{auto.__name__}\.from_pretrained"):
            auto()


class MyConfig(formers.PretrainedConfig):
    """A user's own: nothing but a width."""

    model_type = "mine"

    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        self.width = width
        super().__init__(**kwargs)


class MyModel(formers.PreTrainedModel):
    """A user's own, with a parameter that belongs to no layer, and buffers that are saved and that are not."""

    config_class = MyConfig

    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)
        self.linear = torch.nn.Linear(config.width, 2)
        self.scale = torch.nn.Parameter(torch.full((2,), 3.0))
        self.register_buffer("steps", torch.arange(2.0), persistent=False)
        self.register_buffer("seen", torch.tensor(7))
        self.columns = 2

    def forward(self, x: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
        return self.linear(x) * self.scale + self.steps + shift


def test_a_users_own_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = MyModel(MyConfig(width=5))
    x = torch.randn(3, 5)
    model.save_pretrained(tmp_path)
    back = MyModel.from_pretrained(tmp_path)
    assert torch.equal(back(x), model(x)) and back.seen == 7 and back.seen.dtype == torch.int64
    assert not any(t.is_meta for t in (*back.parameters(), *back.buffers())) and not caplog.text
    double = MyModel.from_pretrained(tmp_path, dtype="float64")
    assert torch.allclose(double(x.double()).float(), model(x), atol=1e-6) and double.seen.dtype == torch.int64
    with pytest.raises(TypeError, match=r"'shft'.*'shift'"):
        back(x, shft=1)
    formers.AutoConfig.register("mine", MyConfig)
    formers.AutoModel.register(MyConfig, MyModel)
    found = formers.AutoModel.from_pretrained(tmp_path)
    assert type(found) is MyModel and torch.equal(found(x), model(x))
    assert type(formers.AutoModel.from_config(MyConfig())) is MyModel
    assert formers.AutoConfig.for_model("mine", width=2).width == 2
    with pytest.raises(ValueError, match="MyConfig"):
        formers.AutoModelForMaskedLM.from_pretrained(tmp_path)


def test_a_users_own_model_with_new_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Wider(MyModel):
        def __init__(self, config: MyConfig) -> None:
            super().__init__(config)
            self.extra = torch.nn.Linear(2, 2)
            self.offset = torch.nn.Parameter(torch.full((2,), 5.0))

    base = MyModel(MyConfig())
    base.save_pretrained(tmp_path)
    model, report = Wider.from_pretrained(tmp_path, output_loading_info=True)
    assert set(report["missing_keys"]) == {"extra.weight", "extra.bias", "offset"}
    assert "offset" in caplog.text and len(caplog.records) == 1
    assert bool((model.offset == 5).all()) and bool(model.extra.weight.any()) and torch.equal(model.scale, base.scale)
    formers.BertModel(config_of("bert")).save_pretrained(tmp_path / "bert")
    with pytest.raises(formers.CheckpointError, match="4 of its body"):
        MyModel.from_pretrained(tmp_path / "bert", config=MyConfig())


def test_registering_twice() -> None:
    formers.AutoConfig.register("mine", MyConfig)
    formers.AutoModel.register(MyConfig, MyModel)
    for again in (
        lambda **k: formers.AutoConfig.register("mine", MyConfig, **k),
        lambda **k: formers.AutoModel.register(MyConfig, MyModel, **k),
    ):
        with pytest.raises(ValueError, match="exist_ok"):
            again()
        again(exist_ok=True)
    with pytest.raises(ValueError, match="exist_ok"):
        formers.AutoConfig.register("bert", formers.BertConfig)
    with pytest.raises(ValueError, match=r"'mine'.*'other'"):
        formers.AutoConfig.register("other", MyConfig)
    with pytest.raises(ValueError, match="MyConfig"):
        formers.AutoModel.register(formers.BertConfig, MyModel)


def test_a_model_of_ones_own_for_a_known_family(tmp_path: Path) -> None:
    class Mine(formers.BertModel):
        pass

    formers.AutoModel.register(formers.BertConfig, Mine)
    assert type(formers.AutoModel.from_config(config_of("bert"))) is Mine


def test_a_tokenizer_of_ones_own(data: Path, tmp_path: Path) -> None:
    class MyTokenizer(formers.BertTokenizer):
        pass

    formers.AutoConfig.register("mine", MyConfig)
    formers.AutoTokenizer.register(MyConfig, fast_tokenizer_class=MyTokenizer)
    MyConfig().save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_bytes((data / "bert-base-uncased-vocab.txt").read_bytes())
    assert type(formers.AutoTokenizer.from_pretrained(tmp_path)) is MyTokenizer
    with pytest.raises(ValueError, match="exist_ok"):
        formers.AutoTokenizer.register(MyConfig, MyTokenizer)
    with pytest.raises(ValueError, match="tokenizer class"):
        formers.AutoTokenizer.register(formers.BertConfig)


# whose tokenizers are made of more files than one: tests/tokenization/test_languages.py opens these
OF_FILES = {"m2m_100", "marian"}


@pytest.mark.parametrize("family", [family for family in (*FAMILIES, *SEQ2SEQ) if family not in OF_FILES])
def test_the_tokenizer_of_a_model(family: str, tmp_path: Path) -> None:
    config_of(family).save_pretrained(tmp_path)
    Tokenizer(models.WordLevel({"hello": 0, "[UNK]": 1}, "[UNK]")).save(str(tmp_path / "tokenizer.json"))
    expected, (named, *_) = registry.load(family).TOKENIZER, registry.load(family).MODEL_TYPES
    tokenizer = formers.AutoTokenizer.from_pretrained(tmp_path, use_fast=False, trust_remote_code=True)
    assert type(tokenizer) is expected
    if not issubclass(expected, BoxedWords):  # which reads words, and those of another kind of file
        assert list(tokenizer("hello").keys()) == expected.model_input_names
    (tmp_path / "config.json").unlink()
    assert type(formers.AutoTokenizer.from_pretrained(tmp_path, config=config_of(family))) is expected
    assert type(formers.AutoTokenizer.from_pretrained(tmp_path, tokenizer_type=named)) is expected
    with pytest.raises(ValueError, match=r"'brt'.*'bert'"):
        formers.AutoTokenizer.from_pretrained(tmp_path, tokenizer_type="brt")
