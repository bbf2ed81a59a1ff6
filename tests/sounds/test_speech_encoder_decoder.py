"""What an encoder of sound with any decoder writes, beside the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference
from images.towers import pair
from of_families.hearing import SAMPLES, waves
from of_families.speech_encoder_decoder import ADAPTED, NARROW, encoder
from of_families.vision_encoder_decoder import decoder

import formers
from formers import registry
from formers.errors import ConfigError, InputError

LENGTHS = (SAMPLES, 270, 131)  # of samples, of which 270 and 131 are no whole frames
PAIRS: dict[str, dict[str, Any]] = {
    "bert": {},
    "gpt2": decoder("gpt2"),
    "narrow": decoder("roberta") | NARROW,  # of other widths
    "adapted": ADAPTED,
    "adapted and narrow": encoder(add_adapter=True, num_adapter_layers=1, hidden_size=24, output_hidden_size=32),
    "stable": encoder(do_stable_layer_norm=True, feat_extract_norm="layer"),
    "trocr": decoder("trocr", cross_attention_hidden_size=24) | NARROW,
}
WAYS: list[dict[str, Any]] = [
    {},
    {"min_length": 8, "repetition_penalty": 1.5},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "eos_token_id": [2, 5, 7, 9, 20, 40]},
    {"do_sample": True, "top_k": 5},
    {"decoder_input_ids": torch.tensor([[2, 5, 6]] * 3), "no_repeat_ngram_size": 2},
]


def made(name: str) -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """The reference's model and ours, sounds, and their mask."""
    theirs, ours = pair("speech_encoder_decoder", "base", eos_token_id=2, **PAIRS[name])
    mask = (torch.arange(SAMPLES) < torch.tensor(LENGTHS)[:, None]).long()
    return theirs, ours, waves(3) * mask, mask


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_written(name: str) -> None:
    theirs, ours, sound, mask = made(name)
    for way in WAYS:
        written = []
        for model in (theirs, ours):
            torch.manual_seed(0)
            written.append(model.generate(sound, attention_mask=mask, max_new_tokens=8, **way).tolist())
        assert written[0] == written[1], way
    expected = theirs.generate(sound, max_new_tokens=5)
    for given in ({"inputs": sound}, {"input_values": sound}):
        assert torch.equal(ours.generate(**given, max_new_tokens=5), expected)


@pytest.mark.parametrize("name", PAIRS)
def test_padding_is_not_attended_to(name: str) -> None:
    theirs, ours, sound, mask = made(name)
    labels = torch.tensor([[5, 6, 7, 2], [9, 2, -100, -100], [5, 5, 2, -100]])
    given = {"attention_mask": mask, "labels": labels}
    with torch.no_grad():
        expected, got = theirs(sound, **given), ours(sound, **given)
        assert difference(got.loss, expected.loss) < 1e-5 and difference(got.logits, expected.logits) < 1e-5
        frames = ours.encoder._get_feature_vector_attention_mask(expected.encoder_last_hidden_state.shape[1], mask)
        states = (x.encoder_last_hidden_state * frames[..., None] for x in (got, expected))
        assert difference(*states) < 1e-5
        whole = ours(sound, labels=labels)  # without the mask all is heard
        assert difference(whole.logits, theirs(sound, labels=labels).logits) < 1e-5
        theirs.set_attn_implementation("eager")
        asked = {"attention_mask": mask, "decoder_input_ids": labels.clamp(min=1), "output_attentions": True}
        for weights, known in zip(*(m(sound, **asked).cross_attentions for m in (ours, theirs)), strict=True):
            assert difference(weights, known) < 1e-5
            assert not weights.masked_fill(frames[:, None, None], 0).any()
        said = ours.encoder(sound, attention_mask=mask)
        again = ours(encoder_outputs=said, **given)
        assert difference(again.logits, got.logits) < 1e-5
        assert difference(ours(encoder_outputs=(said[0],), **given).loss, got.loss) < 1e-5


@pytest.mark.parametrize("name", ["bert", "adapted"])
def test_gradients_with_padding(name: str) -> None:
    theirs, ours, sound, mask = made(name)
    given = {"attention_mask": mask, "labels": torch.tensor([[5, 6, 7, 2], [9, 2, -100, -100], [5, 5, 2, -100]])}
    theirs(sound, **given).loss.backward()
    ours(sound, **given).loss.backward()
    for name in (
        "decoder.bert.encoder.layer.0.crossattention.self.key.weight",
        "encoder.encoder.layers.0.attention.q_proj.weight",
        "encoder.feature_extractor.conv_layers.0.conv.weight",
    ):
        assert difference(ours.get_parameter(name).grad, theirs.get_parameter(name).grad) < 1e-4, name


def test_a_model_of_two_checkpoints(tmp_path: Path) -> None:
    heard = formers.Wav2Vec2ForCTC(formers.Wav2Vec2Config(**registry.load("wav2vec2").TINY))
    bert = formers.BertForMaskedLM(formers.BertConfig(**registry.load("bert").TINY))
    heard.save_pretrained(tmp_path / "heard")
    bert.save_pretrained(tmp_path / "bert")
    make = formers.SpeechEncoderDecoderModel.from_encoder_decoder_pretrained
    model = make(
        tmp_path / "heard", tmp_path / "bert", encoder_add_adapter=True, decoder_start_token_id=1, pad_token_id=0
    )
    assert type(model.encoder) is formers.Wav2Vec2Model and type(model.decoder) is formers.BertLMHeadModel
    table = model.encoder.feature_projection.projection.weight
    assert torch.equal(table, heard.wav2vec2.feature_projection.projection.weight)
    assert model.encoder.adapter is not None
    assert model.get_input_embeddings() is model.decoder.get_input_embeddings()
    model.freeze_feature_encoder()
    model.train()(waves(), labels=torch.tensor([[5, 6, 2]] * 2)).loss.backward()
    assert all(p.grad is None for p in model.encoder.feature_extractor.parameters())
    assert model.decoder.bert.encoder.layer[0].crossattention.self.key.weight.grad is not None
    model.save_pretrained(tmp_path / "both")
    back = formers.AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "both")
    assert torch.equal(back.generate(waves(), max_new_tokens=4), model.eval().generate(waves(), max_new_tokens=4))


def test_what_does_not_fit() -> None:
    tiny = registry.load("speech_encoder_decoder").TINY
    words = {"model_type": "bert", **registry.load("bert").TINY}
    with pytest.raises(ConfigError, match="BertModel cannot be the encoder: it reads no input_values"):
        formers.SpeechEncoderDecoderModel(formers.SpeechEncoderDecoderConfig(**{**tiny, "encoder": words}))
    model = formers.SpeechEncoderDecoderModel(formers.SpeechEncoderDecoderConfig(**tiny)).eval()
    ids = torch.tensor([[2], [2]])
    with pytest.raises(InputError, match="something to write from: inputs or encoder_outputs"):
        model.generate()
    with pytest.raises(InputError, match="the sound twice, as inputs and as input_values"):
        model.generate(waves(), input_values=waves())
    with pytest.raises(InputError, match="the sound twice, as inputs and as input_values"):
        model(waves(), input_values=waves(), decoder_input_ids=ids)
    with pytest.raises(InputError, match="Wav2Vec2Model reads input_values, not input_features"):
        model(input_features=waves(), decoder_input_ids=ids)
    with pytest.raises(InputError, match="reads inputs, a sound, or encoder_outputs"):
        model(decoder_input_ids=ids)
    with pytest.raises(InputError, match=r"decoder_input_ids beside inputs.*model\.generate\(inputs\)"):
        model(waves())
