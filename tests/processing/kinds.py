"""The image processors that are tried: those of the families, and two of their kinds where no family has them yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import skimage
import sklearn

from formers import registry
from formers.processing import BaseImageProcessor, PILImageResampling
from formers.processing.transforms import (
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

_SKIMAGE, _SKLEARN = Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"
_NAMES = "astronaut.png camera.png chelsea.png coffee.png brick.png page.png text.png rocket.jpg".split()
PHOTOS = [
    str(p) for p in (*(_SKIMAGE / n for n in _NAMES), _SKLEARN / "china.jpg", _SKLEARN / "flower.jpg") if p.exists()
]


class ViTImageProcessor(BaseImageProcessor):
    """Squares."""

    do_resize = True
    size = {"height": 224, "width": 224}
    resample = PILImageResampling.BILINEAR
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD


class CLIPImageProcessor(BaseImageProcessor):
    """The middle of what keeps its aspect."""

    do_resize = True
    size = {"shortest_edge": 224}
    default_to_square = False
    resample = PILImageResampling.BICUBIC
    do_center_crop = True
    crop_size = {"height": 224, "width": 224}
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD


def _of_families() -> dict[str, Any]:
    found = (getattr(registry.load(name), "IMAGE_PROCESSOR", None) for name in registry.families())
    return {cls.__name__: cls for cls in found if cls is not None}


PROCESSORS: dict[str, Any] = {c.__name__: c for c in (ViTImageProcessor, CLIPImageProcessor)} | _of_families()
