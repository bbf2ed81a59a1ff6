"""Numbers as bytes: what comes back is off by half a step at most."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.optimize.int8 import Codes, NotFinite


def error(x: torch.Tensor) -> float:
    """The largest error, in steps of the scale."""
    found = Codes.of(x)
    assert found.codes.dtype == torch.uint8 and found.codes.shape == x.shape
    assert found.scale > 0 and 0 <= found.zero <= 255
    back = (found.codes.double() - found.zero) * found.scale
    return float((back - x.double()).abs().max()) / found.scale


numbers = st.floats(-(2.0**90), 2.0**90, width=32)
rows = st.tuples(st.integers(1, 4), st.integers(1, 9)).flatmap(
    lambda shape: st.one_of(numbers, st.floats(-8, 8, width=32)).flatmap(
        lambda middle: st.lists(
            st.one_of(st.just(middle), st.just(0.0), numbers, st.floats(-4, 4, width=32)),
            min_size=shape[0] * shape[1],
            max_size=shape[0] * shape[1],
        ).map(lambda values: torch.tensor(values).view(shape))
    )
)


@given(rows)
@settings(max_examples=300, deadline=None)
def test_round_trip(x: torch.Tensor) -> None:
    assert error(x) <= 0.5 + 1e-4


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(3, 4),
        torch.full((2, 3), 3.5),
        torch.full((2, 3), -3.5),
        -torch.rand(3, 5) - 1,
        torch.rand(3, 5) + 100,
        torch.randn(4, 4) * 1e25,
        torch.randn(4, 4) * 1e-25,
        torch.randn(4, 4) * 1e-38,
        torch.tensor([[5.0]]),
        torch.randn(3, 4).bfloat16(),
        torch.randn(3, 4).double(),
        torch.randn(6, 7)[2:],
    ],
)
def test_special_rows(x: torch.Tensor) -> None:
    assert error(x) <= 0.5 + 1e-4


def test_zero_is_exact() -> None:
    x = torch.tensor([[0.0, 0.37, -0.11]])
    found = Codes.of(x)
    assert int(found.codes[0, 0]) == found.zero


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38, -3e38])
def test_no_codes_for_what_is_no_number(value: float) -> None:
    with pytest.raises(NotFinite):
        Codes.of(torch.tensor([[1.0, value, 2.0]]))


@pytest.mark.parametrize(
    "x", [torch.randn(5, 7).t(), torch.randn(6, 7)[:, :3], torch.randn(1, 7).expand(3, 7), torch.randn(6, 7)[::2]]
)
def test_strided_rows(x: torch.Tensor) -> None:
    assert error(x) <= 0.5 + 1e-4
