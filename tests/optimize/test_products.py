"""Products of packed weights."""

from __future__ import annotations

import pytest
import torch
from families import difference

from formers.optimize import probe, products
from formers.optimize.products import Packed, Parts, Source


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
