"""Image processors beside the reference's Pillow classes, bit for bit, and what they say of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from goldens.image_processing import CLASSES, IMAGES, digest
from PIL import Image, ImageCms
from processing.kinds import PHOTOS, PROCESSORS, CLIPImageProcessor, ViTImageProcessor

from formers.errors import ArgumentError, InputError

GOLDENS = Path(__file__).parents[1] / "goldens" / "image_processing.json"


def theirs(name: str) -> Any:
    return getattr(transformers, f"{name}Pil")


def quiet(name: str) -> dict[str, Any]:
    """Without what needs a program that is not there."""
    return {"apply_ocr": False} if hasattr(PROCESSORS[name], "apply_ocr") else {}


@pytest.mark.parametrize("name", PROCESSORS)
def test_photos_are_the_references_bit_for_bit(name: str) -> None:
    ours, reference = PROCESSORS[name](**quiet(name)), theirs(name)(**quiet(name))
    assert json.loads(ours.to_json_string()) == json.loads(reference.to_json_string())
    for photo in PHOTOS:
        found, expected = ours(photo, return_tensors="np"), reference(photo, return_tensors="np")
        assert list(found) == list(expected)
        for key, values in expected.items():
            assert (found[key].dtype, found[key].shape) == (values.dtype, values.shape)
            assert np.array_equal(found[key], values), (photo, key)


@pytest.mark.parametrize("name", PROCESSORS)
def test_lists_are_in_order(name: str) -> None:
    ours, reference = PROCESSORS[name](**quiet(name)), theirs(name)(**quiet(name))
    photos = [*PHOTOS[:4], PHOTOS[0]]
    found, expected = ours(photos, return_tensors="pt"), reference(photos, return_tensors="pt")
    for key, values in expected.items():
        assert torch.equal(found[key], values)


def of_mode(mode: str) -> Image.Image:
    """A photo in one of Pillow's modes, half transparent where it can be."""
    image = Image.open(PHOTOS[0]).resize((97, 61)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((97, 61)))
    if mode in ("LAB", "HSV", "YCbCr", "CMYK", "P", "F"):
        image = image.convert("RGB")
    if mode == "LAB":
        profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))  # type: ignore[arg-type]
        return ImageCms.profileToProfile(image, *profiles, outputMode="LAB")  # type: ignore[return-value]
    if mode in ("I", "I;16"):
        return Image.fromarray(np.asarray(image.convert("L")).astype("int32" if mode == "I" else "uint16") * 3)
    return image.convert({"PA": "P"}.get(mode, mode)).convert(mode)


MODES = ["1", "L", "P", "LA", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "PA"]


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    image = of_mode(mode)
    assert image.mode == mode
    found = CLIPImageProcessor()(image, return_tensors="np").pixel_values
    assert np.array_equal(found, theirs("CLIPImageProcessor")()(image, return_tensors="np").pixel_values)


@pytest.mark.parametrize("kind", ["bytes", "last", "floats", "0 to 1", "integers", "tensor", "one crop larger"])
def test_arrays(kind: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 61, 97), dtype=np.uint8)
    settings: dict[str, Any] = {"crop_size": {"height": 301, "width": 120}} if kind == "one crop larger" else {}
    made: Any = {
        "last": lambda: array.transpose(1, 2, 0),
        "floats": lambda: array.astype(np.float32),
        "0 to 1": lambda: array / 255,
        "integers": lambda: array.astype(np.int64),
        "tensor": lambda: torch.tensor(array),
    }.get(kind, lambda: array)()
    for name in ("CLIPImageProcessor", "ViTImageProcessor"):
        for more in ({}, {"do_resize": False}, {"do_normalize": False}):
            call = {**settings, **more, "return_tensors": "np"}
            found = PROCESSORS[name]()(made, **call).pixel_values
            assert np.abs(found - theirs(name)()(made, **call).pixel_values).max() == 0


@pytest.mark.parametrize("name", CLASSES)
def test_torchvisions_numbers(name: str) -> None:
    goldens = json.loads(GOLDENS.read_text())
    for image in IMAGES:
        photo = next(p for p in PHOTOS if p.endswith(image))
        for call in CLASSES[name]:
            found = PROCESSORS[name](backend="torchvision")(photo, return_tensors="np", **call).pixel_values
            assert digest(found) == goldens[f"{name} {image} {json.dumps(call)}"]


def test_settings() -> None:
    ours = ViTImageProcessor(size=32)
    assert ours.size == {"height": 32, "width": 32} and ours.size.height == 32
    ours.size = [16, 24]
    assert ours(PHOTOS[0])["pixel_values"][0].shape == (3, 16, 24)
    assert ours(PHOTOS[0], size=8, data_format="channels_last")["pixel_values"][0].shape == (8, 8, 3)
    assert ours.size == {"height": 16, "width": 24}
    with pytest.raises(ArgumentError, match="do_resize"):
        ours(PHOTOS[0], do_resise=False)
    for bad in ({"size": 0}, {"size": {"heigth": 3}}, {"resample": 9}, {"image_std": [0, 1, 1]}, {"do_resize": "no"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            ViTImageProcessor(**bad)


def test_wrong_images(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formers.logging._said", set())
    ours, array = ViTImageProcessor(), np.zeros((3, 8, 9), np.uint8)
    with pytest.raises(InputError, match="8 × 9"):
        ours([array, array[:, :5]], do_resize=False, return_tensors="pt")
    with pytest.raises(InputError, match=r"1 channel.*do_convert_rgb"):
        ours(Image.new("L", (9, 8)))
    with pytest.raises(InputError, match=r"Image 1 of 2.*shape"):
        ours([array, np.zeros((7, 8, 9), np.uint8)])
    with pytest.raises(InputError, match="list is empty"):
        ours([])
    with pytest.raises(InputError, match="no pixels"):
        ours(np.zeros((3, 0, 4), np.uint8))
    for kind in (object, complex, str):
        for more in ({}, {"do_resize": False}):
            with pytest.raises(InputError, match="array of numbers"):
                ours(array.astype(kind), **more)
    with pytest.raises(InputError, match="normalized already"):
        ours(np.full((3, 4, 4), -1.5))
    ours(np.full((3, 4, 4), 0.5, np.float32))
    assert "do_rescale=False" in caplog.text


def test_what_is_transparent_in_a_file(tmp_path: Path) -> None:
    """A palette's transparent colour is white, as after the reference's own reading."""
    path = str(tmp_path / "a.png")
    of_mode("P").save(path, transparency=3)
    expected = theirs("CLIPImageProcessor")()(transformers.image_utils.load_image(path), return_tensors="np")
    found = CLIPImageProcessor()(path, return_tensors="np")
    assert np.array_equal(found.pixel_values, expected.pixel_values)
    plain = CLIPImageProcessor()(path, do_convert_rgb=False, return_tensors="np")
    assert not np.array_equal(found.pixel_values, plain.pixel_values)


@pytest.mark.parametrize("kind", ["image", "array"])
def test_settings_that_would_fill_the_memory(kind: str) -> None:
    image = of_mode("RGBA").convert("RGB") if kind == "image" else np.zeros((3, 8, 9), np.uint8)
    for call in ({"do_center_crop": True, "crop_size": 10**6}, {"size": 10**6}, {"do_pad": True, "pad_size": 10**6}):
        with pytest.raises(InputError, match=r"1000000 × 1000000"):
            ViTImageProcessor(**call)(image)


def test_null_in_a_file_turns_a_step_off(tmp_path: Path) -> None:
    values = {"image_processor_type": "ViTImageProcessor", "do_resize": None, "do_normalize": None, "size": 8}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    ours, reference = (c.from_pretrained(tmp_path) for c in (ViTImageProcessor, theirs("ViTImageProcessor")))
    array = np.random.default_rng(0).integers(0, 256, (3, 61, 97), dtype=np.uint8)
    found = ours(array, return_tensors="np").pixel_values
    assert found.shape == array[None].shape
    assert np.array_equal(found, reference(array, return_tensors="np").pixel_values)


@pytest.mark.parametrize("size", [(41, 57), (3, 5), (320, 320)])
def test_pictures_that_are_not_of_whole_patches(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"not of whole patches of 16 × 16, 256 at most"):
        PROCESSORS["Siglip2ImageProcessor"](do_resize=False)(np.zeros((3, *size), np.uint8))
