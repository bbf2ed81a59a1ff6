"""What an encoder of sound with any decoder writes, beside the reference: padding, adapters, files of both parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference
from images.towers import config_of, pair
from of_families.hearing import waves
from of_families.speech_encoder_decoder import encoder
from of_families.vision_encoder_decoder import decoder

import formers
from formers import registry
from sounds.test_wav2vec2 import LAYER, padded

PAIRS: dict[str, dict[str, Any]] = {
    "bert": {},
    "layers first": encoder("wav2vec2", **LAYER) | decoder("gpt2"),
    "narrow": encoder("hubert", hidden_size=24) | decoder("trocr"),
    "adapter": encoder("wav2vec2", add_adapter=True, num_adapter_layers=1) | decoder("bert"),
    "data2vec": encoder("data2vec_audio") | decoder("gpt2"),
    "ast": encoder("audio_spectrogram_transformer"),
}
WAYS: list[dict[str, Any]] = [
    {},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "eos_token_id": [2, 5, 7, 9, 20, 40]},
    {"do_sample": True, "top_k": 5},
    {"decoder_input_ids": torch.tensor([[2, 5, 6]] * 4), "no_repeat_ngram_size": 2},
]


def made(name: str) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """The reference's model and ours, and sounds."""
    theirs, ours = pair("speech_encoder_decoder", "base", eos_token_id=2, **PAIRS[name])
    return theirs, ours, ours.encoder.dummy_inputs if name == "ast" else padded()


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_written(name: str) -> None:
    theirs, ours, heard = made(name)
    for way in WAYS[:3] if name == "ast" else WAYS:
        written = []
        for model in (theirs, ours):
            torch.manual_seed(0)
            written.append(model.generate(**heard, max_new_tokens=8, pad_token_id=0, **way).tolist())
        assert written[0] == written[1], way
    if name == "ast":
        return
    with torch.no_grad():
        labels = torch.tensor([[5, 6, 2], [7, 2, -100], [8, 9, 2], [3, 2, -100]])
        got, expected = ours(**heard, labels=labels), theirs(**heard, labels=labels)
        assert difference(got.loss, expected.loss) < 1e-5 and difference(got.logits, expected.logits) < 1e-5
        said = ours.encoder(**heard)
        given = {"encoder_outputs": said, "attention_mask": heard["attention_mask"], "labels": labels}
        assert difference(ours(**given).loss, expected.loss) < 1e-5
    expected = ours.generate(**heard, max_new_tokens=5)
    assert torch.equal(
        ours.generate(heard["input_values"], attention_mask=heard["attention_mask"], max_new_tokens=5), expected
    )
    if name != "narrow" and name != "data2vec" and "group" not in str(ours.config.encoder.feat_extract_norm):
        for i, count in enumerate(heard["attention_mask"].sum(1).tolist()):
            alone = ours.generate(heard["input_values"][i : i + 1, :count], max_new_tokens=5)
            assert torch.equal(alone[0], expected[i][: alone.shape[1]])


def test_a_model_of_two_checkpoints(tmp_path: Path) -> None:
    ctc = formers.Wav2Vec2ForCTC(config_of("wav2vec2", "ctc"))
    bert = formers.BertForMaskedLM(formers.BertConfig(**registry.load("bert").TINY))
    ctc.save_pretrained(tmp_path / "wav2vec2")
    bert.save_pretrained(tmp_path / "bert")
    model = formers.SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(
        tmp_path / "wav2vec2", tmp_path / "bert", encoder_add_adapter=True, decoder_start_token_id=1, pad_token_id=0
    )
    assert type(model.encoder) is formers.Wav2Vec2Model and type(model.decoder) is formers.BertLMHeadModel
    assert model.encoder.adapter is not None
    model.freeze_feature_encoder()
    model.train()(waves(), labels=torch.tensor([[5, 6, 2]] * 2)).loss.backward()
    assert model.encoder.feature_extractor.conv_layers[0].conv.weight.grad is None
    assert model.encoder.adapter.layers[0].conv.weight.grad is not None
    model.save_pretrained(tmp_path / "both")
    back = formers.AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "both")
    assert torch.equal(back.generate(waves(), max_new_tokens=4), model.eval().generate(waves(), max_new_tokens=4))


def test_what_does_not_fit() -> None:
    tiny = registry.load("speech_encoder_decoder").TINY
    words = {"model_type": "bert", **registry.load("bert").TINY}
    with pytest.raises(formers.ConfigError, match="BertModel cannot be the encoder: it reads no input_values or"):
        formers.SpeechEncoderDecoderModel(formers.SpeechEncoderDecoderConfig(**{**tiny, "encoder": words}))
    model = formers.SpeechEncoderDecoderModel(formers.SpeechEncoderDecoderConfig(**tiny)).eval()
    with pytest.raises(formers.InputError, match="something to write from: input_values or encoder_outputs"):
        model.generate()
    with pytest.raises(formers.InputError, match="heard twice"):
        model(waves(), input_values=waves(), decoder_input_ids=torch.tensor([[1]] * 2))
    with pytest.raises(formers.InputError, match="decoder_input_ids beside input_values"):
        model(waves())
