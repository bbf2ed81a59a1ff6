"""Every mode × family × head × mask beside the model as it is, elementwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from families import CASES, MASKS, difference, types

from formers.optimize.stack import Stack

# of the largest value, with weights at std 0.2, which are ten times those of a checkpoint
TOLERANCES = {"float32": 1e-5, "bf16": 0.03, "int8": 0.12}
# about what a sum of 32 products is here: a smaller one is made of terms that cancel out, but whose errors do not
USUAL = 0.2
FAMILIES = ("bert", "distilbert")
BRIEF = ("base", "sequence-classification")
READS_FIRST = [c for c in CASES if c[1] in ("sequence-classification", "next-sentence-prediction", "multiple-choice")]
KINDS = {
    **{name: MASKS[name] for name in ("none", "right", "left", "holes")},
    "single": [[1] * 9],
    "one-token": [[1] + [0] * 8, [1] * 9, [1] + [0] * 8, [1] * 4 + [0] * 5],
    "all-one-token": [[1, 0, 0]] * 3,
    "lengths-back-and-forth": [[1] * n + [0] * (7 - n) for n in (3, 7, 1, 3, 6, 7, 3)],
}
Inputs = dict[str, torch.Tensor]


def texts(model: Any, head: str, kind: str) -> Inputs:
    """A batch with the mask of that kind, of every kind of input that the model reads."""
    generator = torch.Generator().manual_seed(1)
    keep = torch.tensor(KINDS[kind])
    if head == "multiple-choice":
        keep = torch.stack([keep, keep.flip(0)], 1)
    made = {
        "input_ids": torch.randint(model.config.vocab_size, keep.shape, generator=generator),
        "attention_mask": keep,
    }
    if "token_type_ids" in model.inputs():
        draw = partial(torch.randint, generator=generator)
        made["token_type_ids"] = types(model.config, lambda high, *shape: draw(high, shape), *keep.shape)
    return made


def distance(got: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest value, or to that of its terms where these cancel out."""
    found = difference(got, expected)
    largest = float(expected.abs().max())
    return found * largest / max(largest, USUAL) if largest else found


def compare(got: Any, expected: Any, keep: torch.Tensor, mode: str, whole: bool = False) -> None:
    """All fields; those with a vector a token at real tokens alone, unless `whole`."""
    assert list(got) == list(expected)
    for name in expected:
        one = isinstance(expected[name], torch.Tensor)
        ours, theirs = ((got[name],), (expected[name],)) if one else (got[name], expected[name])
        assert len(ours) == len(theirs), name
        for a, b in zip(ours, theirs, strict=True):
            by_token = b.shape[: keep.dim()] == keep.shape and not (whole and name.endswith("logits"))
            found = distance(a[keep.bool()], b[keep.bool()]) if by_token else distance(a, b)
            assert found < TOLERANCES[mode] and a.dtype == b.dtype, (name, found)


@pytest.mark.brief(lambda family, head, kind, mode: family == "bert" and (head in BRIEF or kind == "right"))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("mode", TOLERANCES)
def test_outputs(build: Callable[..., Any], mode: str, family: str, head: str, kind: str) -> None:
    model = build(family, head)
    batch = texts(model, head, kind)
    with torch.inference_mode():
        expected = model(**batch, output_hidden_states=True)
        model.optimize(mode)
        every, last = model(**batch, output_hidden_states=True), model(**batch)
    keep = batch["attention_mask"].flatten(0, -2)
    whole = head == "question-answering"
    compare(every, expected, keep, mode, whole)
    compare(last, {k: v for k, v in expected.items() if k != "hidden_states"}, keep, mode, whole)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["sequence-classification", "masked-lm", "token-classification"])
@pytest.mark.parametrize("mode", TOLERANCES)
def test_outputs_of_wide_models(build: Callable[..., Any], mode: str, family: str, head: str) -> None:
    """With linear layers outside of the stack derived too."""
    model = build(family, head, wide=True)
    batch = texts(model, head, "right")
    with torch.inference_mode():
        expected = model(**batch)
        found = model.optimize(mode).optimized
        got = model(**batch)
    assert found.linears == {"sequence-classification": 1, "masked-lm": 2, "token-classification": 0}[head]
    compare(got, expected, batch["attention_mask"], mode)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("mode", TOLERANCES)
def test_activations(build: Callable[..., Any], mode: str, activation: str) -> None:
    """Those that an operator fuses and those that it does not."""
    model = build("bert", "base", hidden_act=activation)
    batch = texts(model, "base", "right")
    with torch.inference_mode():
        expected = model(**batch)
        got = model.optimize(mode)(**batch)
    compare(got, expected, batch["attention_mask"], mode)


@pytest.mark.shared
@pytest.mark.parametrize(("family", "head"), READS_FIRST)
@pytest.mark.parametrize("kind", ["none", "right", "holes", "one-token", "lengths-back-and-forth"])
@pytest.mark.parametrize("mode", TOLERANCES)
def test_heads_that_read_the_first_column(
    build: Callable[..., Any], mode: str, kind: str, family: str, head: str
) -> None:
    """The last layer computes that column alone, unless its other rows are asked for: the logits are the same."""
    model = build(family, head).optimize(mode)
    batch = texts(model, head, kind)
    with torch.inference_mode():
        alone, whole = model(**batch).logits, model(**batch, output_hidden_states=True).logits
    assert distance(alone, whole) < TOLERANCES[mode]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["base", "sequence-classification", "token-classification"])
def test_float32_results_do_not_depend_on_the_batch(build: Callable[..., Any], family: str, head: str) -> None:
    model = build(family, head).optimize("float32")
    batch = texts(model, head, "lengths-back-and-forth")
    with torch.inference_mode():
        together = model(**batch)[0]
        for i, length in enumerate(batch["attention_mask"].sum(1).tolist()):
            alone = model(**{k: v[i : i + 1, :length] for k, v in batch.items()})[0]
            whole = together[i : i + 1] if together.dim() == 2 else together[i : i + 1, :length]
            assert difference(whole, alone) < 1e-5


@pytest.mark.parametrize("mode", TOLERANCES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_checkpoints_of_other_types(build: Callable[..., Any], mode: str, dtype: torch.dtype) -> None:
    """Outputs keep the type that the model's weights have."""
    model = build("distilbert").to(dtype)
    batch = texts(model, "sequence-classification", "right")
    with torch.inference_mode():
        expected = model(**batch)
        got = model.optimize(mode)(**batch)
    assert model.optimized is not None and got.logits.dtype == dtype
    assert difference(got.logits, expected.logits) < max(TOLERANCES[mode], 1e-5 if dtype == torch.float64 else 0.03)


@pytest.mark.parametrize("mode", TOLERANCES)
def test_embeddings_given(build: Callable[..., Any], mode: str) -> None:
    model = build("bert")
    draw = torch.Generator().manual_seed(2)
    embeds = torch.randn(5, 32, 3, generator=draw).permute(2, 0, 1)  # not contiguous
    with torch.inference_mode():
        expected = model(inputs_embeds=embeds).logits
        assert difference(model.optimize(mode)(inputs_embeds=embeds).logits, expected) < TOLERANCES[mode]


@pytest.mark.parametrize("mode", TOLERANCES)
def test_no_number_stays_no_number_in_its_own_text(build: Callable[..., Any], mode: str) -> None:
    model = build("bert")
    embeds = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(2))
    embeds[1, 2, 3] = float("nan")
    with torch.inference_mode():
        expected = model(inputs_embeds=embeds).logits
        got = model.optimize(mode)(inputs_embeds=embeds).logits
    assert bool(got[1].isnan().all()) and difference(got[[0, 2]], expected[[0, 2]]) < TOLERANCES[mode]


@pytest.mark.parametrize("mode", TOLERANCES)
def test_derived_weights_are_used(
    build: Callable[..., Any], inputs: Callable[..., Inputs], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all of the above would compare a model with itself; and not where the padding has to stay."""
    model = build().optimize(mode)
    calls: list[int] = []
    run = Stack.__call__
    monkeypatch.setattr(Stack, "__call__", lambda self, *args: calls.append(1) or run(self, *args))
    with torch.inference_mode():
        for mask, times in {"none": 1, "right": 2, "holes": 3, "left": 3}.items():
            model(**inputs(model, mask=mask))
            assert len(calls) == times


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("mode", ["float32", "bf16", "int8"])
def test_weights_that_are_no_numbers(
    build: Callable[..., Any], inputs: Callable[..., Inputs], mode: str, value: float
) -> None:
    """It ends, and with no number where the model gives none."""
    model = build("bert")
    with torch.inference_mode():
        model.bert.encoder.layer[0].intermediate.dense.weight[0, 0] = value
        expected = model(**inputs(model)).logits
        got = model.optimize(mode)(**inputs(model)).logits
    assert torch.equal(got.isfinite(), expected.isfinite())


@pytest.mark.parametrize("mode", TOLERANCES)
def test_no_texts(build: Callable[..., Any], inputs: Callable[..., Inputs], mode: str) -> None:
    model = build("bert").optimize(mode)
    with torch.inference_mode():
        assert model(**{name: value[:0] for name, value in inputs(model).items()}).logits.shape == (0, 2)
