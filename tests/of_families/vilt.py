"""ViLT: a text and a picture in one row. The reference reads a picture's patches in a random order, so that only what
the words, the picture as a whole and the heads say can be compared."""

from __future__ import annotations

from typing import Any

import torch

from . import Facts


def inputs(model: Any, head: str, labels: bool) -> dict[str, Any]:
    """Texts of several lengths, and pictures of several shapes, padded."""
    from images.towers import pixels

    generator, config = torch.Generator().manual_seed(2), model.config
    images, mask = pixels(model, 2, (32, 24)), torch.ones(2, 32, 24, dtype=torch.long)
    mask[1, 16:], mask[1, :, 16:] = 0, 0
    images = images * mask[:, None]
    ids = torch.randint(3, config.vocab_size, (2, 6), generator=generator)
    given: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]]),
        "token_type_ids": torch.randint(config.type_vocab_size, (2, 6), generator=generator),
        "pixel_values": images,
        "pixel_mask": mask,
    }
    if head == "images-and-text-classification":
        given |= {name: torch.stack([given[name], given[name].flip(0)], 1) for name in ("pixel_values", "pixel_mask")}
    if labels and head == "visual-question-answering":
        given["labels"] = torch.rand(2, config.num_labels, generator=generator)
    elif labels and head in ("masked-lm", "token-classification"):
        most = config.vocab_size if head == "masked-lm" else config.num_labels
        given["labels"] = torch.randint(most, (2, 6), generator=generator).masked_fill(
            given["attention_mask"] == 0, -100
        )
    elif labels and head == "images-and-text-classification":
        given["labels"] = torch.tensor([0, 2])
    return given


def comparable(name: str, x: torch.Tensor) -> torch.Tensor:
    """Of words that no text has as padding, and of the pictures as a whole."""
    real = [0, 1, 2, 3, 6]
    if name.startswith("attentions"):
        return x[:, :, real][..., real]
    if name.startswith(("last_hidden_state", "hidden_states")):
        return x[:, real]
    return x[:, :4] if x.dim() == 3 else x


FACTS = Facts(
    inputs=inputs,
    comparable=comparable,
    unseen={
        "max_image_length": "the reference draws the patches that are left out",
        "num_images": "a head of its own",
    },
    changed={"num_images": 3, "image_size": 32, "patch_size": 4},
    forms=(
        ("visual-question-answering", {"qkv_bias": False, "num_labels": 5}),
        ("images-and-text-classification", {"num_images": 2}),
    ),
)
