"""GPT-2 with a head for the next token and one that chooses a text, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from families import difference, redraw

import formers
from formers.models import gpt2

TOLERANCE = 1e-5


def made(**changes: Any) -> tuple[Any, Any]:
    theirs = transformers.GPT2DoubleHeadsModel(transformers.GPT2Config(**gpt2.TINY, **changes))
    redraw(theirs)
    ours = formers.GPT2DoubleHeadsModel(formers.GPT2Config(**gpt2.TINY, **changes))
    ours.load_state_dict(theirs.state_dict())
    ours.tie_weights()
    return theirs.eval(), ours.eval()


def given() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Ids and a mask (2, 3, 7), and what else the heads read."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 99, (2, 3, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 1, 4:], mask[1, 2, 3:] = 0, 0
    places = torch.randint(0, 3, (2, 3), generator=generator)
    return ids, mask, {"mc_token_ids": places, "labels": ids.masked_fill(mask == 0, -100)}


@pytest.mark.parametrize(
    "changes",
    [{}, {"summary_proj_to_labels": False, "summary_activation": "tanh"}, {"summary_use_proj": False}],
    ids=str,
)
def test_outputs(changes: dict[str, Any]) -> None:
    theirs, ours = made(**changes)
    ids, mask, more = given()
    if not changes:
        more["mc_labels"] = torch.tensor([1, 2])
    for options in ({}, more):
        with torch.no_grad():
            expected = theirs(ids, attention_mask=mask.flatten(0, 1), **options)  # which it needs flat
            got = ours(ids, attention_mask=mask, **options)
        real = mask.bool()
        assert difference(got.logits[real], expected.logits[real]) < TOLERANCE
        assert difference(got.mc_logits, expected.mc_logits) < TOLERANCE
        for name in ("loss", "mc_loss"):
            assert got.get(name) is None or difference(got[name], expected[name]) < TOLERANCE


def test_the_texts_of_one_choice() -> None:
    theirs, ours = made()
    ids, _, _ = given()
    with torch.no_grad():
        expected, got = theirs(ids[0]), ours(ids[0])
    assert got.mc_logits.shape == (3,) and difference(got.mc_logits, expected.mc_logits) < TOLERANCE
    assert list(ours.state_dict()) == list(theirs.state_dict())
