"""Files of image processors and processors, of every release, in both directions; and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tokenizers
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processing.kinds import PHOTOS, PROCESSORS, CLIPImageProcessor, ViTImageProcessor

from formers import AutoFeatureExtractor, AutoImageProcessor, AutoProcessor, BertConfig, ProcessorMixin, classes
from formers.errors import ConfigError, FormersError, InputError, NotFoundError
from formers.processing import BaseImageProcessor

OLD = {  # as Transformers 4.20.1 wrote them
    "ViTImageProcessor": {
        "do_normalize": True, "do_resize": True, "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 32,
    },
    "CLIPImageProcessor": {
        "crop_size": 24, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4], "resample": 3, "size": 40,
    },
}  # fmt: skip


class Both(ProcessorMixin):
    """Of CLIP's kind."""

    image_processor_class = CLIPImageProcessor


def values(processor: Any, **call: Any) -> Any:
    return processor(PHOTOS[0], return_tensors="np", **call)["pixel_values"]


def written(folder: Path, name: str, content: Any) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", OLD)
def test_old_files(name: str, tmp_path: Path) -> None:
    folder = written(tmp_path, "preprocessor_config.json", OLD[name])
    found = PROCESSORS[name].from_pretrained(folder)
    expected = getattr(transformers, f"{name}Pil").from_pretrained(folder)
    assert np.array_equal(values(found), values(expected))
    assert np.array_equal(values(PROCESSORS[name].from_pretrained(folder / "preprocessor_config.json")), values(found))


@pytest.mark.parametrize("name", PROCESSORS)
def test_both_ways(name: str, tmp_path: Path) -> None:
    reference = getattr(transformers, f"{name}Pil")
    more = {"apply_ocr": False} if hasattr(PROCESSORS[name], "apply_ocr") else {}
    ours = PROCESSORS[name](rescale_factor=1 / 200, **more)
    ours.save_pretrained(tmp_path / "ours")
    assert np.array_equal(values(reference.from_pretrained(tmp_path / "ours")), values(ours))
    assert PROCESSORS[name].from_pretrained(tmp_path / "ours").to_dict() == ours.to_dict()
    theirs = reference(image_std=[0.3, 0.4, 0.5], **more)
    theirs.save_pretrained(tmp_path / "theirs")
    assert np.array_equal(values(PROCESSORS[name].from_pretrained(tmp_path / "theirs")), values(theirs))


def test_what_old_releases_read(tmp_path: Path) -> None:
    CLIPImageProcessor(size=40, crop_size=24).save_pretrained(tmp_path)
    found = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (found["size"], found["crop_size"]) == (40, 24)
    assert found["feature_extractor_type"] == "CLIPFeatureExtractor"
    ViTImageProcessor(size=(40, 24)).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["size"] == {"height": 40, "width": 24}


def test_processors(tmp_path: Path) -> None:
    tokenizer = small_tokenizers.tokenizer("words", unk_token="[UNK]", pad_token="[UNK]")
    both, photo = Both(CLIPImageProcessor(size=8, crop_size=8), tokenizer), np.zeros((3, 9, 9), np.uint8)
    found = both(text=["the stop", "the"], images=[photo, photo], padding=True, return_tensors="np")
    assert list(found) == ["input_ids", "token_type_ids", "attention_mask", "pixel_values"]
    for other in (both("the", photo), both(photo, "the"), both(images=photo, text="the")):
        assert np.array_equal(other["pixel_values"][0], found["pixel_values"][0])
    assert "pixel_values" not in both("the") and "input_ids" not in both(PHOTOS[0])
    assert both.feature_extractor is both.image_processor
    assert both.decode(found["input_ids"][1][:1]) == "the"
    with pytest.raises(FormersError, match="do_resise"):
        both("the", photo, do_resise=False)
    with pytest.raises(FormersError, match="first is an image processor"):
        Both(tokenizer, CLIPImageProcessor())
    both.save_pretrained(tmp_path)
    within = json.loads((tmp_path / "processor_config.json").read_text())
    assert within["processor_class"] == "Both" and "image_processor" not in within, "4.40 would read it twice"
    back = Both.from_pretrained(tmp_path)
    assert back.image_processor.to_dict() == both.image_processor.to_dict()
    alone = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps({**within, "image_processor": alone}))
    assert Both.from_pretrained(tmp_path).image_processor.size == {"shortest_edge": 8}


def test_auto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "processors", {})
    AutoImageProcessor.register(BertConfig, ViTImageProcessor)
    written(tmp_path, "config.json", {"model_type": "bert"})
    written(tmp_path, "preprocessor_config.json", {"size": 32})
    for auto in (AutoImageProcessor, AutoFeatureExtractor, AutoProcessor):
        assert type(auto.from_pretrained(tmp_path)) is ViTImageProcessor
    assert AutoImageProcessor.from_pretrained(tmp_path, use_fast=True, size=16).size.height == 16
    with pytest.raises(FormersError, match="exist_ok"):
        AutoImageProcessor.register(BertConfig, CLIPImageProcessor)
    sound = tmp_path / "sound"
    sound.mkdir()
    kind = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "sampling_rate": 16000}
    written(sound, "preprocessor_config.json", kind)
    with pytest.raises(ConfigError, match="sound"):
        AutoImageProcessor.from_pretrained(sound)
    assert type(AutoProcessor.from_pretrained(sound)).__name__ == "WhisperFeatureExtractor"
    with pytest.raises(NotFoundError, match="preprocessor_config"):
        AutoImageProcessor.from_pretrained(_empty(tmp_path))


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def test_keys_that_are_no_settings_survive_and_choose_nothing(tmp_path: Path) -> None:
    odd = {**OLD["ViTImageProcessor"], "preprocess": "x", "__class__": "y", "novel": 3, "auto_map": {"AutoX": "a.b"}}
    found = ViTImageProcessor.from_pretrained(written(tmp_path, "preprocessor_config.json", odd))
    assert values(found).shape == (1, 3, 32, 32) and found.novel == 3
    assert found.to_dict()["novel"] == 3 and "auto_map" not in found.to_dict()
    huge = written(tmp_path, "preprocessor_config.json", {"size": {"height": 10**6, "width": 10**6}})
    with pytest.raises(InputError, match="resized"):
        values(ViTImageProcessor.from_pretrained(huge))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["height", "width", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from([*BaseImageProcessor.keys(), "image_processor_type", "x"]), _JSON, max_size=4))
def test_hostile_files(tmp_path: Path, content: dict[str, Any]) -> None:
    folder = written(tmp_path, "preprocessor_config.json", content)
    photo = np.zeros((3, 4, 5), np.uint8)
    for cls in (ViTImageProcessor, CLIPImageProcessor):
        try:
            found = cls.from_pretrained(folder)
            if not any((edge or 0) > 4096 for size in (found.size, found.crop_size) if size for edge in size.values()):
                found(photo, return_tensors="np")
        except FormersError:
            pass
