"""Tiny checkpoints with weights at std 0.2, made by the reference."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = ["good", "bad", "film", "story", "is", "was", "very", "not", "fine", "dull", "of", "and", "it", "the", "acting"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = string.ascii_lowercase
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *",.!?'-", *WORDS]

Make = Callable[..., Path]


def texts(count: int, words: tuple[int, int]) -> list[str]:
    """Words that the vocabulary has, words that are spelled out, punctuation, and what is unknown."""
    draw = random.Random(count)

    def word() -> str:
        made = "".join(draw.choices(LETTERS, k=draw.randint(2, 6)))
        return draw.choice([*WORDS, made, made.title(), "don't", "naïve", "你", "x-y", "42", "end."])

    return [" ".join(word() for _ in range(draw.randint(*words))) for _ in range(count)]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make("BertForMaskedLM", vocabulary, num_labels=3, …) -> folder of a tiny checkpoint, made once."""
    import torch
    import transformers

    made: dict[str, Path] = {}

    def checkpoint(architecture: str, vocabulary: list[str] = VOCABULARY, **config: Any) -> Path:
        key = f"{architecture} {len(vocabulary)} {config}"
        if key not in made:
            sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
            sizes |= {"vocab_size": len(vocabulary), "max_position_embeddings": 64}
            model = getattr(transformers, architecture)(transformers.BertConfig(**{**sizes, **config}))
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.normal_(0, 0.2, generator=generator)
            folder = tmp_path_factory.mktemp("checkpoint")
            model.save_pretrained(folder)
            (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
            (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
            made[key] = folder
        return made[key]

    return checkpoint


@pytest.fixture(scope="session")
def classifier_folder(make: Make) -> Path:
    return make("BertForSequenceClassification", num_labels=3)


@pytest.fixture(scope="session")
def masked_folder(make: Make) -> Path:
    return make("BertForMaskedLM")


@pytest.fixture(scope="session")
def base_folder(make: Make) -> Path:
    return make("BertModel")


@pytest.fixture(scope="session")
def classifier(classifier_folder: Path) -> Any:
    from formers import pipeline

    return pipeline("text-classification", model=classifier_folder)


@pytest.fixture(scope="session")
def filler(masked_folder: Path) -> Any:
    from formers import pipeline

    return pipeline("fill-mask", model=masked_folder)


@pytest.fixture(scope="session")
def extractor(base_folder: Path) -> Any:
    from formers import pipeline

    return pipeline("feature-extraction", model=base_folder)
