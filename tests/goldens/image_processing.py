"""Record what Transformers' torchvision classes make of images: tests/goldens/image_processing.json.

    python tests/goldens/image_processing.py FOLDER_OF_SCIKIT_IMAGE

with transformers 5.23.0, torch 2.13.0, torchvision 0.28.0, Pillow 13.0.0. Stored are hashes of the float32 values.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = ("astronaut.png", "chelsea.png", "coffee.png", "camera.png")
CLASSES = {
    "ViTImageProcessor": [{}, {"size": {"height": 37, "width": 53}, "do_rescale": False}],
    "CLIPImageProcessor": [{}, {"crop_size": {"height": 301, "width": 227}}, {"do_normalize": False}],
}


def digest(array: Any) -> str:
    """Of the values as float32, with the shape."""
    values = np.ascontiguousarray(array, dtype=np.float32)
    return f"{list(values.shape)} {hashlib.sha256(values.tobytes()).hexdigest()[:16]}"


def main() -> None:
    """Write the file."""
    import torch

    # torchvision's own operators do not load beside torch's build for CPUs; resizing needs none of them
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import transformers
    from transformers.image_utils import load_image

    found = {}
    for name, calls in CLASSES.items():
        processor = getattr(transformers, name)()
        for image in IMAGES:
            picture = load_image(str(Path(sys.argv[1]) / "data" / image))
            for call in calls:
                values = processor(picture, return_tensors="np", **call)["pixel_values"]
                found[f"{name} {image} {json.dumps(call)}"] = digest(values)
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
