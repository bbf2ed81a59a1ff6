"""Each kind of pooling against what its definition says, text by text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from formers.errors import ConfigError
from formers.ops.pooling import POOLINGS, pooled

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 0, 0, 0, 0]])

# of the tokens that count (n, D), and their columns (n,)
DEFINITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda x, columns: x[0],
    "lasttoken": lambda x, columns: x[-1],
    "max": lambda x, columns: x.max(0).values,
    "mean": lambda x, columns: x.mean(0),
    "mean_sqrt_len": lambda x, columns: x.sum(0) / len(x) ** 0.5,
    "weightedmean": lambda x, columns: (x * (columns + 1)[:, None]).sum(0) / (columns + 1).sum(),
}


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.float32])
def test_definitions(kind: str, dtype: torch.dtype) -> None:
    hidden = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    found = pooled(hidden, MASK.to(dtype), kind)
    for row, vector in enumerate(found):
        columns = MASK[row].nonzero()[:, 0]
        torch.testing.assert_close(vector, DEFINITIONS[kind](hidden[row, columns], columns))
    torch.testing.assert_close(pooled(hidden, None, kind), pooled(hidden, torch.ones(4, 5), kind))


def test_a_kind_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"'men' is not known\. Did you mean 'mean'"):
        pooled(torch.zeros(1, 1, 1), None, "men")
