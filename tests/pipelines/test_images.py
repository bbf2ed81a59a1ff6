"""Tasks on pictures: results are the reference's, and what is no picture says so."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import redraw
from images.photos import files, photo
from PIL import Image

import formers
from formers import errors, pipeline

LABELS = ["a cat", "a rocket", "a cup of coffee", "nobody"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return files(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("vit")
    config = formers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37, num_labels=7
    )
    model = formers.ViTForImageClassification(config)
    redraw(model)
    model.save_pretrained(folder)
    formers.ViTImageProcessor().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)] + ["."]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    formers.CLIPTokenizer.from_pretrained(folder, model_max_length=77).save_pretrained(folder)
    formers.CLIPImageProcessor().save_pretrained(folder)
    narrow = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
    model = formers.CLIPModel(
        formers.CLIPConfig(
            text_config={**narrow, "vocab_size": len(words), "bos_token_id": 54, "eos_token_id": 55},
            vision_config={**narrow, "patch_size": 32},
            projection_dim=16,
        )
    )
    redraw(model)
    model.save_pretrained(folder)
    return str(folder)


def near(ours: Any, theirs: Any) -> bool:
    """Whether two results are the same, scores to 1e-5."""
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(near, ours, theirs))
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(near(value, theirs[key]) for key, value in ours.items())
    return ours == pytest.approx(theirs, abs=1e-5) if isinstance(ours, float) else bool(ours == theirs)


def reference(task: str, model: str) -> Any:
    return transformers.pipeline(task, model=model)


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_k": 30, "function_to_apply": "sigmoid"}])
def test_labels(vit: str, photos: list[str], options: dict[str, Any]) -> None:
    ours, theirs = pipeline("image-classification", model=vit), reference("image-classification", vit)
    assert near(ours(photos, **options), theirs(photos, **options))
    assert near(ours(photos[0], **options), theirs(photos[0], **options))
    assert len(ours(photos[0])) == 5 and len(ours(photos[0], top_k=None)) == 7


def test_the_task_is_the_models(vit: str) -> None:
    assert pipeline(model=vit).task == "image-classification"
    kept = pipeline("image-classification", model=vit, feature_extractor=formers.ViTFeatureExtractor())
    assert type(kept.image_processor) is formers.ViTImageProcessor


def test_forms_of_pictures(vit: str, photos: list[str], tmp_path: Path) -> None:
    pipe = pipeline("image-classification", model=vit)
    expected, data = pipe(photos[0]), Path(photos[0]).read_bytes()
    array = photo("astronaut")
    code = base64.b64encode(data).decode()
    for form in (Path(photos[0]), data, code, f"data:image/png;base64,{code}", Image.open(photos[0]), array):
        assert near(pipe(form), expected), type(form)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    assert near(pipe(tensor), expected) and near(pipe(images=photos[0]), expected)
    assert near(pipe([array, photos[0]]), [expected] * 2)


def test_lists_streams_and_datasets(vit: str, photos: list[str]) -> None:
    pipe = pipeline("image-classification", model=vit)
    expected = [pipe(path) for path in photos]

    def read() -> Iterator[str]:
        yield from photos

    assert near(list(pipe(read())), expected) and near(list(pipe(read(), batch_size=4)), expected)
    assert near(pipe(photos, batch_size=4), expected)
    rows = [{"image": Image.open(path)} for path in photos]
    assert near(list(pipe(formers.pipelines.base.KeyDataset(rows, "image"))), expected)


def test_features(vit: str, photos: list[str]) -> None:
    ours, theirs = pipeline("image-feature-extraction", model=vit), reference("image-feature-extraction", vit)
    for options in ({}, {"return_tensors": True}):
        got, expected = ours(photos[0], **options), theirs(photos[0], **options)
        assert np.allclose(np.array(got), np.array(expected), atol=1e-5)
    assert np.array(ours(photos[:2])).shape == (2, 1, 197, 32) and np.array(ours(photos[0], pool=True)).shape == (1, 32)
    options = {"image_processor_kwargs": {"do_normalize": False}}
    assert not np.allclose(np.array(ours(photos[0], **options)), np.array(ours(photos[0])))


def test_labels_named_in_the_call(clip: str, photos: list[str]) -> None:
    task = "zero-shot-image-classification"
    ours, theirs = pipeline(task, model=clip), reference(task, clip)
    options = {"candidate_labels": LABELS}
    assert near(ours(photos, **options), theirs(photos, **options))
    options["hypothesis_template"] = "{} on a table"
    assert near(ours(photos[0], **options), theirs(photos[0], **options))
    assert ours(photos[0], ", ".join(LABELS)) == ours(image=photos[0], candidate_labels=LABELS)
    scores = [one["score"] for one in ours(photos[0], LABELS)]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)


def test_vectors_of_labels_are_computed_once(clip: str, photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, calls = pipeline("zero-shot-image-classification", model=clip), []
    own = pipe.model.get_text_features
    monkeypatch.setattr(pipe.model, "get_text_features", lambda **inputs: calls.append(1) or own(**inputs))
    first = pipe(photos, LABELS)
    assert pipe(photos[0], LABELS) == first[0] and len(calls) == 1
    pipe(photos[0], LABELS[:2])
    assert len(calls) == 2
    with torch.no_grad():
        pipe.model.text_projection.weight.mul_(-1)
    assert not near(pipe(photos[0], LABELS[:2]), first[0][:2]) and len(calls) == 3


@pytest.mark.parametrize("change", ["data", "hook", "dropout", "type"])
def test_vectors_of_labels_are_the_models_of_now(clip: str, photos: list[str], change: str) -> None:
    pipe = pipeline("zero-shot-image-classification", model=clip)
    before = pipe(photos[0], LABELS)
    if change == "data":  # as averages of weights and merged adapters are written: without a version
        pipe.model.text_projection.weight.data.mul_(-1)
    elif change == "hook":
        pipe.model.text_projection.register_forward_hook(lambda module, inputs, output: -output)
    elif change == "dropout":
        pipe.model.text_model.encoder.layers[0].self_attn.rate = 0.9
        pipe.model.train()
    else:
        pipe.model.to(torch.float64)
        assert near(pipe(photos[0], LABELS), before)
        return
    now = pipe(photos[0], LABELS)
    assert not near(now, before)
    if change != "dropout":
        pipe._kept = None
        assert near(pipe(photos[0], LABELS), now)


NO_PICTURES = [
    ("nope.jpg", errors.NotFoundError, "no file 'nope.jpg'"),
    (".", errors.NotFoundError, "is a folder"),
    (b"", errors.InputError, "empty"),
    (b"<!DOCTYPE html><html></html>", errors.InputError, "a page of HTML"),
    (None, errors.InputError, "a picture is needed"),
    (3, errors.ArgumentError, "An image is a path"),
    (np.zeros((2, 9, 9, 3), np.uint8), errors.InputError, "several pictures"),
]


@pytest.mark.parametrize(("given", "kind", "message"), NO_PICTURES, ids=[message for *_, message in NO_PICTURES])
def test_what_is_no_picture(vit: str, photos: list[str], given: Any, kind: type[Exception], message: str) -> None:
    pipe = pipeline("image-classification", model=vit)
    with pytest.raises(kind, match=message):
        pipe(given)
    with pytest.raises(kind):
        pipe([photos[0], given])
    if kind is not errors.ArgumentError:
        found = pipe([photos[0], given, photos[1]], on_error="return")
        assert isinstance(found[1], kind) and "inputs[1]" in str(found[1]) and near(found[2], pipe(photos[1]))


def test_arguments_that_are_none(vit: str, clip: str, photos: list[str]) -> None:
    pipe = pipeline("image-classification", model=vit)
    with pytest.raises(errors.ArgumentError, match=r"no argument 'topk'.*top_k"):
        pipe(photos[0], topk=3)
    with pytest.raises(errors.ArgumentError, match="needs an image processor"):
        formers.pipelines.ImageClassificationPipeline(pipe.model)
    zero = pipeline("zero-shot-image-classification", model=clip)
    with pytest.raises(errors.ArgumentError, match="candidate_labels are needed"):
        zero(photos[0])
    with pytest.raises(errors.ArgumentError, match="where the label belongs"):
        zero(photos[0], LABELS, hypothesis_template="a photo")
    with pytest.raises(errors.HeadError, match="writes no texts"):
        formers.pipelines.ImageToTextPipeline(pipe.model, image_processor=pipe.image_processor)


def test_processors_are_saved_for_old_and_new_readers(clip: str, tmp_path: Path) -> None:
    processor = formers.CLIPProcessor.from_pretrained(clip, size=40)
    processor.save_pretrained(tmp_path)
    # Transformers 4.40 makes arguments of all that is here, beside the image processor and the tokenizer
    assert json.loads((tmp_path / "processor_config.json").read_text()) == {"processor_class": "CLIPProcessor"}
    for cls in (formers.AutoProcessor, transformers.AutoProcessor):
        again = cls.from_pretrained(tmp_path)
        assert type(again).__name__ == "CLIPProcessor" and again.image_processor.size["shortest_edge"] == 40


def test_saved_with_what_makes_its_inputs(clip: str, photos: list[str], tmp_path: Path) -> None:
    pipe = pipeline("zero-shot-image-classification", model=clip)
    pipe.save_pretrained(tmp_path)
    again = pipeline("zero-shot-image-classification", model=str(tmp_path))
    assert near(again(photos[0], LABELS), pipe(photos[0], LABELS))


def test_optimized(vit: str, photos: list[str]) -> None:
    plain, fused = (pipeline("image-classification", model=vit, optimize=mode) for mode in (None, "float32"))
    assert fused.model.optimized.mode == "float32" and near(fused(photos), plain(photos))
