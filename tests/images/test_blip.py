"""What BLIP writes, and what it compares, beside the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference

import formers
from formers import registry
from formers.errors import ConfigError, InputError
from images.towers import pair, pixels

TINY = registry.load("blip").TINY
PROMPTS = torch.tensor([[7, 20, 21, 22, 4]] * 3)
RAGGED = torch.tensor([[7, 20, 21, 22, 4], [7, 23, 4, 0, 0], [7, 24, 25, 4, 0]])
MASK = (RAGGED != 0).long()
WAYS: list[dict[str, Any]] = [
    {},
    {"min_length": 8, "repetition_penalty": 1.3},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0},
    {"num_beams": 4, "repetition_penalty": 1.5, "early_stopping": True},
    {"do_sample": True, "top_k": 5},
]


def written(models: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """What each model writes, with the same random numbers, from arguments that it may change."""
    found = []
    for model in models:
        torch.manual_seed(0)
        own = [x.clone() for x in args], {k: v.clone() if torch.is_tensor(v) else v for k, v in kwargs.items()}
        found.append(model.generate(*own[0], **own[1], max_new_tokens=8).tolist())
    return found


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_captions(way: dict[str, Any]) -> None:
    both = pair("blip", "image-text-to-text")
    images = pixels(both[1], 3)
    for more in ({}, {"input_ids": PROMPTS, "attention_mask": torch.ones_like(PROMPTS)}):
        expected, got = written(both, images, **more, **way)
        assert got == expected


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_answers(way: dict[str, Any]) -> None:
    both = pair("blip", "visual-question-answering")
    expected, got = written(both, PROMPTS, pixels(both[1], 3), **way)
    assert got == expected


def test_prompts_of_several_lengths_are_written_on_as_each_by_itself() -> None:
    theirs, ours = pair("blip", "image-text-to-text")
    images = pixels(ours, 3)
    got = ours.generate(images, RAGGED, MASK, max_new_tokens=6)
    assert torch.equal(ours.generate(images, RAGGED, max_new_tokens=6), got)
    left = torch.tensor([[7, 20, 21, 22, 4], [0, 0, 7, 23, 4], [0, 7, 24, 25, 4]])
    assert torch.equal(ours.generate(images, left, max_new_tokens=6)[:, -6:], got[:, -6:])
    for i, length in enumerate(MASK.sum(1).tolist()):
        alone = theirs.generate(images[i : i + 1], input_ids=RAGGED[i : i + 1, :length].clone(), max_new_tokens=6)[0]
        assert [t for t in got[i].tolist() if t] == alone.tolist()
    assert ours.generate(images[:1], RAGGED, max_new_tokens=4).shape == (3, 8)  # one picture for all
    with pytest.raises(InputError, match="fewer than two tokens"):
        ours.generate(images, PROMPTS[:, :1])


def test_padding_of_questions_is_not_seen() -> None:
    """As in Transformers 4; 5.23 drops the mask on its way to the layers that attend to a question."""
    theirs, ours = pair("blip", "visual-question-answering")
    images = pixels(ours, 3)
    got = ours.generate(RAGGED, images, MASK, max_new_tokens=6)
    given = {"pixel_values": images, "decoder_input_ids": PROMPTS, "labels": PROMPTS}
    with torch.no_grad():
        whole = ours(RAGGED, **given, attention_mask=MASK).loss
        wanted = [
            theirs(RAGGED[i : i + 1, :length], **{name: x[i : i + 1] for name, x in given.items()}).loss
            for i, length in enumerate(MASK.sum(1).tolist())
        ]
    assert difference(whole, torch.stack(wanted).mean()) < 1e-6
    for i, length in enumerate(MASK.sum(1).tolist()):
        by_itself = theirs.generate(RAGGED[i : i + 1, :length], images[i : i + 1], max_new_tokens=6)[0]
        assert got[i].tolist() == by_itself.tolist()


def test_masks() -> None:
    for head, more in (("image-text-retrieval", {}), ("image-text-retrieval", {"use_itm_head": False}), ("base", {})):
        theirs, ours = pair("blip", head)
        given = {"input_ids": RAGGED, "pixel_values": pixels(ours, 3), "attention_mask": MASK, **more}
        with torch.no_grad():
            expected, got = theirs(**given), ours(**given)
        assert difference(got[0], expected[0]) < 1e-5
    with torch.no_grad():
        texts = {"input_ids": RAGGED, "attention_mask": MASK}
        images = {"pixel_values": given["pixel_values"]}
        both = ours.get_multimodal_features(**texts, **images), theirs.get_multimodal_features(**texts, **images)
        assert difference(*both) < 1e-5
        assert difference(ours.get_text_features(**texts), theirs.get_text_features(**texts).pooler_output) < 1e-5
        assert difference(ours.get_image_features(**images), theirs.get_image_features(**images).pooler_output) < 1e-5


def test_labels_share_their_weight() -> None:
    text = {**TINY["text_config"], "label_smoothing": 0.1}
    theirs, ours = pair("blip", "image-text-to-text", text_config=text)
    _, plain = pair("blip", "image-text-to-text")
    given = {"input_ids": RAGGED, "pixel_values": pixels(ours, 3), "attention_mask": MASK}
    labels = RAGGED.masked_fill(RAGGED == 0, -100)
    with torch.no_grad():
        got = ours(**given, labels=labels).loss
        assert difference(got, theirs(**given, labels=labels).loss) < 1e-5
        assert difference(got, plain(**given, labels=labels).loss) > 1e-4


def test_what_generate_returns() -> None:
    theirs, ours = pair("blip", "image-text-to-text")
    images = pixels(ours, 2)
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_attentions": True, "max_new_tokens": 3}
    expected, got = theirs.generate(images, **asked), ours.generate(images, **asked)
    assert type(got).__name__ == type(expected).__name__ and torch.equal(got.sequences, expected.sequences)
    for ours_pass, theirs_pass in zip(got.attentions, expected.attentions, strict=True):
        for x, y in zip(ours_pass, theirs_pass, strict=True):
            assert difference(x, y) < 1e-5
    streamed = list(ours.stream(images, max_new_tokens=3))
    assert [token for row, token in streamed if row == 1] == got.sequences[1, 1:].tolist()
    ours.generation_config.max_length = 6
    assert ours.generate(images).shape[1] == 6 and ours.can_generate()


def test_files_of_a_whole_model_have_its_towers(tmp_path: Path) -> None:
    _, ours = pair("blip", "visual-question-answering")
    ours.save_pretrained(tmp_path)
    tower, report = formers.BlipVisionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    images = pixels(ours)
    with torch.no_grad():
        assert torch.equal(tower(images)[0], ours.vision_model(images)[0])
    whole = formers.AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path)
    assert type(whole) is formers.BlipForQuestionAnswering
    assert whole.text_decoder.get_output_embeddings().weight is whole.text_decoder.get_input_embeddings().weight
    whole.resize_token_embeddings(105)
    assert whole.text_decoder.get_output_embeddings().out_features == 105 and whole.config.text_config.vocab_size == 105
    assert whole.text_encoder.get_input_embeddings().num_embeddings == 105


def test_what_does_not_fit() -> None:
    vision = {**TINY["vision_config"], "hidden_size": 24}
    config = formers.BlipConfig(**{**TINY, "vision_config": vision})
    assert config.text_config.encoder_hidden_size == 24
    with pytest.raises(ConfigError, match="both have to be equal"):
        formers.BlipForQuestionAnswering(config)
    model = formers.BlipForQuestionAnswering(formers.BlipConfig(**TINY)).eval()
    with pytest.raises(InputError, match=r"model\.generate"):
        model(PROMPTS, pixels(model, 3))
    with pytest.raises(InputError, match="an image processor makes them"):
        model.generate(PROMPTS)


@pytest.mark.parametrize("head", ["image-text-to-text", "visual-question-answering", "image-text-retrieval"])
def test_optimize(head: str) -> None:
    _, ours = pair("blip", head)
    ids, images = PROMPTS, pixels(ours, 3)
    given = {"input_ids": ids, "pixel_values": images} | (
        {"decoder_input_ids": ids} if head.startswith("visual") else {}
    )
    with torch.inference_mode():
        before = ours.states(given)
        for mode, nearest in (("float32", 0.99999), ("int8", 0.99)):
            ours.optimize(mode)
            assert ours.optimized.stacks == (3 if head.startswith("visual") else 2)
            after = ours.states(given)
            assert float(torch.nn.functional.cosine_similarity(after.flatten(), before.flatten(), dim=0)) > nearest
            if mode == "float32":
                assert difference(after, before) < 1e-5
