"""What families have in common that write from texts with pictures in them."""

from __future__ import annotations

from typing import Any

import torch


def texts(model: Any, counts: tuple[int, ...] = (2, 1), words: int = 5) -> dict[str, torch.Tensor]:
    """Pictures of texts with so many each, and the ids of these texts, all as long, each picture among words."""
    from images.towers import pixels

    pictures, most = pixels(model, sum(counts)), max(counts)
    nested = hasattr(model.config, "scale_factor")
    if nested:
        rows = (pictures.shape[-1] // model.config.vision_config.patch_size // model.config.scale_factor) ** 2
        padded = pictures.new_zeros(len(counts), most, *pictures.shape[1:])
        for text, (images, count) in enumerate(zip(pictures.split(counts), counts, strict=True)):
            padded[text, :count] = images
    else:
        rows = (pictures.shape[-1] // model.config.vision_config.patch_size) ** 2
        rows += model.config.vision_feature_select_strategy == "full"
    generator, length = torch.Generator().manual_seed(2), most * rows + words
    ids = torch.randint(3, 90, (len(counts), length), generator=generator)
    for text, count in enumerate(counts):
        for number in range(count):
            first = 1 + number * (rows + 1)
            ids[text, first : first + rows] = model.config.image_token_id
    return {"input_ids": ids, "pixel_values": padded if nested else pictures}


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Pictures alone, or in texts, with these as labels."""
    from images.towers import pixels

    if head == "vision":
        return {"pixel_values": pixels(model)}
    given: dict[str, Any] = {**texts(model), "use_cache": False}
    if labels and "labels" in model.arguments():
        given["labels"] = given["input_ids"]
    return given


UNSEEN = {"tie_word_embeddings": "the whole model's says it, of heads"}
