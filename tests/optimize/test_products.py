"""Products of packed weights."""

from __future__ import annotations

import pytest
import torch
from families import difference

from formers.ops.activations import GELUActivation
from formers.optimize import probe, products
from formers.optimize.products import FewRows, Packed, Parts, Plain, Source


@pytest.mark.skipif("oneDNN bf16" not in probe.makers("bf16", "cpu"), reason="the operators are missing here")
@pytest.mark.parametrize("rows", [1, 3, 4, 9, 10, 23])
@pytest.mark.parametrize("parts", [Parts(3, 4), Parts(None, 5), Parts(4, None)])
def test_rows_in_parts(monkeypatch: pytest.MonkeyPatch, rows: int, parts: Parts) -> None:
    """Whatever the parts, each row's result is the same."""
    monkeypatch.setattr(products, "MANY", 10)
    source = Source(torch.randn(16, 8), torch.randn(16), torch.nn.ReLU())
    whole, parted = Packed(source, torch.bfloat16), Packed(source, torch.bfloat16, parts)
    seen: list[int] = []
    run = parted._run
    monkeypatch.setattr(parted, "_run", lambda x: [seen.append(len(x)), run(x)][1])
    x = torch.randn(rows, 8)
    with torch.inference_mode():
        assert difference(parted(x), whole(x)) < 0.01
    assert sum(seen) == rows and max(seen) <= ((parts.many if rows >= 10 else parts.few) or rows)


@pytest.mark.skipif(
    "oneDNN float32, few rows" not in probe.makers("float32", "cpu"), reason="the operators are missing"
)
@pytest.mark.parametrize("limit", [0, 2**26])
@pytest.mark.parametrize("shape", [(48, 16), (16, 16), (16, 48)])
@pytest.mark.parametrize("activation", [None, GELUActivation(), torch.nn.SiLU()], ids=["none", "fused", "apart"])
def test_few_rows(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], activation: torch.nn.Module | None, limit: int
) -> None:
    """However many rows there are, the result is that of torch's product."""
    monkeypatch.setattr(products, "_TURNED", limit)
    for bias in (None, torch.randn(shape[0])):
        source = Source(torch.randn(shape), bias, activation)
        few, plain = FewRows(source), Plain(source, torch.float32)
        for rows in (1, 2, 3, 4, 7):
            x = torch.randn(rows, shape[1])
            with torch.inference_mode():
                assert difference(few(x), plain(x)) < 1e-6
