"""Where a mode is missing the next one is taken, said so, and right."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import difference

from formers import optimize
from formers.errors import ArgumentError, InputError
from formers.optimize import probe, stack_of
from formers.optimize.products import Plain

MODES = probe.MODES
LIMITS = {"int8": 0.1, "bf16": 0.05, "fp16": 5e-3, "float32": 1e-5}
Build = Callable[..., Any]


class Broken(Plain):
    """A product whose outputs are the wrong way round."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x).flip(-1)


def provide(monkeypatch: pytest.MonkeyPatch, missing: set[str] = frozenset(), broken: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Let the probe find nothing for the modes `missing`, and wrong products for those `broken`."""
    found = {mode: probe.makers(mode, "cpu") for mode in MODES}

    def makers(mode: str, _: str) -> dict[str, Any]:
        if mode in broken:
            return {"broken": lambda source, *_: Broken(source, torch.bfloat16)}
        return {} if mode in missing else found[mode]

    monkeypatch.setattr(probe, "makers", makers)
    monkeypatch.setattr(probe, "worthwhile", lambda mode, device, *_: bool(makers(mode, device)))
    monkeypatch.setattr(optimize, "_slower", lambda *_: "")  # small models are no matter of speed


@pytest.mark.parametrize(
    ("asked", "missing", "taken"),
    [
        ("int8", {"int8"}, "bf16"),
        ("int8", {"int8", "bf16"}, "fp16"),
        ("int8", {"int8", "bf16", "fp16"}, "float32"),
        ("bf16", {"bf16"}, "fp16"),
        ("fp16", {"fp16"}, "float32"),
        ("bf16", {"int8"}, "bf16"),
        ("float32", {"int8", "bf16"}, "float32"),
    ],
)
def test_a_missing_mode(
    build: Build,
    inputs: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    asked: str,
    missing: set[str],
    taken: str,
) -> None:
    provide(monkeypatch, missing)
    model = build()
    with torch.inference_mode():
        expected = model(**inputs(model)).logits
        found = model.optimize(asked).optimized
        assert difference(model(**inputs(model)).logits, expected) < LIMITS[taken]
    assert (found.mode, found.asked) == (taken, asked)
    passed = [mode for mode in MODES[MODES.index(asked) :] if mode in missing]
    assert all(f"{mode} is missing" in found.note for mode in passed) and bool(found.note) == bool(passed)
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == bool(passed) and all(f"took {taken}" in line for line in said)


def test_the_best_of_what_is_there(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    provide(monkeypatch, {"int8", "bf16", "fp16"})
    assert build().optimize(True).optimized.mode == "float32"


@pytest.mark.parametrize("missing", [set(), {"int8"}])
def test_the_best_is_none_that_disagrees(
    build: Build, inputs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, missing: set[str]
) -> None:
    provide(monkeypatch, missing, {"int8", "bf16", "fp16"} - missing)
    model = build()
    with torch.inference_mode():
        expected = model(**inputs(model)).logits
        found = model.optimize().optimized
        assert difference(model(**inputs(model)).logits, expected) < 1e-5
    assert found.mode == "float32" and "bf16 does not agree" in found.note
    assert ("int8" in found.note) == (not missing)


def without(*names: str) -> Any:
    """torch.ops, whose namespaces lack the operators `names`, or are there but raise."""

    class Namespace:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            if name in names:
                raise AttributeError(name)
            return getattr(self.inner, name)

    class Ops:
        def __getattr__(self, name: str) -> Any:
            return Namespace(getattr(OPS, name))

    return Ops()


OPS = torch.ops
FBGEMM = "linear_with_input_q_dq_qweight_dq_output_fp32"


@pytest.fixture
def fresh() -> Any:
    """The probe forgets what it found, before and after."""
    caches = [f for f in vars(probe).values() if hasattr(f, "cache_clear")]
    for found in caches:
        found.cache_clear()
    yield
    for found in caches:
        found.cache_clear()


@pytest.mark.parametrize(
    ("names", "asked", "taken", "products"),
    [
        (("qlinear_pointwise",), "int8", "int8", ("FBGEMM int8",)),
        (("linear_prepack",), "int8", "int8", ("oneDNN int8", "oneDNN int8 by rows")),
        (("qlinear_pointwise", FBGEMM), "int8", "bf16", ("oneDNN bf16", "torch bf16", "FBGEMM fp16")),
        (("qlinear_prepack", "linear_prepack", "_linear_pointwise"), "int8", "bf16", ("torch bf16", "FBGEMM fp16")),
        (("_linear_pointwise",), "float32", "float32", ("torch float32",)),
        (("_reorder_linear_weight",), "bf16", "bf16", ("torch bf16", "FBGEMM fp16")),
        (("linear_dynamic_fp16",), "fp16", "float32", ("oneDNN float32", "torch float32")),
    ],
)
def test_missing_operators(
    build: Build,
    inputs: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    fresh: None,
    names: tuple[str, ...],
    asked: str,
    taken: str,
    products: tuple[str, ...],
) -> None:
    """Private to torch, they may go, or change."""
    every = {name for mode in MODES for name in probe.makers(mode, "cpu")}
    if every.isdisjoint(products):
        pytest.skip("this torch or processor lacks some products already")
    for found in (f for f in vars(probe).values() if hasattr(f, "cache_clear")):
        found.cache_clear()
    model = build(wide=True)
    with torch.inference_mode():
        expected = model(**inputs(model)).logits
        monkeypatch.setattr(torch, "ops", without(*names))
        found = model.optimize(asked).optimized
        got = model(**inputs(model)).logits
    assert found.mode == taken and found.products in products
    assert difference(got, expected) < LIMITS[taken]


def test_operators_that_compute_something_else(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    """As an operator might whose arguments have changed their meaning."""
    monkeypatch.setattr(probe, "Packed", lambda source, dtype, *_: Broken(source, dtype))
    monkeypatch.setattr(probe, "FewRows", Broken)
    assert [*probe.makers("bf16", "cpu")][:1] == ["torch bf16"]
    assert [*probe.makers("float32", "cpu")] == ["torch float32"]


@pytest.mark.parametrize("mode", ["int4", "Int8", "", "bf32", 8, 1, 0, 1.0, torch.bfloat16, ["int8"], ("bf16",)])
def test_unknown_modes(build: Build, mode: Any) -> None:
    model = build().optimize("float32")
    with pytest.raises(ArgumentError, match="'int8', 'bf16', 'fp16', 'float32', True for the best, or None"):
        model.optimize(mode)
    assert model.optimized.mode == "float32"  # as before


def test_unknown_modes_have_a_hint(build: Build) -> None:
    for mode, meant in {"int4": "int8", "Int8": "int8", "float23": "float32"}.items():
        with pytest.raises(ArgumentError, match=f"Did you mean '{meant}'"):
            build().optimize(mode)


@pytest.mark.parametrize(
    ("alias", "mode"), [("bfloat16", "bf16"), ("float16", "fp16"), ("fp32", "float32"), (False, None)]
)
def test_other_names(build: Build, alias: Any, mode: str | None) -> None:
    found = build().optimize("float32").optimize(alias).optimized
    assert (found and found.mode) == mode


@pytest.mark.parametrize("mode", [*MODES, True])
def test_training_mode(build: Build, mode: str | bool) -> None:
    model = build().train()
    with pytest.raises(InputError, match=r"training mode.*eval\(\)"):
        model.optimize(mode)
    assert model.optimized is None and stack_of(model.bert.encoder.layer) is None
    assert model.optimize(None) is model


def test_how_many_longer_products_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes take half the time of the next mode here: with most products of that mode they save under a tenth."""
    if not probe.makers("int8", "cpu"):
        pytest.skip("bytes are missing here")
    every = {name: 2.0 for mode in MODES for name in probe.makers(mode, "cpu")}
    monkeypatch.setattr(probe, "race", lambda *_: every | dict.fromkeys(probe.makers("int8", "cpu"), 1.0))
    found = [probe.worthwhile("int8", "cpu", probe.Shape(), share) for share in (0.0, 0.5, 0.79, 0.81, 1.0)]
    assert found == [True, True, True, False, False]
