"""Real weights: all-MiniLM-L6-v2, a published BERT of six layers, on sentences of SST-2 dev."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from corpus import sst2
from families import difference

import formers


@pytest.fixture(scope="module")
def folder(minilm: Path) -> Path:
    return minilm


@pytest.fixture(scope="module")
def encoded(folder: Path) -> Any:
    texts = [text for _, text in sst2("dev")[:64]]
    tokenizer = formers.AutoTokenizer.from_pretrained(folder)
    encoding = tokenizer(texts, padding=True, return_tensors="pt")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    assert type(tokenizer) is formers.BertTokenizer and len(texts) == 64
    assert all(torch.equal(encoding[k], theirs[k]) for k in theirs) and not bool(theirs["attention_mask"].all())
    return encoding


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
def test_hidden_states_are_the_references(
    folder: Path, encoded: Any, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    ours, report = formers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert type(ours) is formers.BertModel and ours.num_parameters() == theirs.num_parameters() == 22_713_216
    assert not any(report.values())
    rows: list[int] = []
    norm = ours.encoder.layer[0].output.LayerNorm
    if padded:  # whoever hooks a module sees whole batches
        norm.register_forward_hook(lambda _, __, out: rows.append(out.shape[:-1].numel()))
    else:
        inner = torch.nn.functional.layer_norm
        watching = lambda x, *rest: rows.append(x.shape[:-1].numel()) or inner(x, *rest)  # noqa: E731
        monkeypatch.setattr(torch.nn.functional, "layer_norm", watching)
    with torch.inference_mode():
        got = ours(**encoded, output_hidden_states=True)
        monkeypatch.undo()
        expected = theirs(**encoded, output_hidden_states=True)
    mask = encoded["attention_mask"]
    assert set(rows) == {mask.numel() if padded else int(mask.sum())}
    for a, b in zip(got.hidden_states, expected.hidden_states, strict=True):
        assert difference(a * mask[..., None], b * mask[..., None]) < 1e-5
    assert difference(got.pooler_output, expected.pooler_output) < 1e-5
