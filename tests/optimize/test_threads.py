"""One optimised model, used by several threads at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from families import difference


@pytest.mark.parametrize(("mode", "tolerance"), [("float32", 1e-6), ("bf16", 1e-6), ("int8", 0.06)])
@pytest.mark.parametrize("hidden", [False, True])
def test_results_are_those_of_one_thread(build: Callable[..., Any], mode: str, tolerance: float, hidden: bool) -> None:
    model = build("bert", wide=True).optimize(mode)
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randint(99, (1 + n % 5, 2 + n % 13), generator=draw) for n in range(60)]

    def run(ids: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model(ids, output_hidden_states=hidden).logits

    expected = [run(ids) for ids in batches]
    with ThreadPoolExecutor(2) as threads:
        got = list(threads.map(run, batches))
    assert all(difference(a, b) < tolerance for a, b in zip(got, expected, strict=True))
