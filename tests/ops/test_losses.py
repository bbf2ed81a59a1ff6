"""Losses that are divided by a number of labels that the caller counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import batch, pair

from formers.ops import losses

LOGITS, IDS = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.0, 0.25]]), torch.tensor([2, 0])
CASES: dict[str, Any] = {
    "tokens": (losses.tokens, LOGITS, IDS),
    "choice": (losses.choice, LOGITS, IDS),
    "replaced": (losses.replaced, LOGITS, LOGITS.round().clamp(0, 1).long(), None),
    "regression": (losses.classification, LOGITS, LOGITS.flip(0), "regression"),
    "one label": (losses.classification, LOGITS, IDS, "single_label_classification"),
    "labels": (losses.classification, LOGITS, LOGITS.clamp(0, 1), "multi_label_classification"),
    "span": (losses.span, LOGITS, LOGITS.flip(0), IDS, IDS),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sum_divided_by_the_items(name: str) -> None:
    loss, *given = CASES[name]
    count = LOGITS.numel() if name in ("replaced", "regression", "labels") else len(LOGITS)
    for items in (10, torch.tensor(10)):
        torch.testing.assert_close(loss(*given, items=items) * 10, loss(*given) * count)


@pytest.mark.parametrize("head", ["causal-lm", "masked-lm", "sequence-classification", "token-classification"])
def test_models_take_them(head: str) -> None:
    theirs, ours = pair("modernbert" if head == "masked-lm" else "bert", head)
    inputs = batch(ours, head, "right", labels=True)
    got = ours(**inputs, num_items_in_batch=torch.tensor(50)).loss
    if head in ("causal-lm", "masked-lm"):  # where the reference does it too
        torch.testing.assert_close(got, theirs(**inputs, num_items_in_batch=torch.tensor(50)).loss)
    mean = ours(**inputs).loss
    labels = inputs["labels"][:, 1:] if head == "causal-lm" else inputs["labels"]
    torch.testing.assert_close(got * 50, mean * (labels != losses.IGNORED).sum())
