"""Questions, contexts and a model that Transformers 4.20 answered; later releases have no pipeline for it."""

from __future__ import annotations

import random
import string
from typing import Any

from goldens import draw_weights

WORDS = ["who", "what", "where", "is", "was", "the", "film", "story", "good", "in", "paris", "of", "a", "and", "it"]
LETTERS = string.ascii_lowercase
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *",.!?'-", *WORDS]
LIMIT = 64
CONFIG = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": LIMIT,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "top_k": {"top_k": 3},
    "max_answer_len": {"max_answer_len": 2, "top_k": 2},
    "windows": {"max_seq_len": 30, "doc_stride": 5},
    "impossible": {"handle_impossible_answer": True, "top_k": 2},
}


def examples(option: str, count: int = 40) -> list[dict[str, str]]:
    """Questions of a few words, and contexts that are longer than the model reads now and then."""
    draw = random.Random(option)

    def text(least: int, most: int) -> str:
        made = ["".join(draw.choices(LETTERS, k=draw.randint(2, 5))).title() for _ in range(5)]
        return " ".join(draw.choice([*WORDS, *made, "don't", "x-y", "Zoë"]) for _ in range(draw.randint(least, most)))

    return [{"question": text(2, 6) + "?", "context": text(3, 60)} for _ in range(count)]


def model_of(library: Any) -> Any:
    """The model, of a library with the names of Transformers."""
    model = library.BertForQuestionAnswering(library.BertConfig(**CONFIG)).eval()
    draw_weights(model)
    return model
