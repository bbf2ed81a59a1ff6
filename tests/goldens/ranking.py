"""Queries, documents and a cross-encoder that sentence-transformers scored."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from goldens import answers, draw_weights
from goldens.answers import LETTERS, VOCABULARY, WORDS

CONFIG = {**answers.CONFIG, "max_position_embeddings": 512, "num_labels": 1}
LIMIT = 24  # tokens of a pair that are left where pairs are cut


def pairs(count: int = 200) -> list[tuple[str, str]]:
    """Queries of a few words, and documents of up to forty."""
    draw = random.Random(count)

    def text(least: int, most: int) -> str:
        made = ["".join(draw.choices(LETTERS, k=draw.randint(2, 5))).title() for _ in range(5)]
        return " ".join(
            draw.choice([*WORDS, *made, "don't", " x-y", "naïve", "你"]) for _ in range(draw.randint(least, most))
        )

    return [(text(1, 6) + "?", text(0, 40)) for _ in range(count)]


def folder(path: Path, library: Any, **config: Any) -> Path:
    """The model and its tokenizer in a folder, written by a library with the names of Transformers."""
    model = library.BertForSequenceClassification(library.BertConfig(**CONFIG)).eval()
    draw_weights(model)
    model.save_pretrained(path)
    values = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**values, **config}))
    (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    return path
