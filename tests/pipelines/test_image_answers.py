"""Captions, and answers to questions about pictures: what the reference's models write for the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import redraw
from images.photos import files

import formers
from formers import errors, pipeline

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "what",
    "is",
    "it",
    "a",
    "picture",
    "of",
    "cat",
    "cup",
    "?",
    "two",
]
QUESTIONS = ["what is it?", "is it a cup of two?", "a cat?"]
WIDTH: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37
}  # fmt: skip
SIDE = {"height": 32, "width": 32}
SIGHT: dict[str, Any] = {**WIDTH, "image_size": 32, "patch_size": 8}
TEXT: dict[str, Any] = {
    **WIDTH, "vocab_size": len(WORDS), "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return files(tmp_path_factory.mktemp("photos"))[:4]


def words(folder: Path) -> Any:
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return formers.BertTokenizer(str(folder / "vocab.txt"))


def written(folder: Path, model: Any, processor: Any) -> str:
    redraw(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ViT with a GPT-2, as of the best known captioner."""
    folder = tmp_path_factory.mktemp("vit_gpt2")
    decoder = formers.GPT2Config(
        vocab_size=len(WORDS), n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=2, eos_token_id=3
    )
    config = formers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(formers.ViTConfig(**SIGHT), decoder)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = 2, 3, 0
    words(folder).save_pretrained(folder)
    return written(folder, formers.VisionEncoderDecoderModel(config), formers.ViTImageProcessor(size=SIDE))


def blip(folder: Path, kind: Any) -> str:
    config = formers.BlipConfig(text_config=TEXT, vision_config=SIGHT, projection_dim=16)
    return written(folder, kind(config), formers.BlipProcessor(formers.BlipImageProcessor(size=SIDE), words(folder)))


@pytest.fixture(scope="module")
def blip_captioner(tmp_path_factory: pytest.TempPathFactory) -> str:
    return blip(tmp_path_factory.mktemp("blip"), formers.BlipForConditionalGeneration)


@pytest.fixture(scope="module")
def blip_answerer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return blip(tmp_path_factory.mktemp("blip_answers"), formers.BlipForQuestionAnswering)


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("vilt")
    labels = dict(enumerate(["yes", "no", "cat", "cup", "two", "red", "blue"]))
    sizes = {**SIGHT, "vocab_size": len(WORDS), "max_position_embeddings": 40}
    config = formers.ViltConfig(**sizes, id2label=labels, label2id={name: i for i, name in labels.items()})
    images = formers.ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=8)
    processor = formers.ViltProcessor(images, words(folder))
    return written(folder, formers.ViltForQuestionAnswering(config), processor)


def captions(folder: str, kind: Any, images: Any, tokenizer: Any, photo: str, prompt: str = "", **options: Any) -> Any:
    """What the reference's model writes of our files, by its own hand: its release has no pipeline for it."""
    theirs = kind.from_pretrained(folder).eval()
    given = dict(images(images=photo, return_tensors="pt"))
    if prompt:
        given |= tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        ids = theirs.generate(**given, **options)
    return [{"generated_text": tokenizer.decode(one, skip_special_tokens=True)} for one in ids]


@pytest.mark.parametrize(
    "options",
    [{"max_new_tokens": 7}, {"max_new_tokens": 9, "num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}],
)
def test_captions_of_vit_and_gpt2(captioner: str, photos: list[str], options: dict[str, Any]) -> None:
    options = {"max_new_tokens": 6, **options}
    pipe = pipeline("image-to-text", captioner)
    kind = transformers.VisionEncoderDecoderModel
    expected = [captions(captioner, kind, pipe.image_processor, pipe.tokenizer, one, **options) for one in photos]
    assert pipe(photos, **options) == expected and pipe(photos[0], **options) == expected[0]
    assert pipe(photos, generate_kwargs=options, batch_size=3) == expected
    assert any(one[0]["generated_text"] for one in expected)


@pytest.mark.parametrize("prompt", [None, "a picture of"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_captions_of_blip(blip_captioner: str, photos: list[str], prompt: str | None, options: dict[str, Any]) -> None:
    options = {"max_new_tokens": 6, **options}
    pipe = pipeline("image-to-text", blip_captioner)
    kind, tokenizer = transformers.BlipForConditionalGeneration, pipe.tokenizer
    expected = [
        captions(blip_captioner, kind, pipe.image_processor, tokenizer, one, prompt or "", **options) for one in photos
    ]
    given = {} if prompt is None else {"prompt": prompt}
    assert pipe(photos, **given, **options) == expected and pipe(images=photos[1], **given, **options) == expected[1]


def test_answers_that_vilt_chooses(vilt: str, photos: list[str]) -> None:
    pipe = pipeline("vqa", vilt)
    theirs = transformers.ViltForQuestionAnswering.from_pretrained(vilt).eval()
    for question in QUESTIONS:
        both = {**pipe.tokenizer(question, return_tensors="pt"), **pipe.image_processor(photos[0], return_tensors="pt")}
        with torch.no_grad():
            scores, ids = theirs(**both).logits[0].sigmoid().topk(3)
        found = pipe(image=photos[0], question=question, top_k=3)
        assert [one["answer"] for one in found] == [theirs.config.id2label[i] for i in ids.tolist()]
        assert [one["score"] for one in found] == pytest.approx(scores.tolist(), abs=1e-5)
    pairs = [{"image": one, "question": question} for one in photos for question in QUESTIONS]
    alone, together = [pipe(pair) for pair in pairs], pipe(pairs, batch_size=5)
    assert [[one["answer"] for one in row] for row in together] == [[one["answer"] for one in row] for row in alone]
    for row, expected in zip(together, alone, strict=True):
        assert [one["score"] for one in row] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    assert [len(row) for row in pipe(photos, "what is it?")] == [5] * len(photos)
    with pytest.raises(errors.ArgumentError, match="chooses its answers"):
        pipe(image=photos[0], question="what?", max_new_tokens=3)


def test_answers_that_blip_writes(blip_answerer: str, photos: list[str]) -> None:
    pipe = pipeline("visual-question-answering", blip_answerer)
    theirs = transformers.BlipForQuestionAnswering.from_pretrained(blip_answerer).eval()
    pairs, expected = [], []
    for photo, question in zip(photos, [*QUESTIONS, "what?"], strict=True):
        text = pipe.tokenizer(question, return_tensors="pt", return_token_type_ids=False)
        pixels = pipe.image_processor(photo, return_tensors="pt")
        with torch.no_grad():
            ids = theirs.generate(**text, **pixels, max_new_tokens=6)
        pairs.append({"image": photo, "question": question})
        expected.append([{"answer": pipe.tokenizer.decode(ids[0], skip_special_tokens=True).strip()}])
    assert pipe(pairs, max_new_tokens=6) == expected
    assert [pipe(pair, generate_kwargs={"max_new_tokens": 6}) for pair in pairs] == expected
    assert any(row[0]["answer"] for row in expected)
