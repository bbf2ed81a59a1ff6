"""What takes derived weights back, or sets them aside: the results are always those of the model as it is now."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import difference
from torch import Tensor, nn

from formers.optimize import stack_of

Build = Callable[..., Any]
MODES = ("int8", "bf16", "float32")


class Adapter(nn.Module):
    """A linear layer and a low-rank one beside it."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner
        self.down, self.up = nn.Linear(inner.in_features, 2), nn.Linear(2, inner.out_features)

    @property
    def weight(self) -> Tensor:
        return self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.up(self.down(x))


class AdaptedLinear(nn.Linear):
    """The same, as a subclass that keeps the name and the weight."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def doubled(linear: nn.Linear) -> AdaptedLinear:
    made = AdaptedLinear(linear.in_features, linear.out_features)
    made.load_state_dict(linear.state_dict())
    return made.eval()


def layers(model: Any) -> Any:
    return model.distilbert.transformer.layer


def logits(model: Any, inputs: Callable[..., Any]) -> Tensor:
    with torch.inference_mode():
        return model(**inputs(model)).logits


def write(model: Any) -> None:
    with torch.no_grad():
        layers(model)[1].ffn.lin1.weight.add_(0.5)


def write_in_inference_mode(model: Any) -> None:
    with torch.inference_mode():
        layers(model)[0].attention.v_lin.bias.mul_(-3)


def write_norm(model: Any) -> None:
    with torch.no_grad():
        layers(model)[1].output_layer_norm.weight.neg_()


def load(model: Any) -> None:
    model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()})


def assign(model: Any) -> None:
    model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()}, assign=True)


def replace_parameter(model: Any) -> None:
    layers(model)[0].attention.q_lin.weight = nn.Parameter(torch.eye(32))


def adapt(model: Any) -> None:
    layers(model)[0].attention.q_lin = Adapter(layers(model)[0].attention.q_lin)


def adapt_by_subclass(model: Any) -> None:
    layers(model)[1].ffn.lin2 = doubled(layers(model)[1].ffn.lin2)


def remove_layer(model: Any) -> None:
    del layers(model)[0]


def replace_stack(model: Any) -> None:
    model.distilbert.transformer.layer = nn.ModuleList([layers(model)[1], layers(model)[0]])


def swap_layers(model: Any) -> None:
    layers(model)[0], layers(model)[1] = layers(model)[1], layers(model)[0]


def prune(model: Any) -> None:
    model.prune_heads({0: [1, 2], 1: [0]})


def step(model: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    ids = torch.arange(1, 9).view(2, 4)
    model(ids, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()


def train(model: Any) -> None:
    model.train().eval()


def to_double(model: Any) -> None:
    model.to(torch.float64)


def half(model: Any) -> None:
    model.half()


CHANGES = [
    *(write, write_in_inference_mode, write_norm, load, assign, replace_parameter, adapt, adapt_by_subclass),
    *(replace_stack, swap_layers, prune, step, train, to_double, half),
]


@pytest.mark.parametrize("change", [*CHANGES, remove_layer])
@pytest.mark.parametrize("mode", MODES)
def test_changes(build: Build, inputs: Callable[..., Any], mode: str, change: Callable[[Any], None]) -> None:
    model, other = build("distilbert"), build("distilbert")
    before = logits(model.optimize(mode), inputs)
    assert model.optimized is not None
    torch.manual_seed(0)
    change(model)
    torch.manual_seed(0)
    change(other)
    if change is remove_layer:
        model.config.n_layers = other.config.n_layers = 1
    expected = logits(other, inputs)
    assert difference(logits(model, inputs), expected) < (1e-3 if change is half else 1e-5)
    assert model.optimized is None
    if change not in (train, to_double, half):
        assert difference(before, expected) > 1e-4  # the change is one that can be seen
    again = logits(model.optimize("float32"), inputs)
    assert difference(again, expected) < (1e-2 if change is half else 1e-5)


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_known_without_a_call(build: Build, change: Callable[[Any], None]) -> None:
    model = build("distilbert").optimize("bf16")
    change(model)
    assert model.optimized is None


@pytest.mark.parametrize("change", [adapt, adapt_by_subclass, prune])
@pytest.mark.parametrize("mode", MODES)
def test_changes_before(build: Build, inputs: Callable[..., Any], mode: str, change: Callable[[Any], None]) -> None:
    """An adapter that is there already does its part."""
    model = build("distilbert")
    plain = logits(model, inputs)
    torch.manual_seed(0)
    change(model)
    expected = logits(model, inputs)
    assert difference(expected, plain) > 1e-3
    got = logits(model.optimize(mode), inputs)
    assert difference(got, expected) < (1e-5 if mode == "float32" or change is not prune else 0.1)
    assert model.optimized.stacks == (1 if change is prune else 0) and bool(model.optimized.note) == (
        change is not prune or (mode == "int8" and "products" in model.optimized.note)
    )


@pytest.mark.parametrize("mode", ["bf16", "float32"])
def test_a_single_layer_that_changes(build: Build, inputs: Callable[..., Any], mode: str) -> None:
    """One with derived weights, outside of the stack."""
    model = build("distilbert", wide=True)
    plain = logits(model.optimize(mode), inputs)
    assert model.optimized.linears == 1
    with torch.no_grad():
        model.pre_classifier.weight.neg_()
    assert model.optimized is None
    other = build("distilbert", wide=True)
    with torch.no_grad():
        other.pre_classifier.weight.neg_()
    expected = logits(other, inputs)
    assert difference(logits(model, inputs), expected) < 1e-5 < difference(plain, expected)


def test_a_single_layer_that_is_adapted(build: Build, inputs: Callable[..., Any]) -> None:
    model, other = (build("distilbert", wide=True) for _ in range(2))
    model.optimize("float32")
    for one in (model, other):
        one.pre_classifier = doubled(one.pre_classifier)
    assert difference(logits(model, inputs), logits(other, inputs)) < 1e-5 and model.optimized is None


@pytest.mark.parametrize("mode", MODES)
def test_resized_embeddings(build: Build, inputs: Callable[..., Any], mode: str) -> None:
    """The table is outside of what is derived."""
    model = build("distilbert")
    before = logits(model.optimize(mode), inputs)
    model.resize_token_embeddings(120)
    assert difference(logits(model, inputs), before) < 0.1
    with torch.inference_mode():
        assert model(torch.tensor([[119, 100]])).logits.shape == (1, 2)


@pytest.mark.parametrize("mode", MODES)
def test_resized_output_layer(build: Build, mode: str) -> None:
    model = build("distilbert", "masked-lm", wide=True).optimize(mode)
    assert model.optimized.linears == 2
    model.resize_token_embeddings(280)
    ids = torch.arange(1, 9).view(2, 4)
    with torch.inference_mode():
        got = model(ids).logits
        expected = model.optimize(None)(ids).logits
    assert got.shape == (2, 4, 280) and difference(got, expected) < 0.1


@pytest.mark.parametrize("mode", MODES)
def test_taking_it_back(build: Build, inputs: Callable[..., Any], mode: str) -> None:
    model = build("distilbert", wide=True)
    members = {name: dict(vars(module)) for name, module in model.named_modules()}
    before = logits(model, inputs)
    assert model.optimize(mode) is model
    logits(model, inputs)
    held = [weakref.ref(stack_of(layers(model))), weakref.ref(vars(model.pre_classifier)["forward"])]
    assert model.optimize(None) is model and model.optimized is None
    gc.collect()
    assert [ref() for ref in held] == [None, None]
    assert torch.equal(logits(model, inputs), before)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == {
        name: set(values) for name, values in members.items()
    }
    assert model.optimize(None).optimized is None  # twice is fine


def test_a_stale_model_frees_its_derived_weights(build: Build, inputs: Callable[..., Any]) -> None:
    model = build("distilbert").optimize("bf16")
    held = weakref.ref(stack_of(layers(model)))
    write(model)
    logits(model, inputs)
    gc.collect()
    assert held() is None


def test_a_stale_model_says_so_once(build: Build, inputs: Callable[..., Any], caplog: Any) -> None:
    model = build("bert", "token-classification").optimize("bf16")
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.bias.add_(1)
    for _ in range(3):
        logits(model, inputs)
    assert sum("changed" in r.getMessage() for r in caplog.records) == 1


def test_another_mode_replaces_the_first(build: Build) -> None:
    model = build("distilbert", wide=True)
    sizes = {mode: model.optimize(mode).optimized.bytes for mode in MODES}
    # what bytes would harm is of float32 where 16 bits are no faster: then int8 may be larger than bf16
    assert [*sizes] == [*MODES] and max(sizes["int8"], sizes["bf16"]) < sizes["float32"]
    assert model.optimized.mode == "float32"


@pytest.mark.parametrize("mode", MODES)
def test_a_forward_put_in_the_place_of_a_modules(build: Build, inputs: Callable[..., Any], mode: str) -> None:
    """After optimize(), and before it; it is used as long as it is there."""
    model = build("distilbert")
    plain = logits(model.optimize(mode), inputs)
    for module in (layers(model)[0].attention.out_lin, layers(model)[1].ffn, layers(model)[1].output_layer_norm):
        inner = module.forward
        module.forward = lambda x, inner=inner: inner(x) * 0
        patched = logits(model, inputs)
        assert difference(patched, logits(model.optimize(None), inputs)) < 1e-6
        assert difference(patched, logits(model.optimize(mode), inputs)) < 1e-6
        del module.forward
        assert difference(patched, plain) > 1e-2 > 0.01 * difference(logits(model, inputs), plain)


def test_dropout_alone_in_training_mode(build: Build, inputs: Callable[..., Any]) -> None:
    """Samples of the model, as for Monte Carlo dropout."""
    model = build("distilbert", dropout=0.5).optimize("bf16")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    torch.manual_seed(0)
    first, second = logits(model, inputs), logits(model, inputs)
    assert difference(first, second) > 1e-3
    torch.manual_seed(0)
    assert difference(logits(model.optimize(None), inputs), first) < 1e-5


def test_parameters_given_for_one_call(build: Build, inputs: Callable[..., Any]) -> None:
    model = build("distilbert")
    changed = {name: value * 1.5 for name, value in model.state_dict().items()}
    with torch.inference_mode():
        expected = torch.func.functional_call(model, changed, (), inputs(model)).logits
        model.optimize("bf16")
        assert difference(torch.func.functional_call(model, changed, (), inputs(model)).logits, expected) < 1e-5


def test_a_base_model_that_two_models_share(build: Build, inputs: Callable[..., Any]) -> None:
    one, two = build("distilbert"), build("distilbert")
    two.distilbert = one.distilbert
    expected = logits(two, inputs)
    one.optimize("float32")
    assert difference(logits(two, inputs), expected) < 1e-5
    one.distilbert.optimize(None)
    assert one.optimized is None and difference(logits(one, inputs), expected) < 1e-5


def fused_step(model: Any) -> None:
    """It leaves the versions of what it writes alone."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def eps(model: Any) -> None:
    layers(model)[0].sa_layer_norm.eps = 0.5


def heads(model: Any) -> None:
    layers(model)[1].attention.n_heads = 2


def kind(model: Any) -> None:
    layers(model)[0].ffn.lin1.__class__ = AdaptedLinear


@pytest.mark.parametrize("change", [fused_step, eps, heads, kind])
@pytest.mark.parametrize("mode", MODES)
def test_what_no_version_counts(
    build: Build, inputs: Callable[..., Any], mode: str, change: Callable[[Any], None]
) -> None:
    model, plain = (build("distilbert") for _ in range(2))
    model.optimize(mode)
    for each in (model, plain):
        change(each)
    assert difference(logits(model, inputs), logits(plain, inputs)) < 1e-6
    assert model.optimized is None
