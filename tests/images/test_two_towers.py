"""Two towers: texts with padding, numbers that differ, files of both towers read by one, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference

import formers
from formers.errors import ConfigError, FormersError
from images.towers import config_of, pair, pixels

END = 98
IDS = torch.tensor([[97, 5, 6, END, END, END], [97, 5, 6, 7, 8, END], [97, 9, END, END, END, END]])
RIGHT = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6, [1, 1, 1, 0, 0, 0]])
HOLES = torch.tensor([[1, 0, 1, 1, 0, 0], [1, 1, 0, 1, 0, 1], [1, 1, 1, 0, 0, 0]])


@pytest.mark.parametrize("mask", [RIGHT, HOLES], ids=["right", "holes"])
def test_texts_with_padding(mask: torch.Tensor) -> None:
    """Three texts and two pictures."""
    theirs, ours = pair("clip", "base")
    inputs = {"input_ids": IDS, "attention_mask": mask, "pixel_values": pixels(ours)}
    with torch.no_grad():
        expected, got = theirs(**inputs), ours(**inputs)
    assert got.logits_per_image.shape == (2, 3)
    assert difference(got.logits_per_text, expected.logits_per_text) < 1e-5
    real = mask.bool()
    rows = (x.text_model_output.last_hidden_state[real] for x in (got, expected))
    assert difference(*rows) < 1e-5


def test_padding_on_the_left_is_not_the_end() -> None:
    model = formers.CLIPModel(config_of("clip", "base")).eval()
    left = torch.tensor([[END, END, 97, 5, END]])
    mask, positions = torch.tensor([[0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 0, 1, 2]])
    with torch.no_grad():
        got = model.get_text_features(left, mask, positions)
        expected = model.get_text_features(left[:, 2:])
    assert difference(got, expected) < 1e-5


def test_patches_of_pictures_of_any_shape() -> None:
    theirs, ours = pair("siglip2", "vision")
    generator = torch.Generator().manual_seed(3)
    mask = torch.tensor([[1] * 12, [1] * 6 + [0] * 6])
    inputs = {
        "pixel_values": torch.randn(2, 12, 48, generator=generator),
        "pixel_attention_mask": mask,
        "spatial_shapes": torch.tensor([[3, 4], [2, 3]]),
    }
    with torch.no_grad():
        expected, got = theirs(**inputs), ours(**inputs)
    assert difference(got.pooler_output, expected.pooler_output) < 1e-5
    assert difference(got.last_hidden_state[mask.bool()], expected.last_hidden_state[mask.bool()]) < 1e-5
    assert not got.last_hidden_state[1, 6:].any()


@pytest.mark.parametrize("family", ["CLIP", "Siglip", "ChineseCLIP"])
def test_one_tower_from_files_of_two(family: str, tmp_path: Path) -> None:
    module = formers.registry.find_class(f"{family}Model")
    assert module is not None
    name = {"CLIP": "clip", "Siglip": "siglip", "ChineseCLIP": "chinese_clip"}[family]
    whole: Any = module(config_of(name, "base")).eval()
    whole.save_pretrained(tmp_path)
    tower, report = getattr(formers, f"{family}VisionModel").from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    pictures = pixels(whole)
    with torch.no_grad():
        assert torch.equal(tower(pictures).pooler_output, whole.vision_model(pictures).pooler_output)


def test_features_serve_code_of_both_times(tmp_path: Path) -> None:
    model = formers.CLIPModel(config_of("clip", "base")).eval()
    with torch.no_grad():
        found = model.get_image_features(pixels(model))
    assert isinstance(found, torch.Tensor)
    assert type(found / found.norm(dim=-1, keepdim=True)) is torch.Tensor
    assert torch.equal(found.pooler_output, found["pooler_output"])
    assert torch.equal(found[0], found.pooler_output[0])
    torch.save(found, tmp_path / "features.pt")
    assert type(torch.load(tmp_path / "features.pt", weights_only=True)) is torch.Tensor


def test_old_configurations() -> None:
    config = formers.CLIPConfig(text_config={"hidden_size": 8}, text_config_dict={"hidden_size": 16})
    assert (config.text_config.hidden_size, config.vision_config.hidden_size) == (16, 768)


def test_what_does_not_fit() -> None:
    model = formers.CLIPModel(config_of("clip", "base"))
    with pytest.raises(FormersError, match="3 texts and 2 pictures"):
        model(IDS, pixels(model), return_loss=True)
    with pytest.raises(FormersError, match="get_text_features takes no 'input_idz'"):
        model.get_text_features(input_idz=IDS)
    with pytest.raises(ConfigError, match="one width"):
        formers.SiglipModel(formers.SiglipConfig(text_config={"projection_size": 3}))


def test_any_towers(tmp_path: Path) -> None:
    """ViT and BERT of their own checkpoints, and CLIP's tower of a checkpoint of both."""
    formers.ViTModel(config_of("vit", "base", pooler_output_size=None)).save_pretrained(tmp_path / "vit")
    formers.CLIPModel(config_of("clip", "base")).save_pretrained(tmp_path / "clip")
    formers.BertModel(config_of("bert", "base")).save_pretrained(tmp_path / "bert")
    for name in ("vit", "clip"):
        model = formers.VisionTextDualEncoderModel.from_vision_text_pretrained(tmp_path / name, tmp_path / "bert")
        model.save_pretrained(tmp_path / "both")
        again = formers.AutoModel.from_pretrained(tmp_path / "both")
        inputs = {"input_ids": IDS[:2], "pixel_values": pixels(model)}
        with torch.no_grad():
            assert torch.equal(model(**inputs)[0], again(**inputs)[0])
