"""Encoders with decoders in float16, whose range is narrower than the one that they were trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import pair

import formers

transformers = pytest.importorskip("transformers")
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS, decoder_input_ids=IDS[:, :3]).logits.float()
    return found


def scaled(model: Any, names: tuple[str, ...]) -> Any:
    """The model, with parameters so large that sums with them leave float16's range."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(names):
                parameter.sign_().mul_(60000)
    return model


@pytest.mark.parametrize("kind", ["T5", "MT5", "UMT5"])
def test_loaded(kind: str, tmp_path: Path) -> None:
    """The last weight of each feed-forward stays in float32."""
    theirs, ours = pair(kind.lower(), "seq2seq-lm")
    scaled(ours, (".wo.weight",)).save_pretrained(tmp_path)
    half = type(ours).from_pretrained(tmp_path, dtype=torch.float16)
    kept = {name for name, p in half.named_parameters() if p.dtype == torch.float32}
    assert kept and kept == {name for name, _ in half.named_parameters() if name.endswith(".wo.weight")}
    found = half(IDS, decoder_input_ids=IDS[:, :3], output_hidden_states=True)
    reference = type(theirs).from_pretrained(tmp_path, dtype=torch.float16)
    expected = reference(IDS, decoder_input_ids=IDS[:, :3], output_hidden_states=True)
    for name in ("encoder_hidden_states", "decoder_hidden_states"):
        assert [x.dtype for x in found[name]] == [x.dtype for x in expected[name]]
    assert found.logits.dtype == torch.float16
    torch.testing.assert_close(found.logits.float(), logits(reference), rtol=0.02, atol=0.02)
    assert half.generate(IDS, max_new_tokens=3).shape[0] == 2
    half.save_pretrained(tmp_path / "again")
    again = type(ours).from_pretrained(tmp_path / "again", dtype="auto")
    assert torch.equal(logits(again), logits(half))
    for dtype in (torch.bfloat16, torch.float64):
        assert {p.dtype for p in type(ours).from_pretrained(tmp_path, dtype=dtype).parameters()} == {dtype}


def test_new_weights(tmp_path: Path) -> None:
    """Those that the file lacks have the types of those that it has."""
    ours = pair("t5", "seq2seq-lm")[1]
    weights = {name: x for name, x in ours.state_dict().items() if not name.startswith("decoder.block.1.")}
    model = formers.T5ForConditionalGeneration(ours.config)
    model.save_pretrained(tmp_path)
    half = formers.T5EncoderModel.from_pretrained(tmp_path, state_dict=weights, dtype="float16")
    assert half.encoder.block[0].layer[1].DenseReluDense.wo.weight.dtype == torch.float32


LARGE = {
    "t5": (".wo.weight",),
    "longt5": (".wo.weight",),
    "pegasus": ("encoder.layers.0.fc2.bias", "encoder.layers.0.self_attn.out_proj.bias"),
    "m2m_100": ("encoder.layers.0.fc2.bias", "encoder.layers.0.self_attn.out_proj.bias"),
}


@pytest.mark.parametrize("family", LARGE)
def test_halved(family: str) -> None:
    """Sums beyond the range stay at its ends."""
    theirs, ours = pair(family, "seq2seq-lm")
    found, expected = logits(scaled(ours, LARGE[family]).half()), logits(scaled(theirs, LARGE[family]).half())
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
