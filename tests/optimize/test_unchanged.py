"""What derived weights leave as it was: names, files, copies, hooks, gradients, graphs."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference

from formers.layers import keeps_padding

MODES = ("int8", "bf16", "float32")
Build = Callable[..., Any]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("mode", MODES)
def test_state_names_and_files(build: Build, mode: str, family: str, tmp_path: Path) -> None:
    model = build(family, wide=True)
    model.save_pretrained(tmp_path / "before")
    state, names, shown = copy.deepcopy(model.state_dict()), [n for n, _ in model.named_modules()], repr(model)
    parameters = {name: id(p) for name, p in model.named_parameters()}
    model.optimize(mode)
    model.save_pretrained(tmp_path / "after")
    assert model.optimized is not None and model.optimized.stacks == model.optimized.linears == 1
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert {name: id(p) for name, p in model.named_parameters()} == parameters
    assert [n for n, _ in model.named_modules()] == names and repr(model) == shown
    assert not list(model.buffers()) or all("position" in n for n, _ in model.named_buffers())
    assert files(tmp_path / "after") == files(tmp_path / "before")


def deep(model: Any) -> Any:
    return copy.deepcopy(model)


def pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [deep, pickled, saved])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("mode", MODES)
def test_copies_are_plain(
    build: Build, inputs: Callable[..., Any], mode: str, family: str, copied: Callable[[Any], Any]
) -> None:
    model = build(family, wide=True)
    batch = inputs(model)
    with torch.inference_mode():
        expected = model(**batch).logits
        model.optimize(mode)
        got = model(**batch).logits
        other = copied(model)
        # kernels round by the alignment of what they read
        assert other.optimized is None and difference(other(**batch).logits, expected) < 1e-6
        assert not keeps_padding(other.modules())  # or a copy would be slower than the model ever was
        other.classifier.bias += 1  # its own weights
        assert difference(other(**batch).logits, expected + 1) < 1e-6
        assert model.optimized is not None and difference(model(**batch).logits, got) < 0.05
        again = other.optimize("float32")(**batch).logits
        assert other.optimized is not None and difference(again, expected + 1) < 1e-5
    assert len(pickle.dumps(model)) < len(pickle.dumps(build(family, wide=True))) * 1.05
    assert copied(other).optimized is None  # of a copy


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("mask", ["none", "right", "holes"])
@pytest.mark.parametrize("mode", MODES)
def test_hooks_fire_on_every_module(
    build: Build, inputs: Callable[..., Any], mode: str, mask: str, family: str
) -> None:
    model = build(family, wide=True)
    batch = inputs(model, mask=mask)

    def shapes() -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def note(name: str) -> Any:
            def hook(_: Any, __: Any, out: Any) -> None:
                seen[name] = tuple(out.shape) if isinstance(out, torch.Tensor) else None

            return hook

        handles = [m.register_forward_hook(note(n)) for n, m in model.named_modules()]
        with torch.inference_mode():
            seen["logits"] = model(**batch).logits
        for handle in handles:
            handle.remove()
        return seen

    expected, got = shapes(), model.optimize(mode) and shapes()
    assert difference(got.pop("logits"), expected.pop("logits")) < (1e-5 if mode == "float32" else 0.05)
    assert got == expected and model.optimized is not None


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_hook_on_any_one_module_fires(build: Build, inputs: Callable[..., Any], family: str) -> None:
    """Also where it is the only one, and was there before; with its changes in the result."""
    model = build(family).optimize("bf16")
    batch = inputs(model)
    with torch.inference_mode():
        plain = model(**batch).logits
        for name, module in model.named_modules():
            if not list(module.parameters()) or not name or isinstance(module, torch.nn.ModuleList):
                continue  # ModuleLists are never called
            for register in (module.register_forward_hook, module.register_forward_pre_hook):
                seen: list[int] = []
                handle = register(lambda *_, seen=seen: seen.append(1))
                model(**batch)
                handle.remove()
                assert seen, name
        last = [m for m in model.base_model.modules() if isinstance(m, torch.nn.LayerNorm)][-1]
        handle = last.register_forward_hook(lambda _, __, out: out * 0)
        zeros = model(**batch).logits
        handle.remove()
        assert difference(zeros[:1], zeros[1:2]) < 1e-6 < difference(plain[:1], plain[1:2])
        assert torch.equal(model(**batch).logits, plain)


def test_global_hooks_fire(build: Build, inputs: Callable[..., Any]) -> None:
    model = build()
    seen: list[Any] = []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda m, *_: seen.append(m))
    with torch.inference_mode():
        model(**inputs(model))
        expected, seen[:] = [*seen], []
        model.optimize("bf16")(**inputs(model))
    handle.remove()
    assert seen == expected and len(seen) > 20


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("mode", MODES)
def test_attentions_and_head_masks(build: Build, inputs: Callable[..., Any], mode: str, family: str) -> None:
    """The model's own code serves them, in float32."""
    model = build(family)
    batch = inputs(model)
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0])
    for options in (
        {"output_attentions": True},
        {"head_mask": mask},
        {"head_mask": mask, "output_hidden_states": True},
    ):
        with torch.inference_mode():
            model.optimize(None)
            expected = model(**batch, **options)
            got = model.optimize(mode)(**batch, **options)
        assert list(got) == list(expected)
        for a, b in zip(got.to_tuple(), expected.to_tuple(), strict=True):
            for x, y in zip(a, b, strict=True):
                assert difference(x, y) < 1e-5


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_of_the_model(
    build: Build, inputs: Callable[..., Any], mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = build("distilbert", wide=True)
    batch = inputs(model)
    labels = torch.tensor([0, 1, 1])
    expected = model(**batch, labels=labels)
    expected.loss.backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.optimize(mode)
    for _ in range(3):
        got = model(**batch, labels=labels)
    assert torch.equal(got.logits, expected.logits) and got.logits.requires_grad
    got.loss.backward()
    for name, p in model.named_parameters():
        assert difference(p.grad, wanted[name]) < 1e-5 or not wanted[name].any(), name
    assert sum("gradients" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize("mode", ["bf16", "float32"])
def test_a_head_trained_on_a_frozen_body(build: Build, inputs: Callable[..., Any], mode: str) -> None:
    """In evaluation mode, the body's derived weights serve a head that learns."""
    model = build("distilbert", wide=True)
    model.distilbert.requires_grad_(False)
    batch = inputs(model)
    labels = torch.tensor([0, 1, 1])
    model(**batch, labels=labels).loss.backward()
    wanted = model.pre_classifier.weight.grad.clone()
    model.zero_grad()
    model.optimize(mode)(**batch, labels=labels).loss.backward()
    got = model.pre_classifier.weight.grad
    assert float((got - wanted).norm() / wanted.norm()) < (1e-5 if mode == "float32" else 0.2)
    assert model.optimized is not None and not any(p.grad is not None for p in model.distilbert.parameters())


def test_gradients_for_embeddings_given(build: Build) -> None:
    model = build().requires_grad_(False)
    embeds = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    model(inputs_embeds=embeds).logits.sum().backward()
    wanted, embeds.grad = embeds.grad, None
    model.optimize("bf16")(inputs_embeds=embeds).logits.sum().backward()
    assert difference(embeds.grad, wanted) < 1e-5


@pytest.mark.filterwarnings("ignore")  # the tracer's, on sizes that are Python numbers
@pytest.mark.parametrize(
    ("mode", "how"), [("bf16", "compile"), *((mode, how) for mode in MODES for how in ("trace", "export"))]
)
def test_graphs_have_the_models_own_operators(build: Build, mode: str, how: str) -> None:
    model = build("distilbert", wide=True, n_layers=1)
    draw = torch.Generator().manual_seed(0)
    ids, others = (torch.randint(99, (2, n), generator=draw) for n in (7, 7))
    with torch.no_grad():
        expected = model(others).logits
        model.optimize(mode)
        if how == "trace":
            graph = torch.jit.trace(model, (ids,), strict=False)
            got = graph(others)["logits"]
        elif how == "export":
            graph = torch.export.export(model, (ids,)).module()
            got = graph(others).logits
        else:
            torch._dynamo.reset()
            graph = torch.compile(model, backend="eager", fullgraph=True)
            graph(ids)
            got = graph(others).logits
        assert difference(got, expected) < (0.05 if how == "compile" else 1e-5)
        assert model.optimized is not None
        assert difference(model(others).logits, expected) < 0.05
