"""Attention to what is near, by itself and in the encoders of LED and LongT5, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import difference, pair

import formers
from formers import registry
from formers.errors import ConfigError, InputError
from formers.ops.local import Side, local_attention

transformers = pytest.importorskip("transformers")
IDS = torch.randint(4, 99, (3, 13), generator=torch.Generator().manual_seed(1))
WRITTEN = torch.randint(4, 99, (3, 5), generator=torch.Generator().manual_seed(2))
RIGHT = torch.tensor([[1] * 13, [1] * 7 + [0] * 6, [1] * 2 + [0] * 11])
HOLES = torch.tensor([[1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1], [1] * 13, [1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1]])
MASKS = {"none": None, "right": RIGHT, "left": RIGHT.flip(1), "holes": HOLES}
CHOSEN = torch.zeros(3, 13, dtype=torch.long)
CHOSEN[0, [0, 5]] = CHOSEN[1, 0] = CHOSEN[2, [1, 12]] = 1


@pytest.mark.parametrize("columns", [1, 4, 9, 17])
@pytest.mark.parametrize("radius", [1, 3, 20])
@pytest.mark.parametrize("beside", [False, True])
def test_blocks_are_the_whole_with_a_mask(columns: int, radius: int, beside: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, columns, 4, generator=generator, requires_grad=True) for _ in range(3))
    real = torch.ones(2, columns, dtype=torch.bool)
    real[1, columns // 2 + 1 :] = False
    table = torch.randn(1, 3, 64, generator=generator)
    bias = lambda q, k, distance: table[..., distance + 32]  # noqa: E731
    side = Side(*(torch.randn(2, 3, 2, 4, generator=generator) for _ in range(2)), torch.tensor([[[[0.0, -1e9]]]] * 2))
    given = {"real": real, "bias": lambda q, k, d: bias(q, k, d.clamp(-30, 30)), "side": side if beside else None}
    (got,) = local_attention(q, k, v, radius, **given)
    again, weights = local_attention(q, k, v, radius, weights=True, **given)
    place = torch.arange(columns)
    distance = place[:, None] - place
    scores = q @ k.transpose(-1, -2) / 2 + bias(q, k, distance.clamp(-30, 30))
    scores = scores.masked_fill(~((distance.abs() <= radius) & real[:, None, None]), -1e9)
    keys = v
    if beside:
        scores, keys = torch.cat([scores, q @ side.key.mT / 2 + side.scores], -1), torch.cat([v, side.value], 2)
    expected = scores.softmax(-1) @ keys
    keep = real[:, None, :, None]
    for x in (got, again):
        assert difference(x * keep, expected * keep) < 1e-6
    assert difference(weights.sum(-1), torch.ones_like(weights.sum(-1))) < 1e-6
    found = torch.autograd.grad((got * keep).square().sum(), (q, k, v))
    wanted = torch.autograd.grad((expected * keep).square().sum(), (q, k, v))
    assert all(difference(a, b) < 1e-5 for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", ["local", "transient-global"])
@pytest.mark.parametrize("columns", [13, 3, 1])
def test_encoders_of_longt5(columns: int, kind: str, mask: str) -> None:
    theirs, ours = pair("longt5", "base", encoder_attention_type=kind)
    kept = MASKS[mask]
    kept = None if kept is None else kept[:, :columns].clone()
    if kept is not None:
        kept[:, columns // 2] = 1  # no text without a token
    with torch.no_grad():
        got, expected = (m.encoder(input_ids=IDS[:, :columns], attention_mask=kept)[0] for m in (ours, theirs))
    keep = torch.ones(3, columns).bool() if kept is None else kept.bool()
    assert difference(got[keep], expected[keep]) < 1e-5


def test_blocks_of_longt5_are_seen() -> None:
    _, ours = pair("longt5", "base")
    ids = IDS.clone()
    with torch.no_grad():
        before = ours.encoder(input_ids=ids)[0]
        ids[:, -1] = 98 - ids[:, -1] % 90
        far = (ours.encoder(input_ids=ids)[0] - before)[:, 0].abs().max()
    assert far > 1e-3  # which two layers of windows do not reach
    with pytest.raises(ConfigError, match=r"encoder_attention_type='global' is unknown"):
        formers.LongT5Config(encoder_attention_type="global")
    with pytest.raises(InputError, match="takes neither a head_mask nor a mask for each query"):
        ours.encoder(input_ids=ids, attention_mask=torch.ones(3, 13, 13))


@pytest.mark.parametrize("mask", MASKS)
def test_chosen_tokens_of_led(mask: str) -> None:
    theirs, ours = pair("led", "seq2seq-lm")
    given: dict[str, Any] = {"input_ids": IDS, "attention_mask": MASKS[mask], "decoder_input_ids": WRITTEN}
    asked = {"output_attentions": True, "output_hidden_states": True}
    keep = torch.ones(3, 13).bool() if MASKS[mask] is None else MASKS[mask].bool()
    with torch.no_grad():
        expected = theirs(**given, global_attention_mask=CHOSEN, **asked)
        got, fused = ours(**given, global_attention_mask=CHOSEN, **asked), ours(**given, global_attention_mask=CHOSEN)
        without, none = ours(**given), ours(**given, global_attention_mask=CHOSEN * 0)
    assert got.keys() == expected.keys() and torch.equal(without.logits, none.logits)
    assert difference(got.logits, expected.logits) < 1e-5 and difference(fused.logits, expected.logits) < 1e-5
    assert difference(without.logits, expected.logits) > 1e-3
    for a, b in zip(got.encoder_attentions, expected.encoder_attentions, strict=True):
        assert difference(a.transpose(1, 2)[keep], b.transpose(1, 2)[keep]) < 1e-5
    count = (CHOSEN * keep).sum(1)
    for a, b in zip(got.encoder_global_attentions, expected.encoder_global_attentions, strict=True):
        there = torch.arange(a.shape[-1]) < count[:, None]
        assert a.shape == b.shape
        assert difference(a.permute(0, 3, 1, 2)[there], b.permute(0, 3, 1, 2)[there]) < 1e-5
        assert not a.permute(0, 3, 1, 2)[~there].any()


def test_led_trains_and_writes() -> None:
    theirs, ours = pair("led", "seq2seq-lm")
    given = {"input_ids": IDS, "attention_mask": RIGHT, "global_attention_mask": CHOSEN}
    expected, got = theirs(**given, labels=WRITTEN), ours(**given, labels=WRITTEN)
    expected.loss.backward()
    got.loss.backward()
    own = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        if parameter.grad is not None:
            assert float((own[name].grad - parameter.grad).abs().max()) < 1e-5, name
    for way in ({}, {"num_beams": 3}):
        written = [model.generate(**given, max_new_tokens=8, **way) for model in (theirs, ours)]
        assert torch.equal(*written)
    with pytest.raises(InputError, match=r"global_attention_mask is \(3, 2\); it should be \(3, 13\)"):
        ours(**{**given, "global_attention_mask": CHOSEN[:, :2]}, decoder_input_ids=WRITTEN)


@pytest.mark.parametrize("wrong", [3, 0, [4], [4, 5], "4"])
def test_windows_that_are_none(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="attention_window"):
        formers.LEDModel(formers.LEDConfig(**{**registry.load("led").TINY, "attention_window": wrong}))


def test_led_labels_texts() -> None:
    model = formers.LEDForSequenceClassification(formers.LEDConfig(**registry.load("led").TINY)).eval()
    ids = IDS.masked_fill(IDS == 2, 3)
    ids[:, -1] = 2
    found = model(input_ids=ids, global_attention_mask=CHOSEN, labels=torch.tensor([0, 1, 1]))
    assert found.logits.shape == (3, 2) and found.loss is not None


def test_the_encoder_of_longt5_alone() -> None:
    theirs = transformers.LongT5EncoderModel(transformers.LongT5Config(**registry.load("longt5").TINY)).eval()
    ours = formers.LongT5EncoderModel(formers.LongT5Config(**registry.load("longt5").TINY)).eval()
    ours.load_state_dict(theirs.state_dict())
    ours.tie_weights()
    with torch.no_grad():
        got, expected = (model(input_ids=IDS, attention_mask=RIGHT)[0][RIGHT.bool()] for model in (ours, theirs))
    assert difference(got, expected) < 1e-5
