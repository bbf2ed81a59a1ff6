"""A tiny classifier of every family, a tokenizer that fits all, and the classifier inside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from families import FAMILIES, redraw

import formers
from formers import AutoModelForSequenceClassification, AutoTokenizer, registry

PACKAGED = Path(formers.__file__).parent / "packaged" / "sentiment"


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A tokenizer of 10,000 words, without token types, which not every family has."""
    tokenizer = AutoTokenizer.from_pretrained(PACKAGED)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


@pytest.fixture(params=[f for f in FAMILIES if "sequence-classification" in registry.load(f).HEADS])
def tiny(request: pytest.FixtureRequest) -> Any:
    """A classifier of a family, of three labels, with weights at std 0.2."""
    family = registry.load(request.param)
    kind = family.HEADS["sequence-classification"]
    model = kind(kind.config_class(**{**family.TINY, "vocab_size": 10000, "id2label": {0: "no", 1: "yes", 2: "maybe"}}))
    redraw(model)
    return model.eval()


@pytest.fixture
def classifier() -> Any:
    return AutoModelForSequenceClassification.from_pretrained(PACKAGED)
