"""Train the models of handwritten digits in src/formers/packaged: a ViT that labels them, a CLIP that finds them.

    python tools/train_digits.py [--threads 2] [--epochs 80] [--out src/formers/packaged]

The pictures are scikit-learn's (UCI's Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, CC BY 4.0):
1,797 of 8 x 8 pixels, of which a quarter, drawn once, is held back to be tested on (`held_back` says which). Takes some
minutes on two cores, and prints how many of the quarter are right.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import formers

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ("a picture of a {}", "a photo of a {}", "This is a photo of {}.", "a handwritten {}", "the digit {}", "{}")
TOWER = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}
PICTURES = {"image_size": 32, "patch_size": 4}
SHOWN = 8  # pictures of the quarter that are written beside the classifier, for examples


def digits() -> tuple[list[Any], np.ndarray, np.ndarray]:
    """All pictures as images of Pillow, their labels, and which of them are held back."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    images = [Image.fromarray((own * 255 / 16).astype(np.uint8)).convert("RGB") for own in data.images]
    return images, data.target, held_back(len(images))


def held_back(count: int) -> np.ndarray:
    """Of each picture whether it is tested on."""
    kept = np.zeros(count, dtype=bool)
    kept[np.random.default_rng(0).permutation(count)[: count // 4]] = True
    return kept


def moved(pixels: torch.Tensor) -> torch.Tensor:
    """Pictures (B, C, H, W) turned, stretched and shifted a little, each in its own way."""
    B = len(pixels)
    angle, shear = (torch.rand(2, B) - 0.5) * 0.5
    scale, shift = 1 + (torch.rand(2, B) - 0.5) * 0.3, (torch.rand(B, 2) - 0.5) * 0.25
    rows = torch.stack([scale[0] * angle.cos(), shear - angle.sin(), shift[:, 0]], 1)
    more = torch.stack([angle.sin(), scale[1] * angle.cos(), shift[:, 1]], 1)
    grid = F.affine_grid(torch.stack([rows, more], 1), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False, padding_mode="border")


def classifier(images: list[Any], labels: np.ndarray, epochs: int, folder: Path) -> None:
    """Train the ViT by Trainer, and save it."""
    torch.manual_seed(0)
    processor = formers.ViTImageProcessor(size={"height": 32, "width": 32})
    names = dict(enumerate(WORDS))
    model = formers.ViTForImageClassification(
        formers.ViTConfig(**TOWER, **PICTURES, id2label=names, label2id={word: i for i, word in names.items()})
    )
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    rows = [{"pixel_values": one, "labels": int(label)} for one, label in zip(pixels, labels, strict=True)]

    def collate(chosen: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        together = torch.stack([row["pixel_values"] for row in chosen])
        return {"pixel_values": moved(together), "labels": torch.tensor([row["labels"] for row in chosen])}

    args = formers.TrainingArguments(
        tempfile.mkdtemp(), per_device_train_batch_size=64, num_train_epochs=epochs, learning_rate=3e-3,
        weight_decay=0.05, lr_scheduler_type="cosine", warmup_ratio=0.1, report_to=[], save_strategy="no",
        logging_steps=200, seed=0, use_cpu=True, disable_tqdm=True, label_smoothing_factor=0.1,
    )  # fmt: skip
    formers.Trainer(model, args, data_collator=collate, train_dataset=rows).train()
    saved(model, processor, folder)


def saved(model: Any, processor: Any, folder: Path) -> None:
    """Write a model with weights of 16 bits."""
    model.eval().half().save_pretrained(folder)
    processor.save_pretrained(folder)


def tokenizer(folder: Path) -> Any:
    """CLIP's kind, whose words are those of the sentences."""
    words = sorted({word for t in TEMPLATES for name in WORDS for word in t.format(name).lower().split()})
    letters = sorted({letter for word in words for letter in word})
    vocabulary, merges = [*letters, *(f"{letter}</w>" for letter in letters)], []
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:  # whole words, from their front
            pair = " ".join(parts[:2])
            parts[:2] = ["".join(parts[:2])]
            if pair not in merges:
                merges.append(pair)
                vocabulary.append(parts[0])
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    made = formers.CLIPTokenizer.from_pretrained(folder, model_max_length=16)
    for file in ("vocab.json", "merges.txt"):
        (folder / file).unlink()
    made.save_pretrained(folder)
    return made


def finder(images: list[Any], labels: np.ndarray, epochs: int, folder: Path) -> None:
    """Train the CLIP: each picture is to be nearest to the sentence of its label, in whatever words."""
    torch.manual_seed(0)
    words = tokenizer(folder)
    text = {**TOWER, "num_hidden_layers": 2, "vocab_size": len(words), "max_position_embeddings": 16}
    text |= {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": None}
    config = formers.CLIPConfig(text_config=text, vision_config={**TOWER, **PICTURES}, projection_dim=32)
    model = formers.CLIPModel(config).train()
    processor = formers.CLIPImageProcessor(
        size={"height": 32, "width": 32}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    pixels, targets = processor(images, return_tensors="pt")["pixel_values"], torch.tensor(labels)
    steps = epochs * (len(pixels) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = formers.get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    draw = np.random.default_rng(0)
    for step in range(steps):
        chosen = torch.from_numpy(draw.integers(0, len(pixels), 64))
        sentences = [draw.choice(TEMPLATES).format(word) for word in WORDS]
        given = words(sentences, padding=True, return_tensors="pt")
        found = model(**given, pixel_values=moved(pixels[chosen]))
        loss = F.cross_entropy(found.logits_per_image, targets[chosen], label_smoothing=0.1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 200 == 0:
            print(f"{step} of {steps}: {loss.item():.3f}", flush=True)
    saved(model, processor, folder)


def main() -> None:
    """Train both, and say how good they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--out", type=Path, default=Path(formers.__file__).parent / "packaged")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    images, labels, tested = digits()
    own = [image for image, held in zip(images, tested, strict=True) if not held]
    classifier(own, labels[~tested], chosen.epochs, chosen.out / "digits")
    finder(own, labels[~tested], chosen.epochs, chosen.out / "digits_and_words")
    others, expected = [image for image, held in zip(images, tested, strict=True) if held], labels[tested]
    for number, image in enumerate(others[:SHOWN]):
        file = chosen.out / "digits" / f"{number}_{WORDS[expected[number]]}.png"
        image.convert("L").resize((64, 64)).save(file, optimize=True)
    label = formers.pipeline("image-classification", model=str(chosen.out / "digits"))
    find = formers.pipeline("zero-shot-image-classification", model=str(chosen.out / "digits_and_words"))
    named = [one[0]["label"] for one in label(others, top_k=1)]
    described = [one[0]["label"] for one in find(others, list(WORDS), hypothesis_template="a picture of a {}")]
    for name, got in (("digits", named), ("digits_and_words", described)):
        right = sum(WORDS[want] == word for want, word in zip(expected, got, strict=True))
        print(f"{name}: {right} of {len(expected)} are right, {right / len(expected):.1%}")


if __name__ == "__main__":
    main()
