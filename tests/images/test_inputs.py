"""What models of pictures make of other inputs than the usual ones: recorded graphs, hidden patches, small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import redraw

import formers
from formers import errors, registry


def made(family: str, head: str) -> Any:
    module = registry.load(family)
    kind = module.HEADS[head]
    model = kind(kind.config_class(**module.TINY))
    redraw(model)
    return model.eval()


@pytest.mark.parametrize("family", ["vit", "deit", "dinov2", "dinov2_with_registers", "beit", "clip", "siglip"])
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_graphs_take_batches_of_another_size(family: str) -> None:
    model = made(family, "image-classification")
    images = model.dummy_inputs["pixel_values"]
    other = torch.cat([images, images.flip(3), images.flip(2)])[:5]
    with torch.no_grad():
        expected = model(other).logits
        size = {"pixel_values": {0: torch.export.Dim("B", min=1, max=64)}}
        program = torch.export.export(model, (), {"pixel_values": images}, dynamic_shapes=size).module()
        assert torch.allclose(program(pixel_values=other).logits, expected, atol=1e-5)
        model.config.return_dict = False
        traced = torch.jit.trace(model, (images,), strict=False, check_trace=False)
        assert torch.allclose(traced(other)[0], expected, atol=1e-5)


def test_hidden_patches_of_any_numbers(tmp_path: Path) -> None:
    ours = made("vit", "masked-image-modeling")
    ours.save_pretrained(tmp_path)
    theirs = transformers.ViTForMaskedImageModeling.from_pretrained(tmp_path).eval()
    images = ours.dummy_inputs["pixel_values"]
    patches = torch.rand(2, 9, generator=torch.Generator().manual_seed(0))
    for hidden in (patches > 0.5, (patches > 0.5).long(), patches):
        found, expected = (model(images, bool_masked_pos=hidden) for model in (ours, theirs))
        assert torch.allclose(found.reconstruction, expected.reconstruction, atol=1e-5)
        assert torch.allclose(found.loss, expected.loss, atol=1e-5)
    for wrong in (patches.numpy(), patches.tolist()):
        with pytest.raises(errors.NotTensorError, match="bool_masked_pos"):
            ours(images, bool_masked_pos=wrong)


@pytest.mark.parametrize("family", ["vit", "clip"])
def test_pictures_smaller_than_a_patch(family: str) -> None:
    with pytest.raises(formers.InputError, match="4 x 40 pixels, less than the 8 x 8 of a patch"):
        made(family, "image-classification")(torch.zeros(1, 3, 4, 40), interpolate_pos_encoding=True)
