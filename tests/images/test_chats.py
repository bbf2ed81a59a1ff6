"""Processors of texts with images in them, beside the reference's, on photos."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from skimage import data
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

import formers

PIL = pytest.importorskip("PIL.Image")
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
SPECIAL = ["<pad>", "<unk>", "<s>", "<image>", "<fake_token_around_image>", "<global-img>"]
SPECIAL += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of bytes' letters."""
    path = tmp_path_factory.mktemp("tokenizer")
    letters = [chr(code) for code in range(32, 127)] + ["\n"]
    words = {word: number for number, word in enumerate(SPECIAL + letters)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", padding_side="left",
        additional_special_tokens=SPECIAL[3:], chat_template=TEMPLATE,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(path)
    return path


PHOTOS = [PIL.fromarray(x) for x in (data.astronaut(), data.coffee(), data.chelsea()[:, :200])]
SIZES: dict[str, Any] = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 64}}


def pair(family: str, folder: Path) -> tuple[Any, Any]:
    """The reference's processor and ours."""
    theirs_tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer = formers.PreTrainedTokenizer.from_pretrained(folder)
    if family == "llava":
        own: dict[str, Any] = {
            "patch_size": 14,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        }
        theirs = transformers.LlavaProcessor(LlavaImageProcessorPil(), theirs_tokenizer, chat_template=TEMPLATE, **own)
        return theirs, formers.LlavaProcessor(formers.LlavaImageProcessor(), tokenizer, **own)
    theirs = transformers.Idefics3Processor(
        Idefics3ImageProcessorPil(**SIZES), theirs_tokenizer, image_seq_len=4, chat_template=TEMPLATE
    )
    kinds = (formers.Idefics3Processor, formers.Idefics3ImageProcessor)
    if family == "smolvlm":
        kinds = (formers.SmolVLMProcessor, formers.SmolVLMImageProcessor)
    return theirs, kinds[0](kinds[1](**SIZES), tokenizer, image_seq_len=4)


def same(got: Any, expected: Any) -> None:
    assert list(got) == [name for name in expected if name in list(got)] and set(got) == set(expected)
    for name in got:
        assert torch.equal(torch.as_tensor(got[name]), torch.as_tensor(expected[name])), name


FAMILIES = ("idefics3", "smolvlm", "llava")
CALLS: list[tuple[Any, Any]] = [
    ("<image>What is it?", PHOTOS[0]),
    ("<image>a <image>b", PHOTOS[:2]),
    (["<image>a <image>b", "and <image>"], [PHOTOS[:2], PHOTOS[2:]]),
    (["a <image>", "b c d <image>"], PHOTOS[1:]),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_with_images(family: str, number: int, folder: Path) -> None:
    theirs, ours = pair(family, folder)
    text, images = CALLS[number]
    asked: dict[str, Any] = {"return_tensors": "pt", "padding": True}
    same(ours(text=text, images=images, **asked), theirs(text=text, images=images, **asked))


@pytest.mark.parametrize("family", FAMILIES)
def test_arrays(family: str, folder: Path) -> None:
    ours = pair(family, folder)[1]
    for photos in (PHOTOS[:1], PHOTOS[:2]):
        text, arrays = "<image>" * len(photos), [np.asarray(photo) for photo in photos]
        expected = ours(text=text, images=photos, return_tensors="pt")
        same(ours(text=text, images=arrays, return_tensors="pt"), expected)
        same(ours(text=[text], images=[arrays], return_tensors="pt"), expected)


def test_images_that_are_not_split(folder: Path) -> None:
    theirs, ours = pair("idefics3", folder)
    asked: dict[str, Any] = {"return_tensors": "pt", "do_image_splitting": False}
    same(ours(text="a<image>", images=PHOTOS[:1], **asked), theirs(text="a<image>", images=PHOTOS[:1], **asked))


@pytest.mark.parametrize("family", FAMILIES)
def test_chats(family: str, folder: Path, tmp_path: Path) -> None:
    theirs, ours = pair(family, folder)
    PHOTOS[0].save(tmp_path / "photo.png")
    held = io.BytesIO()
    PHOTOS[0].save(held, "PNG")
    asked: dict[str, Any] = {
        "tokenize": True,
        "return_dict": True,
        "return_tensors": "pt",
        "add_generation_prompt": True,
    }
    words = {"type": "text", "text": "What is it?"}

    def chat(**image: Any) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "image", **image}, words]}]

    expected = theirs.apply_chat_template(chat(path=str(tmp_path / "photo.png")), **asked)
    where = {
        "path": str(tmp_path / "photo.png"),
        "image": PHOTOS[0],
        "base64": base64.b64encode(held.getvalue()).decode(),
    }
    for name, value in where.items():
        same(ours.apply_chat_template(chat(**{name: value}), **asked), expected)
    same(ours.apply_chat_template(chat(), images=[PHOTOS[0]], **asked), expected)
    text = ours.apply_chat_template(chat(), add_generation_prompt=True)
    assert text == theirs.apply_chat_template(chat(), add_generation_prompt=True) and "<image>" in text
    for images in ([], PHOTOS[:2]):
        with pytest.raises(
            formers.InputError, match=f"has 1 images, 1 of them without one of its own, and {len(images)} are"
        ):
            ours.apply_chat_template(chat(), images=images or None, **asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_number_of_images(family: str, folder: Path) -> None:
    ours = pair(family, folder)[1]
    for text, images, said in (
        ("<image><image>", PHOTOS[0], r"\[2\] images .* \[1\] are"),
        ("none", PHOTOS[:1], r"\[0\] images .* \[1\] are"),
        ("<image>", None, r"\[1\] images .* \[0\] are"),
        (["<image>", "<image>"], [PHOTOS[:2], []], r"\[1, 1\] images .* \[2, 0\] are"),
    ):
        with pytest.raises(formers.InputError, match=said):
            ours(text=text, images=images)
    with pytest.raises(formers.ArgumentError, match="not videos"):
        ours(text="a", videos=[np.zeros((2, 3, 8, 8))])


@pytest.mark.parametrize("family", FAMILIES)
def test_files(family: str, folder: Path, tmp_path: Path) -> None:
    theirs, ours = pair(family, folder)
    text, images = "<image>b", PHOTOS[:1]
    expected = ours(text=text, images=images, return_tensors="pt")
    ours.save_pretrained(tmp_path / "ours")
    same(
        formers.AutoProcessor.from_pretrained(tmp_path / "ours")(text=text, images=images, return_tensors="pt"),
        expected,
    )
    theirs.save_pretrained(tmp_path / "theirs")
    again = type(ours).from_pretrained(tmp_path / "theirs")
    same(again(text=text, images=images, return_tensors="pt"), expected)
    assert again.chat_template == TEMPLATE
    ours.tokenizer.chat_template = TEMPLATE + "!"
    ours.save_pretrained(tmp_path / "ours")
    read = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "ours")
    assert read.chat_template == TEMPLATE + "!"
    assert formers.AutoProcessor.from_pretrained(tmp_path / "ours").chat_template == TEMPLATE + "!"


def test_llava_without_its_patches(folder: Path) -> None:
    ours = pair("llava", folder)[1]
    ours.patch_size = None
    with pytest.raises(formers.InputError, match=r"set processor\.patch_size"):
        ours(text="<image>", images=PHOTOS[0], return_tensors="pt")
