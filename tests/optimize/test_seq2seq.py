"""Derived weights of models with an encoder and a decoder: stacks of layers, some of which attend to an encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import SEQ2SEQ_CASES, batch, difference, pair

from formers import registry

# of products as of a half-precision type, and of bytes
TOLERANCES = {"float32": 1e-5, "bf16": 0.05, "int8": 0.15}
HEADS = list({registry.load(family).HEADS[head]: (family, head) for family, head in SEQ2SEQ_CASES}.values())


def wide(family: str, head: str) -> Any:
    """A model whose layers are large enough for derived weights to be worth their preparation."""
    own = {"d_ff": 512, "d_kv": 64} if "t5" in family else {"encoder_ffn_dim": 512, "decoder_ffn_dim": 512}
    return pair(family, head, d_model=256, use_cache=True, **own)[1]


@pytest.mark.brief(lambda mode, head, **_: mode == "int8" or head == "seq2seq-lm")
@pytest.mark.parametrize("mode", TOLERANCES)
@pytest.mark.parametrize(("family", "head"), HEADS)
def test_results_and_their_agreement(family: str, head: str, mode: str) -> None:
    model = wide(family, head)
    inputs = batch(model, head, "right", labels=False)
    with torch.no_grad():
        before = model(**inputs)[0]
        model.optimize(mode, check=[inputs])
        after = model(**inputs)[0]
    found = model.optimized
    assert (found.stacks or found.linears > 10) and found.agreement.cosine > 0.99  # encoders of long texts have none
    keep = inputs.get("decoder_attention_mask", inputs["attention_mask"]).bool()
    rows = (x[keep] if x.shape[:2] == keep.shape else x for x in (after, before))
    assert difference(*rows) < TOLERANCES[mode]


@pytest.mark.parametrize("family", sorted({family for family, _ in HEADS}))
def test_batches_are_texts_by_themselves(family: str) -> None:
    model = wide(family, "seq2seq-lm").optimize("int8")
    inputs = batch(model, "seq2seq-lm", "right", labels=False)
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    with torch.no_grad():
        together = model(input_ids=ids, attention_mask=mask, decoder_input_ids=inputs["decoder_input_ids"]).logits
        for row, keep in enumerate(mask):
            alone = model(input_ids=ids[row, keep][None], decoder_input_ids=inputs["decoder_input_ids"][row][None])
            # blocks of columns are other ones in a batch: sums round otherwise, and codes with them
            assert difference(alone.logits[0], together[row]) < (1e-2 if family in ("led", "longt5") else 1e-3)
    assert model.optimized is not None
    model.train()(input_ids=ids, labels=ids).loss.backward()
    assert model.lm_head.weight.grad is not None


@pytest.mark.parametrize("family", sorted({family for family, _ in HEADS}))
def test_texts_are_found_for_both_parts(family: str) -> None:
    """What is tried on has inputs of the decoder too; whether a mode is faster is not the matter here."""
    model = wide(family, "seq2seq-lm")
    tried = model.whole_batch({"input_ids": torch.tensor([[4, 5, 6]])})
    assert tried["decoder_input_ids"][0, 1:].tolist() == [4, 5] and tried["decoder_attention_mask"].shape == (1, 3)
    assert model.optimize() is model
    with pytest.raises(ValueError, match=r"cosine"):
        model.optimize("int8", check=[tried], min_cosine=1.0)
