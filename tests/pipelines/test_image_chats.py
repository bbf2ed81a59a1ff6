"""Texts and chats with pictures in them: what is written is the reference's, and what does not fit says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from images.photos import photo
from PIL import Image
from seeing_folders import TEMPLATE, write_idefics3, write_llava

import formers
from formers import errors, pipeline

TASK = "image-text-to-text"
FEW: dict[str, Any] = {"max_new_tokens": 4}
Call = Callable[..., Any]
WRITERS = {"idefics3": write_idefics3, "llava": write_llava}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [str(folder / f"{name}.png") for name in ("astronaut", "coffee")]
    for path in paths:
        Image.fromarray(photo(Path(path).stem)).resize((120, 90)).save(path)
    return paths


@pytest.fixture(scope="module", params=WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def ours(folder: str) -> Any:
    return pipeline(TASK, model=folder)


@pytest.fixture(scope="module")
def theirs(folder: str) -> Any:
    return transformers.pipeline(TASK, model=folder)


def chat(path: Any, *answer: str) -> list[dict[str, Any]]:
    asked = [{"type": "image", "path": path}, {"type": "text", "text": "What?"}]
    said = [{"role": "assistant", "content": [{"type": "text", "text": text}]} for text in answer]
    return [{"role": "user", "content": asked}, *said]


HELLO = [{"role": "user", "content": "Hello"}]
CALLS: dict[str, Call] = {
    "path": lambda pipe, a, b: pipe(a, text="<image>Hi", **FEW),
    "pil": lambda pipe, a, b: pipe(Image.open(a), text="<image>Hi", **FEW),
    "list": lambda pipe, a, b: pipe([a], text=["<image>Hi"], **FEW),
    "texts": lambda pipe, a, b: pipe([a, b], text=["<image>Hi", "<image>Hello"], **FEW),
    "texts with lists": lambda pipe, a, b: pipe([[a], [b]], text=["<image>Hi", "<image>Hello"], **FEW),
    "two in one": lambda pipe, a, b: pipe([a, b], text="<image>a<image>b", **FEW),
    "dictionary": lambda pipe, a, b: pipe({"images": a, "text": "<image>Hi"}, **FEW),
    "generator": lambda pipe, a, b: list(pipe(({"images": x, "text": "<image>Hi"} for x in (a, b)), **FEW)),
    "text": lambda pipe, a, b: pipe(text="Hello", **FEW),
    "texts alone": lambda pipe, a, b: pipe(text=["Hello", "You"], **FEW),
    "chat": lambda pipe, a, b: pipe(text=chat(a), **FEW),
    "chat first": lambda pipe, a, b: pipe(chat(a), **FEW),
    "chat of words": lambda pipe, a, b: pipe(HELLO, **FEW),
    "chats": lambda pipe, a, b: pipe([chat(a, "It is"), chat(b), HELLO], **FEW),
    "chat goes on": lambda pipe, a, b: pipe(text=chat(a, "It is"), **FEW),
    "chat does not": lambda pipe, a, b: pipe(text=chat(a, "It is"), continue_final_message=False, **FEW),
    "new of a chat": lambda pipe, a, b: pipe(text=chat(a), return_full_text=False, **FEW),
    "new": lambda pipe, a, b: pipe(a, text="<image>Hi", return_full_text=False, **FEW),
    "special tokens": lambda pipe, a, b: pipe(a, text="<image>Hi", skip_special_tokens=False, **FEW),
    "usual length": lambda pipe, a, b: pipe(a, text="<image>Hi"),
    "beams": lambda pipe, a, b: pipe(
        a, text="<image>Hi", generate_kwargs={"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 5}
    ),
    "beams of two texts": lambda pipe, a, b: pipe(
        [a, b],
        text=["<image>Hi", "<image>Hello"],
        generate_kwargs={"num_beams": 2, "num_return_sequences": 2, **FEW},
    ),
    "of the processor": lambda pipe, a, b: pipe(text=chat(a), processor_kwargs={"do_normalize": False}, **FEW),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_written(ours: Any, theirs: Any, photos: list[str], name: str) -> None:
    assert CALLS[name](ours, *photos) == CALLS[name](theirs, *photos)


def test_where_writing_stops(ours: Any, theirs: Any, photos: list[str]) -> None:
    whole = ours(photos[0], text="<image>Hi", return_full_text=False, max_new_tokens=12)[0]["generated_text"]
    stop = whole[3]
    asked: dict[str, Any] = {"text": "<image>Hi", "stop_sequence": stop, "max_new_tokens": 12}
    found = ours(photos[0], return_full_text=False, **asked)[0]["generated_text"]
    assert found == whole[: whole.index(stop) + 1]
    assert ours(photos[0], **asked) == theirs(photos[0], **asked)


def test_tokens(ours: Any, theirs: Any, photos: list[str]) -> None:
    for given in ({"images": photos[0], "text": "<image>Hi"}, {"text": chat(photos[0])}):
        (got,), (expected,) = (pipe(**given, return_tensors=True, **FEW) for pipe in (ours, theirs))
        assert torch.equal(got["generated_token_ids"], expected["generated_token_ids"])
        assert got["input_text"] == given["text"]


@pytest.mark.parametrize("asked", [{}, {"num_beams": 2, "num_return_sequences": 2}], ids=str)
def test_batches(ours: Any, photos: list[str], asked: dict[str, Any]) -> None:
    """Chats of other lengths, of other numbers of pictures, and of words alone, are written as they are alone."""
    two = [{"role": "user", "content": [*chat(photos[0])[0]["content"], *chat(photos[1])[0]["content"]]}]
    chats: list[Any] = [chat(photos[0], "It is a"), two, HELLO, chat(photos[1]), [{"role": "user", "content": "You"}]]
    alone = [ours(one, **asked, **FEW) for one in chats]
    for size in (None, 1, 5):
        assert ours(chats, batch_size=size, **asked, **FEW) == alone
    tokens = ours(chats, batch_size=5, return_tensors=True, **FEW)
    for one, found in zip(chats, tokens, strict=True):
        expected = ours(one, return_tensors=True, **FEW)[0]["generated_token_ids"]
        assert torch.equal(found[0]["generated_token_ids"], expected)


def test_a_batch_is_read_together(ours: Any, photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls, generate = [], ours.model.generate
    monkeypatch.setattr(ours.model, "generate", lambda **asked: calls.append(asked) or generate(**asked))
    ours([chat(path) for path in photos] * 2, batch_size=4, **FEW)
    assert [len(asked["input_ids"]) for asked in calls] == [4]
    drawn = {"do_sample": True, "seed": 3, **FEW}
    two = ours([chat(photos[0])] * 2, batch_size=2, **drawn)
    assert two[0] == two[1] == ours(chat(photos[0]), **drawn)


def test_pictures_beside_a_chat(ours: Any, photos: list[str]) -> None:
    given = ours(text=chat(photos[0]), return_full_text=False, **FEW)[0]["generated_text"]
    open_chat = chat(None)
    for images in (photos[0], [photos[0]], Image.open(photos[0]), np.asarray(Image.open(photos[0]))):
        found = ours(images, text=open_chat, return_full_text=False, **FEW)[0]
        assert found == {"input_text": open_chat, "generated_text": given}
    several = ours(photos, text=[open_chat, open_chat], **FEW)
    assert several == [ours([path], text=open_chat, **FEW) for path in photos]
    for images in (photos, []):
        with pytest.raises(errors.InputError, match=f"1 of its 1 images open, and {len(images)} are given"):
            ours(images, text=open_chat)
    with pytest.raises(errors.InputError, match="2 chats: give their images as a list"):
        ours(photos[:1], text=[open_chat, open_chat])


def test_what_does_not_fit(ours: Any, photos: list[str]) -> None:
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: ours(), errors.ArgumentError, "Give images and text, or a chat"),
        (lambda: ours(photos[0]), errors.InputError, "a picture without a text"),
        (lambda: ours(Image.open(photos[0])), errors.InputError, "a picture without a text"),
        (lambda: ours(photos, text="<image>Hi"), errors.InputError, r"name \[1\] images .* \[2\] are given"),
        (lambda: ours(photos[0], text="Hi"), errors.InputError, r"name \[0\] images .* \[1\] are given"),
        (lambda: ours(text="<image>Hi"), errors.InputError, r"name \[1\] images .* \[0\] are given"),
        (lambda: ours("nope.png", text="<image>Hi"), errors.NotFoundError, "no file 'nope.png'"),
        (lambda: ours([chat(photos[0]), chat("nope.png")]), errors.NotFoundError, r"inputs\[1\]: .*no file 'nope.png'"),
        (lambda: ours([{"role": "user"}]), errors.InputError, "'role' and a 'content'"),
        (lambda: ours(photos[0], text="<image>", generate_kwargs=FEW, **FEW), errors.ArgumentError, "given twice"),
        (
            lambda: ours(text="Hi", return_full_text=True, return_tensors=True),
            errors.ArgumentError,
            "give one of them",
        ),
        (lambda: ours(text="Hi", max_tokens=3), errors.ArgumentError, "no argument 'max_tokens'"),
        (lambda: ours(text="Hi", token_healing=True), errors.ArgumentError, "token_healing changes"),
        (lambda: ours({"pictures": photos[0]}), errors.InputError, "a dictionary of 'pictures'; give"),
        (lambda: ours([{"role": "user", "content": [{"type": "video"}]}]), errors.InputError, "of type 'video'"),
        (lambda: ours(text=""), errors.InputError, "at least one token"),
        (lambda: ours(3), errors.InputError, "The input is 3"),
    ]
    for run, kind, said in wrong:
        with pytest.raises(kind, match=said):
            run()
    found = ours([chat(photos[0]), chat("nope.png")], on_error="return", **FEW)
    assert isinstance(found[1], errors.NotFoundError) and found[0] == ours(chat(photos[0]), **FEW)


def test_prompts_that_are_vectors_are_not_healed(ours: Any, photos: list[str]) -> None:
    inputs = ours.processor(text="<image>Hi", images=Image.open(photos[0]), return_tensors="pt")
    with pytest.raises(errors.InputError, match="texts with pictures in them"):
        ours.model.generate(**inputs, token_healing=True, tokenizer=ours.tokenizer)


def test_seconds_for_an_address(ours: Any, photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    def fetch(url: str, kind: object, seconds: float) -> bytes:
        asked.append((url, seconds))
        return Path(photos[0]).read_bytes()

    monkeypatch.setattr("formers.processing.sources.fetch", fetch)
    url = "http://localhost/photo.png"
    found = ours(url, text="<image>Hi", timeout=3, **FEW)
    assert found == ours(photos[0], text="<image>Hi", **FEW)
    part = {"type": "image_url", "image_url": {"url": url}}
    assert "image_url" not in TEMPLATE  # which writes nothing for it
    part["type"] = "image"
    ours([{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}], timeout=4, **FEW)
    assert asked == [(url, 3), (url, 4)]


def test_the_task_is_the_models(folder: str, photos: list[str], tmp_path: Path) -> None:
    pipe = pipeline(model=folder)
    assert pipe.task == TASK and type(pipe) is formers.ImageTextToTextPipeline
    pipe.save_pretrained(tmp_path)
    again = pipeline(TASK, model=str(tmp_path))
    assert again(chat(photos[0]), **FEW) == pipe(chat(photos[0]), **FEW)
    with pytest.raises(errors.ArgumentError, match="needs a processor"):
        formers.ImageTextToTextPipeline(pipe.model)
    with pytest.raises(errors.HeadError, match="writes no texts"):
        formers.ImageTextToTextPipeline(formers.pipelines, processor=pipe.processor)
