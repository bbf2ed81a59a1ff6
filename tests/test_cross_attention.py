"""Decoders that attend to the rows of an encoder, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import MASKS, difference, pair

import formers

TOLERANCE = 1e-5
# families whose layers can attend to an encoder, and the head that is tried
CROSSING = {
    **dict.fromkeys(("bert", "roberta", "electra", "roformer", "gpt2"), "causal-lm"),
    **dict.fromkeys(("xlm_roberta", "camembert", "data2vec_text"), "causal-lm"),
}
MEMORY = {"all": None, "right": [[1] * 6, [1] * 3 + [0] * 3, [1] * 5 + [0]], "left": [[0] * 2 + [1] * 4] * 3}


def made(family: str, **changes: Any) -> tuple[Any, Any]:
    return pair(family, CROSSING[family], add_cross_attention=True, use_cache=True, **changes)


def given(memory: str = "right") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Ids (3, 9), and the rows of an encoder (3, 6, 32) with a mask or none."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 99, (3, 9), generator=generator)
    crossed = {"encoder_hidden_states": torch.randn(3, 6, 32, generator=generator)}
    if MEMORY[memory] is not None:
        crossed["encoder_attention_mask"] = torch.tensor(MEMORY[memory])
    return ids, crossed


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("mask", ["none", "right", "left"])
@pytest.mark.parametrize("family", CROSSING)
def test_logits(family: str, mask: str, memory: str) -> None:
    theirs, ours = made(family)
    ids, crossed = given(memory)
    keep = torch.tensor(MASKS[mask])
    with torch.no_grad():
        expected, got = (model(ids, attention_mask=keep, **crossed).logits for model in (theirs, ours))
        without = ours(ids, attention_mask=keep).logits
    assert difference(got[keep.bool()], expected[keep.bool()]) < TOLERANCE
    assert difference(without[keep.bool()], expected[keep.bool()]) > 1e-2


@pytest.mark.parametrize("family", CROSSING)
def test_weights(family: str) -> None:
    theirs, ours = made(family, attn_implementation="eager")
    ids, crossed = given()
    with torch.no_grad():
        expected, got = (model(ids, **crossed, output_attentions=True) for model in (theirs, ours))
    for name in ("attentions", "cross_attentions"):
        assert len(got[name]) == len(expected[name]) == 2
        assert all(difference(a, b) < TOLERANCE for a, b in zip(got[name], expected[name], strict=True)), name
    assert got.cross_attentions[0].shape == (3, 4, 9, 6)


@pytest.mark.parametrize("family", CROSSING)
def test_with_a_cache(family: str) -> None:
    """An encoder's keys are made once; what a pass splits off finds them."""
    theirs, ours = made(family)
    ids, crossed = given()
    with torch.no_grad():
        expected = theirs(ids, **crossed).logits
        first = ours(ids[:, :4], **crossed)
        cache = first.past_key_values
        made_once = [cache.crossed[layer][0] for layer in range(2)]
        second = ours(ids[:, 4:8], past_key_values=cache, **crossed)
        last = ours(ids[:, 8:], past_key_values=second.past_key_values, **crossed)
    got = torch.cat([first.logits, second.logits, last.logits], dim=1)
    assert difference(got, expected) < TOLERANCE
    assert all(last.past_key_values.crossed[layer][0] is made_once[layer] for layer in range(2))


@pytest.mark.parametrize("family", CROSSING)
def test_gradients(family: str) -> None:
    theirs, ours = made(family)
    ids, crossed = given()
    rows = crossed.pop("encoder_hidden_states")
    found = []
    for model in (theirs, ours):
        memory = rows.clone().requires_grad_()
        loss = model(ids, labels=ids, encoder_hidden_states=memory, **crossed, use_cache=False).loss
        found.append((loss.detach(), torch.autograd.grad(loss, memory)[0]))
    (expected, theirs_grad), (got, ours_grad) = found
    assert difference(got, expected) < TOLERANCE and difference(ours_grad, theirs_grad) < TOLERANCE


@pytest.mark.parametrize("family", CROSSING)
def test_chosen_texts_keep_their_encoders_rows(family: str) -> None:
    _, ours = made(family)
    ids, crossed = given("all")
    with torch.no_grad():
        expected = ours(ids, **crossed).logits[[2, 0], 5:]
        cache = ours(ids[:, :5], **crossed).past_key_values
        cache.reorder_cache(torch.tensor([2, 0]))
        rows = crossed["encoder_hidden_states"][[2, 0]]
        got = ours(ids[[2, 0], 5:], past_key_values=cache, encoder_hidden_states=rows).logits
    assert difference(got, expected) < TOLERANCE


@pytest.mark.parametrize("family", CROSSING)
def test_layers_that_read_no_encoder_say_so(family: str) -> None:
    _, plain = pair(family, CROSSING[family])
    ids, crossed = given()
    with pytest.raises(formers.InputError, match="add_cross_attention"):
        plain(ids, **crossed)
