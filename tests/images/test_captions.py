"""What an encoder of pictures with any decoder writes, beside the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference
from of_families.vision_encoder_decoder import NARROW, decoder

import formers
from formers import registry
from formers.errors import ArgumentError, ConfigError, InputError
from images.towers import pair, pixels

PAIRS: dict[str, dict[str, Any]] = {
    "trocr": {},
    "sinusoids": decoder("trocr", use_learned_position_embeddings=False, scale_embedding=True),
    "narrow": decoder("trocr", cross_attention_hidden_size=24) | NARROW,
    "gpt2": decoder("gpt2"),
    "bert": decoder("bert") | NARROW,  # of other widths
}
WAYS: list[dict[str, Any]] = [
    {},
    {"min_length": 8, "repetition_penalty": 1.5},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "eos_token_id": [2, 5, 7, 9, 20, 40]},
    {"do_sample": True, "top_k": 5},
    {"decoder_input_ids": torch.tensor([[2, 5, 6]] * 3), "no_repeat_ngram_size": 2},
]


def made(name: str) -> tuple[Any, Any, torch.Tensor]:
    """The reference's model and ours, and pictures."""
    theirs, ours = pair("vision_encoder_decoder", "base", eos_token_id=2, **PAIRS[name])
    return theirs, ours, pixels(ours.encoder, 3)


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_written(name: str) -> None:
    theirs, ours, images = made(name)
    for way in WAYS:
        written = []
        for model in (theirs, ours):
            torch.manual_seed(0)
            written.append(model.generate(images, max_new_tokens=8, **way).tolist())
        assert written[0] == written[1], way
    together = ours.generate(images, max_new_tokens=5)
    for i in range(3):
        assert torch.equal(ours.generate(pixel_values=images[i : i + 1], max_new_tokens=5)[0], together[i])


def test_pictures_of_another_size_and_encoders_outputs() -> None:
    theirs, ours, _ = made("gpt2")
    images = pixels(ours.encoder, 2, (40, 32))
    asked = {"interpolate_pos_encoding": True, "max_new_tokens": 5}
    expected = theirs.generate(images, **asked)
    assert torch.equal(ours.generate(images, **asked), expected)
    seen = ours.encoder(images, interpolate_pos_encoding=True)
    assert torch.equal(ours.generate(encoder_outputs=seen, max_new_tokens=5), expected)


def test_what_generate_returns() -> None:
    theirs, ours, images = made("trocr")
    theirs.set_attn_implementation("eager")
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_attentions": True, "max_new_tokens": 4}
    expected, got = theirs.generate(images, **asked), ours.generate(images, **asked)
    assert type(got).__name__ == type(expected).__name__ and torch.equal(got.sequences, expected.sequences)
    for x, y in zip(got.scores, expected.scores, strict=True):
        assert difference(x, y) < 1e-5
    for x, y in zip(got.encoder_attentions, expected.encoder_attentions, strict=True):
        assert difference(x, y) < 1e-5
    for ours_pass, theirs_pass in zip(got.cross_attentions, expected.cross_attentions, strict=True):
        assert difference(ours_pass[0], theirs_pass[0]) < 1e-5


def test_padding_that_begins_a_text_is_seen() -> None:
    """Labels become what the decoder reads without a mask: GPT-2 has one token that begins, ends and pads."""
    theirs, ours = pair("vision_encoder_decoder", "base", **decoder("gpt2"), pad_token_id=2, decoder_start_token_id=2)
    labels = torch.tensor([[5, 6, 2], [7, 2, -100]])
    given = {"pixel_values": pixels(ours.encoder), "labels": labels}
    with torch.no_grad():
        expected, got = theirs(**given), ours(**given)
    assert difference(got.loss, expected.loss) < 1e-6 and difference(got.logits, expected.logits) < 1e-5


def test_a_model_of_two_checkpoints(tmp_path: Path) -> None:
    vit = formers.ViTForImageClassification(formers.ViTConfig(**registry.load("vit").TINY))
    bert = formers.BertForMaskedLM(formers.BertConfig(**registry.load("bert").TINY))
    vit.save_pretrained(tmp_path / "vit")
    bert.save_pretrained(tmp_path / "bert")
    make = formers.VisionEncoderDecoderModel.from_encoder_decoder_pretrained
    model = make(tmp_path / "vit", tmp_path / "bert", decoder_start_token_id=1, pad_token_id=0)
    assert type(model.encoder) is formers.ViTModel and type(model.decoder) is formers.BertLMHeadModel
    table = model.encoder.embeddings.patch_embeddings.projection.weight
    assert torch.equal(table, vit.vit.embeddings.patch_embeddings.projection.weight)
    assert model.get_input_embeddings() is model.decoder.get_input_embeddings()
    model.encoder.requires_grad_(False)
    loss = model.train()(pixels(model.encoder), labels=torch.tensor([[5, 6, 2]] * 2)).loss
    loss.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert model.decoder.bert.encoder.layer[0].crossattention.self.key.weight.grad is not None
    model.save_pretrained(tmp_path / "both")
    back = formers.AutoModelForVision2Seq.from_pretrained(tmp_path / "both")
    images = pixels(model.encoder)
    assert torch.equal(back.generate(images, max_new_tokens=4), model.eval().generate(images, max_new_tokens=4))


def test_what_does_not_fit() -> None:
    tiny = registry.load("vision_encoder_decoder").TINY
    words = {"model_type": "bert", **registry.load("bert").TINY}
    with pytest.raises(ConfigError, match="BertModel cannot be the encoder: it reads no pixel_values"):
        formers.VisionEncoderDecoderModel(formers.VisionEncoderDecoderConfig(**{**tiny, "encoder": words}))
    with pytest.raises(ConfigError, match="ViTModel cannot be the encoder: it reads no input_ids"):
        formers.EncoderDecoderModel(formers.EncoderDecoderConfig(**tiny))
    model = formers.VisionEncoderDecoderModel(formers.VisionEncoderDecoderConfig(**tiny)).eval()
    images = pixels(model.encoder)
    with pytest.raises(InputError, match="something to write from: pixel_values or encoder_outputs"):
        model.generate()
    with pytest.raises(ArgumentError, match="twice, as inputs and as pixel_values"):
        model.generate(images, pixel_values=images)
    with pytest.raises(ArgumentError, match="no 'attention_mask' here"):
        model.generate(images, attention_mask=torch.ones(2, 10))
    with pytest.raises(InputError, match=r"decoder_input_ids beside pixel_values.*model\.generate\(pixel_values\)"):
        model(images)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_learned_position_embeddings": False, "scale_embedding": True},
        {"layernorm_embedding": False, "tie_word_embeddings": False},
    ],
    ids=str,
)
def test_trocrs_decoder_alone(changes: dict[str, Any], tmp_path: Path) -> None:
    theirs, ours = pair("trocr", "causal-lm", **changes)
    ids = torch.tensor([[0, 5, 6, 7, 8], [0, 9, 10, 2, 1]])
    mask = (ids != 1).long()
    given = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
    with torch.no_grad():
        expected, got = theirs(**given), ours(**given)
    assert difference(got.loss, expected.loss) < 1e-5
    assert difference(got.logits[mask.bool()], expected.logits[mask.bool()]) < 1e-5
    ours.save_pretrained(tmp_path)
    back = formers.AutoModelForCausalLM.from_pretrained(tmp_path)
    tied = back.output_projection.weight is back.model.decoder.embed_tokens.weight
    assert tied is changes.get("tie_word_embeddings", True)
    one = ids[:1]
    assert torch.equal(back.generate(one, max_new_tokens=5), theirs.generate(one, max_new_tokens=5))
