"""Any encoder with any decoder, beside the reference: outputs, losses, what is written, files."""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from families import batch, difference, redraw

import formers
from formers import registry
from formers.errors import ArgumentError, ConfigError, InputError

transformers = pytest.importorskip("transformers")
TOP = {"pad_token_id": 1, "decoder_start_token_id": 3, "eos_token_id": 2}
PAIRS = {
    "bert2bert": ("bert", {}, "bert"),
    "roberta2roberta": ("roberta", {}, "roberta"),
    "bert2gpt2": ("bert", {"hidden_size": 24}, "gpt2"),  # of other widths
    "electra2bart": ("electra", {}, "bart"),
}
MASK = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] * 2 + [0] * 7])
IDS = torch.randint(4, 99, (3, 9), generator=torch.Generator().manual_seed(1)).masked_fill(MASK == 0, 1)


def values(name: str, **more: Any) -> dict[str, Any]:
    """The keys of a configuration of both parts."""
    first, changes, second = PAIRS[name]
    parts = {"encoder": {"model_type": first, **registry.load(first).TINY, **changes}}
    of_decoder = {"is_decoder": True, "add_cross_attention": True}
    parts["decoder"] = {"model_type": second, **registry.load(second).TINY, **of_decoder}
    return {**copy.deepcopy(parts), **TOP, **more}


def pair(name: str, **more: Any) -> tuple[Any, Any]:
    """The reference's model and ours, with the same weights, large ones."""
    theirs = transformers.EncoderDecoderModel(transformers.EncoderDecoderConfig(**values(name)))
    redraw(theirs)
    ours = formers.EncoderDecoderModel(formers.EncoderDecoderConfig(**values(name, **more)))
    ours.load_state_dict(theirs.state_dict())
    ours.tie_weights()
    return theirs.eval(), ours.eval()


@pytest.mark.parametrize("mask", ["right", "left"])
@pytest.mark.parametrize("name", PAIRS)
def test_outputs(name: str, mask: str) -> None:
    theirs, ours = pair(name)
    theirs.set_attn_implementation("eager")
    inputs = batch(ours, "seq2seq-lm", mask, labels=False)
    asked = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        expected, got, fused = theirs(**inputs, **asked), ours(**inputs, **asked), ours(**inputs)
    assert got.keys() == expected.keys()
    read, wrote = inputs["attention_mask"].bool(), inputs["decoder_attention_mask"].bool()
    assert difference(fused.logits[wrote], expected.logits[wrote]) < 1e-5
    for field in (n for n in got if n != "past_key_values"):
        a, b = ((x,) if isinstance(x, torch.Tensor) else x for x in (got[field], expected[field]))
        for x, y in zip(a, b, strict=True):
            if field.endswith("attentions"):
                x, y = x.transpose(1, 2), y.transpose(1, 2)
            keep = read if field.startswith("encoder") else wrote
            assert difference(x[keep], y[keep]) < 1e-5, field


@pytest.mark.parametrize("padding", [-100, 1])
@pytest.mark.parametrize("name", PAIRS)
def test_losses_and_gradients(name: str, padding: int) -> None:
    theirs, ours = pair(name)
    labels = torch.tensor([[11, 12, 13, 14], [15, 16, 2, padding], [17, 2, padding, padding]])
    given = {"input_ids": IDS, "attention_mask": MASK, "labels": labels}
    expected, got = theirs(**given), ours(**given)
    assert difference(got.loss, expected.loss) < 1e-5
    expected.loss.backward()
    got.loss.backward()
    own = dict(ours.named_parameters())
    wanted = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    largest = max(float(grad.abs().max()) for grad in wanted.values())
    for key, grad in wanted.items():
        assert float((own[key].grad - grad).abs().max()) < 1e-5 * max(largest, 1.0), key


@pytest.mark.parametrize("mask", ["right", "left"])
@pytest.mark.parametrize("name", PAIRS)
def test_what_is_written(name: str, mask: str) -> None:
    theirs, ours = pair(name)
    assert {k: v for k, v in ours.generation_config.to_dict().items() if k.endswith("token_id") and v is not None} == {
        k: v for k, v in theirs.generation_config.to_dict().items() if k.endswith("token_id") and v is not None
    }
    mask_ = MASK if mask == "right" else MASK.flip(1)
    ids = (IDS if mask == "right" else IDS.flip(1)).masked_fill(mask_ == 0, 1)
    ways: list[dict[str, Any]] = [
        {},
        {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "eos_token_id": [2, 5, 7, 9, 20, 40]},
        {"do_sample": True, "top_k": 5},
        {"decoder_input_ids": torch.tensor([[3, 5, 6]] * 3), "no_repeat_ngram_size": 2},
    ]
    for way in ways:
        written = []
        for model in (theirs, ours):
            torch.manual_seed(0)
            written.append(model.generate(ids, attention_mask=mask_, max_new_tokens=8, **way).tolist())
        assert written[0] == written[1], way


def test_token_types_and_places() -> None:
    theirs, ours = pair("bert2bert")
    types, places = (IDS % 3), torch.arange(9).flip(0).expand(3, -1)
    given = {"input_ids": IDS, "attention_mask": MASK, "decoder_input_ids": IDS, "token_type_ids": types}
    plain = {name: given[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    more = {"position_ids": places, "decoder_token_type_ids": types, "decoder_position_ids": places}
    with torch.no_grad():
        assert difference(ours(**given, **more).logits, theirs(**given, **more).logits) < 1e-5
        assert difference(ours(**given).logits, ours(**plain).logits) > 1e-3
    given.pop("decoder_input_ids")
    expected = theirs.generate(**given, max_new_tokens=5)
    assert torch.equal(ours.generate(**given, max_new_tokens=5), expected)


@pytest.mark.parametrize("name", PAIRS)
def test_round_trips(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, ours = pair(name)
    given = {"input_ids": IDS, "attention_mask": MASK, "decoder_input_ids": IDS}
    ours.save_pretrained(tmp_path / "ours")
    again, report = transformers.EncoderDecoderModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    again.save_pretrained(tmp_path / "theirs")
    back, report = formers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(report.values()) and not caplog.text and not back.training
    assert back.config.decoder is back.decoder.config and back.config.encoder is back.encoder.config
    with torch.no_grad():
        for model in (again, back, formers.AutoModel.from_pretrained(tmp_path / "theirs")):
            assert difference(model(**given).logits, ours(**given).logits) < 1e-5
        eager = formers.EncoderDecoderModel.from_pretrained(tmp_path / "ours", attn_implementation="eager")
        assert eager.decoder.config._attn_implementation == "eager"
        assert difference(eager(**given).logits, ours(**given).logits) < 1e-5
    assert formers.EncoderDecoderConfig.from_pretrained(tmp_path / "ours").encoder == ours.config.encoder


@pytest.mark.parametrize("tied", [False, True])
def test_a_folder_of_release_4(tied: bool, tmp_path: Path) -> None:
    _, ours = pair("bert2bert", tie_encoder_decoder=tied)
    # as 4.20 wrote them: all names of what is shared, and buffers
    state = {name: x.clone() for name, x in ours.state_dict().items()}
    for side in ("encoder", "decoder.bert"):
        state[f"{side}.embeddings.position_ids"] = torch.arange(40)[None]
    torch.save(state, tmp_path / "pytorch_model.bin")
    said = {**values("bert2bert"), "tie_encoder_decoder": tied, "architectures": ["EncoderDecoderModel"]}
    said |= {"model_type": "encoder-decoder", "is_encoder_decoder": True, "transformers_version": None}
    for side in ("encoder", "decoder"):
        said[side] |= {"top_k": 50, "num_beams": 1, "tie_encoder_decoder": False, "cross_attention_hidden_size": None}
    (tmp_path / "config.json").write_text(json.dumps(said))
    back, report = formers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    given = {"input_ids": IDS, "attention_mask": MASK, "decoder_input_ids": IDS}
    with torch.no_grad():
        assert difference(back(**given).logits, ours(**given).logits) < 1e-6
    words = [part.get_input_embeddings().weight for part in (back.encoder, back.decoder)]
    assert (words[0] is words[1]) is tied


def test_parts_share_their_weights(tmp_path: Path) -> None:
    config = formers.EncoderDecoderConfig(**values("bert2bert", tie_encoder_decoder=True))
    model = formers.EncoderDecoderModel(config).eval()
    apart = formers.EncoderDecoderModel(formers.EncoderDecoderConfig(**values("bert2bert")))
    own = [p for n, p in model.decoder.named_parameters() if "crossattention" in n or n.startswith("cls.")]
    body = {*model.encoder.parameters()}
    left = [n for n, p in model.decoder.bert.named_parameters() if p not in body]
    assert left and all("crossattention" in n for n in left)
    assert model.num_parameters() == sum(p.numel() for p in body | {*own})
    assert model.num_parameters() < 0.8 * apart.num_parameters()
    model.save_pretrained(tmp_path)
    back = formers.EncoderDecoderModel.from_pretrained(tmp_path)
    given = {"input_ids": IDS, "decoder_input_ids": IDS}
    with torch.no_grad():
        assert torch.equal(back(**given).logits, model(**given).logits)
    assert back.num_parameters() == model.num_parameters()
    with pytest.raises(ConfigError, match="no weight of BertModel has the name and shape"):
        formers.EncoderDecoderModel(formers.EncoderDecoderConfig(**values("bert2gpt2", tie_encoder_decoder=True)))


def test_a_model_of_two_checkpoints(tmp_path: Path) -> None:
    torch.manual_seed(0)
    bert = formers.BertForMaskedLM(formers.BertConfig(**registry.load("bert").TINY))
    gpt2 = formers.GPT2LMHeadModel(formers.GPT2Config(**registry.load("gpt2").TINY))
    bert.save_pretrained(tmp_path / "bert")
    gpt2.save_pretrained(tmp_path / "gpt2")
    make = formers.EncoderDecoderModel.from_encoder_decoder_pretrained
    model = make(
        tmp_path / "bert", tmp_path / "gpt2", encoder_hidden_dropout_prob=0.3, decoder_attn_pdrop=0.2, pad_token_id=7
    )
    assert not model.training and type(model.encoder) is formers.BertModel
    assert (model.encoder.config.hidden_dropout_prob, model.decoder.config.attn_pdrop) == (0.3, 0.2)
    assert model.config.pad_token_id == 7 and model.decoder.config.add_cross_attention
    assert torch.equal(model.encoder.embeddings.word_embeddings.weight, bert.bert.embeddings.word_embeddings.weight)
    assert torch.equal(model.decoder.transformer.wte.weight, gpt2.transformer.wte.weight)
    both = make(encoder_model=model.encoder, decoder_model=model.decoder, decoder_start_token_id=4)
    assert both.encoder is model.encoder and both.config.decoder_start_token_id == 4
    again = make(tmp_path / "bert", tmp_path / "bert", tie_encoder_decoder=True)
    assert type(again.decoder) is formers.BertLMHeadModel and not again.encoder.config.is_decoder
    assert again.encoder.embeddings.word_embeddings.weight is again.decoder.bert.embeddings.word_embeddings.weight
    with pytest.raises(ArgumentError, match="decoder_pretrained_model_name_or_path is needed"):
        make(tmp_path / "bert")
    formers.DistilBertModel(formers.DistilBertConfig(**registry.load("distilbert").TINY)).save_pretrained(
        tmp_path / "d"
    )
    with pytest.raises(ConfigError, match="DistilBertConfig has no model to be the decoder"):
        make(tmp_path / "bert", tmp_path / "d")


def test_drawn_weights_and_signature() -> None:
    model = formers.EncoderDecoderModel(formers.EncoderDecoderConfig(**values("bert2gpt2")))
    assert 0.01 < float(model.enc_to_dec_proj.weight.std()) < 0.03 and not model.enc_to_dec_proj.bias.any()
    before = model.encoder.embeddings.word_embeddings.weight
    kept = before.clone()
    joined = formers.EncoderDecoderModel(encoder=model.encoder, decoder=model.decoder)
    assert joined.encoder is model.encoder and torch.equal(before, kept)
    wanted = inspect.signature(transformers.EncoderDecoderModel.forward).parameters
    assert list(formers.EncoderDecoderModel.arguments())[: len(wanted) - 2] == [*wanted][1:-1]


def test_parts_that_do_not_fit() -> None:
    whole = values("bert2bert")
    whole["decoder"].pop("is_decoder")
    whole["decoder"].pop("add_cross_attention")
    with pytest.raises(ConfigError, match="is no decoder by its configuration"):
        formers.EncoderDecoderModel(formers.EncoderDecoderConfig(**whole))
    whole["encoder"] = {"model_type": "t5", **registry.load("t5").TINY}
    with pytest.raises(ConfigError, match="T5Model writes itself"):
        formers.EncoderDecoderModel(
            formers.EncoderDecoderConfig(**{**whole, "decoder": values("bert2gpt2")["decoder"]})
        )
    whole["decoder"] = {"model_type": "llama", **registry.load("llama").TINY}
    with pytest.raises(ConfigError, match="takes no encoder_hidden_states"):
        formers.EncoderDecoderModel(
            formers.EncoderDecoderConfig(**{**whole, "encoder": values("bert2bert")["encoder"]})
        )
    for wrong in ({"model_type": "encoder-decoder"}, {"vocab_size": 9}, 5):
        with pytest.raises(ConfigError, match=r"EncoderDecoderConfig\.encoder is"):
            formers.EncoderDecoderConfig(encoder=wrong)
    with pytest.raises(ConfigError, match=r"EncoderDecoderConfig\.decoder: model_type 'brt'.*'bert'"):
        formers.EncoderDecoderConfig(decoder={"model_type": "brt"})
    with pytest.raises(ArgumentError, match="needs a configuration, or an encoder and a decoder"):
        formers.EncoderDecoderModel()
    _, model = pair("bert2bert")
    with pytest.raises(InputError, match="two vocabularies"):
        model.resize_token_embeddings(120)
    model.decoder.resize_token_embeddings(120)
    assert model.config.decoder.vocab_size == 120 and model(IDS, decoder_input_ids=IDS).logits.shape[-1] == 120
    with pytest.raises(InputError, match="needs decoder_input_ids"):
        model(IDS)


def test_the_default_configuration() -> None:
    ours, theirs = formers.EncoderDecoderConfig(), transformers.EncoderDecoderConfig()
    assert type(ours.encoder) is type(ours.decoder) is formers.BertConfig
    assert ours.decoder.is_decoder and ours.decoder.add_cross_attention and theirs.decoder.is_decoder
    made = formers.EncoderDecoderConfig.from_encoder_decoder_configs(ours.encoder, formers.GPT2Config(), pad_token_id=3)
    assert made.pad_token_id == 3 and made.decoder.add_cross_attention and made.decoder.model_type == "gpt2"
