"""A small encoder of sentences, and a small one of pairs, to train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from goldens import draw_weights, encoders
from goldens.answers import VOCABULARY

import formers
from formers import CrossEncoder, SentenceEncoder

TEXTS = ["a good film", "the movie was bad", "film", "good good good", "a bad movie", "the film was good", "was", "bad"]


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., SentenceEncoder]:
    """Make an encoder of width 16, with a rate of dropout."""

    def make(dropout: float = 0.0) -> SentenceEncoder:
        config = formers.BertConfig(
            vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=24, max_position_embeddings=64, hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )  # fmt: skip
        model = formers.BertModel(config)
        draw_weights(model)
        (tmp_path / "vocab.txt").write_text("\n".join(dict.fromkeys(VOCABULARY)) + "\n", encoding="utf-8")
        return SentenceEncoder(model, formers.BertTokenizer(tmp_path / "vocab.txt"), max_seq_length=64)

    return make


@pytest.fixture
def ranker(tmp_path: Path) -> Callable[[int], CrossEncoder]:
    """Make a cross-encoder with so many labels, without dropout."""

    def make(labels: int) -> CrossEncoder:
        folder = encoders.classifier(tmp_path / "ranker", formers, labels)
        return CrossEncoder(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

    return make
