"""Products of bytes with a scale for each row."""

from __future__ import annotations

import pytest
import torch
from families import difference

from formers.ops.activations import GELUActivation
from formers.optimize import probe, row_int8
from formers.optimize.half import Half
from formers.optimize.products import Source
from formers.optimize.row_int8 import FbgemmRows, OnednnRows, RowInt8, feed_forward

SATURATES = row_int8.saturates
HERE = probe.makers("int8", "cpu")
ENGINES = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, marks=pytest.mark.skipif(make not in HERE.values(), reason="its operators are missing"))
        for make in (FbgemmRows, OnednnRows)
    ],
)


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.inference_mode():
        yield


def source(outputs: int = 24, inputs: int = 40, activation: torch.nn.Module | None = None) -> Source:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(outputs, inputs, generator=draw) * torch.logspace(-3, 1, outputs)[:, None]
    return Source(weight, torch.randn(outputs, generator=draw), activation)


def rows(count: int = 9, inputs: int = 40) -> torch.Tensor:
    """Some are a million times as large as others."""
    return (
        torch.randn(count, inputs, generator=torch.Generator().manual_seed(2)) * torch.logspace(-3, 3, count)[:, None]
    )


@pytest.mark.parametrize("least", [None, -0.17])
@pytest.mark.parametrize("halved", [False, True])
@ENGINES
def test_every_row_is_near(
    monkeypatch: pytest.MonkeyPatch, least: float | None, halved: bool, make: type[RowInt8]
) -> None:
    halved = halved or row_int8.saturates(make.prepared)
    monkeypatch.setattr(row_int8, "saturates", lambda _: halved)
    made, x = source(), rows() if least is None else torch.nn.functional.gelu(rows())
    found, expected = make(made, least=least)(x), torch.nn.functional.linear(x, made.weight, made.bias)
    lost = (found - expected).norm(dim=1) / (expected - made.bias).norm(dim=1).clamp(min=1e-3)
    if least is None:
        assert float(lost.max()) < (0.06 if halved else 0.03)
    else:  # rows below that bound in size have fewer levels
        assert float(lost[x.amax(1) > 0.2].max()) < (0.06 if halved else 0.03)


@ENGINES
def test_a_row_does_not_depend_on_others(make: type[RowInt8]) -> None:
    product, x = feed_forward(make, source(48, 40, GELUActivation()), source(40, 48)), rows(300)
    whole = product(x)
    for row in (0, 7, 150, 299):
        assert torch.equal(product(x[row : row + 1])[0], whole[row])


@ENGINES
def test_finer_codes_keep_small_numbers_beside_large_ones(monkeypatch: pytest.MonkeyPatch, make: type[RowInt8]) -> None:
    monkeypatch.setattr(row_int8, "saturates", lambda _: False)
    twice = row_int8.finer(make)
    assert twice is not None
    made, x = source(inputs=400), rows(inputs=400)
    x[:, 7] *= 100
    exact = (made.weight / made.weight.abs().amax(1, keepdim=True) * 127).round() / 127
    exact = exact * made.weight.abs().amax(1, keepdim=True)  # the weights that the codes stand for
    expected = torch.nn.functional.linear(x, exact, made.bias)
    coarse, fine = ((m(made)(x) - expected).norm() / expected.norm() for m in (make, twice))
    if not SATURATES(make.prepared):
        assert float(fine) < 1e-3 < 10 * float(coarse)
        assert float(fine) < 0.02 * float(coarse)
    product, many = twice(made), rows(300, 400)
    whole = product(many)
    for row in (0, 7, 299):
        assert torch.equal(product(many[row : row + 1])[0], whole[row])


def test_no_finer_codes_where_weights_have_few_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_int8, "saturates", lambda _: True)
    assert row_int8.finer(FbgemmRows) is None
    assert row_int8.finer(Half) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@ENGINES
def test_what_is_no_number_stays_in_its_row(value: float, make: type[RowInt8]) -> None:
    product, x = make(source()), rows()
    expected = product(x)
    x[4, 3] = value
    found = product(x)
    assert not found[4].isfinite().all()
    others = [i for i in range(len(x)) if i != 4]
    assert torch.equal(found[others], expected[others])


@ENGINES
def test_empty_rows(make: type[RowInt8]) -> None:
    made = source()
    assert torch.equal(make(made)(torch.zeros(3, 40)), made.bias.expand(3, -1))
    assert difference(make(made, least=0.0)(torch.zeros(3, 40)), made.bias.expand(3, -1)) < 1e-6


@pytest.mark.skipif("FBGEMM fp16" not in probe.makers("fp16", "cpu"), reason="its operators are missing")
@pytest.mark.parametrize("bias", [False, True])
def test_half(bias: bool) -> None:
    made = source()
    made = Source(made.weight, made.bias if bias else None, torch.nn.ReLU())
    x = torch.randn(5, 40)
    expected = torch.nn.functional.linear(x, made.weight, made.bias).relu()
    assert difference(Half(made)(x), expected) < 1e-3
    with pytest.raises(OverflowError):
        Half(Source(made.weight * 1e6, None))
