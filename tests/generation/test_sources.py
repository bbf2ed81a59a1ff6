"""Texts that end before others, prompts without their start, and gradients of layers that are computed again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import difference, pair

IDS = torch.tensor([[5, 9, 17, 33, 8, 21], [7, 61, 12, 0, 0, 0], [40, 41, 42, 43, 11, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
WRITE: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}


def models(family: str, **changes: Any) -> tuple[Any, Any]:
    both = pair(family, "seq2seq-lm", use_cache=True, **changes)
    for model in both:
        config = model.generation_config
        config.pad_token_id, config.eos_token_id, config.decoder_start_token_id = 0, 1, 3
        config.forced_eos_token_id = None
    return both


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("ended", [0, 1, 2])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_kept_cache_reads_the_texts_that_go_on(family: str, ended: int, beams: int) -> None:
    """Of three texts one ends at once: the others still read their own sources."""
    theirs, ours = models(family)
    options = {**WRITE, "num_beams": beams, "return_dict_in_generate": True, "output_scores": True}
    first = ours.generate(IDS, attention_mask=MASK, **WRITE)[ended, 1]
    for model in (theirs, ours):
        model.generation_config.eos_token_id = [1, int(first)]
    got, expected = (model.generate(IDS, attention_mask=MASK, **options) for model in (ours, theirs))
    assert difference(got.sequences * (got.sequences > 1), expected.sequences * (expected.sequences > 1)) == 0
    alone = [ours.generate(IDS[i : i + 1, : MASK[i].sum()], **options).sequences[0] for i in range(3)]
    for row, one in zip(got.sequences, alone, strict=True):
        assert row[: len(one)].tolist() == one.tolist()


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_prompts_get_the_start_that_they_lack(family: str) -> None:
    theirs, ours = models(family)
    prompt = torch.tensor([[9, 8], [7, 6], [5, 4]])
    for given in (prompt, torch.cat([torch.full((3, 1), 3), prompt], dim=1), torch.tensor([[3, 8], [7, 6], [5, 4]])):
        for more in ({}, {"decoder_attention_mask": torch.ones_like(given)}):
            both = [
                m.generate(IDS, attention_mask=MASK, decoder_input_ids=given, **more, **WRITE) for m in (ours, theirs)
            ]
            assert torch.equal(*both)


def test_an_end_is_no_padding() -> None:
    """Where both are one token, nobody can say which columns are padding, and all are read."""
    _, ours = models("bart")
    ours.generation_config.eos_token_id = 0
    ones = torch.ones_like(MASK)
    assert torch.equal(ours.generate(IDS, **WRITE), ours.generate(IDS, attention_mask=ones, **WRITE))
    ours.generation_config.eos_token_id = 1
    assert torch.equal(ours.generate(IDS, **WRITE), ours.generate(IDS, attention_mask=MASK, **WRITE))


@pytest.mark.parametrize("family", ["t5", "mt5", "umt5", "bart"])
def test_layers_computed_again_for_gradients(family: str) -> None:
    dropped = {"dropout_rate": 0.0} if family.endswith("t5") else {"dropout": 0.0}
    _, ours = models(family, **dropped)

    def gradients() -> dict[str, torch.Tensor]:
        ours.zero_grad()
        ours.train()(input_ids=IDS, attention_mask=MASK, labels=IDS).loss.backward()
        return {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}

    expected = gradients()
    ours.gradient_checkpointing_enable()
    got = gradients()
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert difference(got[name], value) < 1e-4, name
