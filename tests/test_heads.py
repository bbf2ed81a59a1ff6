"""Heads that families may have, on a small class of each kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import batch, difference, pair, redraw
from torch import Tensor, nn

import formers
from formers import heads, registry
from formers.outputs import ModelOutput

TINY = {**registry.load("bert").TINY, "is_decoder": True}


class Scores(formers.BertPreTrainedModel, heads.SequenceClassification):
    """What a decoder needs to label texts; its layer has the name that checkpoints give it."""

    READS = "last"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = formers.BertModel(config, add_pooling_layer=False)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.score(rows)


@pytest.fixture(scope="module")
def scores() -> Scores:
    model = Scores(formers.BertConfig(**TINY, num_labels=3)).eval()
    redraw(model)
    return model


def alone(model: Scores, ids: Tensor) -> Tensor:
    """The label scores of one text, by its last hidden state."""
    return model.score(model.bert(ids[None]).last_hidden_state[0, -1])


@pytest.mark.parametrize("side", ["right", "left", "neither"])
@pytest.mark.parametrize("masked", [True, False])
def test_the_last_token_is_read(scores: Scores, side: str, masked: bool) -> None:
    ids = torch.tensor([[5, 6, 7, 8], [9, 4, 3, 2]])
    if side == "neither":
        padded, keep = ids, torch.ones(2, 4)
    else:
        padded = (
            torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0]])
            if side == "right"
            else torch.tensor([[5, 6, 7, 8], [0, 0, 9, 4]])
        )
        keep = (padded != 0).long()
    if side == "left" and not masked:
        pytest.skip("nobody says where the text begins")
    places = torch.arange(4)[None].expand(2, 4) if side != "left" else torch.tensor([[0, 1, 2, 3], [0, 0, 0, 1]])
    with torch.no_grad():
        got = scores(padded, attention_mask=keep if masked else None, position_ids=places).logits
        assert difference(got[0], alone(scores, ids[0])) < 1e-5
        assert difference(got[1], alone(scores, ids[1] if side == "neither" else ids[1, :2])) < 1e-5


def test_padding_that_nobody_tells_from_text(scores: Scores) -> None:
    model = Scores(formers.BertConfig(**TINY, pad_token_id=None))
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2)
    with pytest.raises(ValueError, match=r"2 texts.*attention_mask.*pad_token_id"):
        model(torch.tensor([[1, 2], [3, 4]]))


def test_a_layer_of_any_name_is_saved_and_trained(scores: Scores, tmp_path: Any) -> None:
    scores.save_pretrained(tmp_path)
    back = Scores.from_pretrained(tmp_path)
    assert torch.equal(back.score.weight, scores.score.weight) and "score.weight" in back.state_dict()
    back(torch.tensor([[1, 2]]), labels=torch.tensor([2])).loss.backward()
    assert bool(back.score.weight.grad.any())


def test_what_body_and_head_have_in_common_is_handed_on() -> None:
    _, ours = pair("bert", "causal-lm")
    own = ours.bert.stack

    def stack(*args: Any) -> ModelOutput:
        body = own(*args)
        return type(ours.bert).OUTPUT(last_hidden_state=body.last_hidden_state, past_key_values=("kept",))

    ours.bert.stack = stack
    out = ours(**batch(ours, "causal-lm", "right"))
    assert out.past_key_values == ("kept",) and out.logits is not None and "last_hidden_state" not in out


def test_logits_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a vocabulary they are the largest tensors there are."""
    monkeypatch.setattr("formers.ops.layout._PART", 4)
    _, ours = pair("bert", "masked-lm")
    inputs, sizes = batch(ours, "masked-lm", "right", labels=False), []
    expected = ours(**inputs).logits
    own = ours.compute_logits
    monkeypatch.setattr(ours, "compute_logits", lambda rows: (sizes.append(len(rows)), own(rows))[1])
    with torch.no_grad():
        got = ours(**inputs).logits
    assert sizes == [4, 4, 4, 4] and difference(got, expected.detach()) < 1e-6
