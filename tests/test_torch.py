"""Models inside torch: training, number types, devices, hooks, copies, compilers and transforms."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CASES, FAMILIES, batch, difference, first_layer, having, pair, rates
from of_families import facts

import formers
from formers import registry


def without(family: str) -> dict[str, float]:
    return dict.fromkeys(rates(family), 0.0)


@pytest.mark.parametrize(("family", "rate"), [(f, rate) for f in FAMILIES for rate in facts(f).rates])
def test_dropout_is_for_training(family: str, rate: str) -> None:
    _, ours = pair(family, "base", **without(family) | {rate: 0.5})
    inputs = batch(ours, "base", "right")
    for module in (ours, *ours.children()):
        assert not module.training
    assert torch.equal(ours(**inputs)[0], ours(**inputs)[0])
    ours.train()
    assert difference(ours(**inputs)[0], ours(**inputs)[0]) > 0.01
    states = ours(**inputs, output_hidden_states=True).hidden_states
    torch.manual_seed(0)
    first = ours(**inputs)[0]
    torch.manual_seed(0)
    assert torch.equal(ours(**inputs)[0], first) and not states[0][inputs["attention_mask"] == 0].any()


@pytest.mark.parametrize(("family", "rate"), [(f, rate) for f in FAMILIES if (rate := facts(f).head_rate)])
def test_dropout_of_the_head(family: str, rate: str) -> None:
    _, ours = pair(family, "sequence-classification", **without(family) | {rate: 0.5})
    inputs = batch(ours, "sequence-classification", "right")
    assert difference(ours.train()(**inputs).logits, ours.eval()(**inputs).logits) > 0.01


@pytest.mark.brief(lambda head, **_: head == "base")
@pytest.mark.parametrize(("family", "head"), CASES)
def test_gradient_checkpointing_changes_no_gradient(family: str, head: str) -> None:
    _, ours = pair(family, head, **dict.fromkeys(rates(family), 0.2))
    inputs = batch(ours, head, "right")

    def gradients() -> dict[str, torch.Tensor]:
        ours.zero_grad()
        torch.manual_seed(0)
        ours.train()(**inputs, output_hidden_states=True)[0].sum().backward()
        return {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}

    runs: list[int] = []
    handle = first_layer(ours).register_forward_pre_hook(lambda *_: runs.append(1))
    expected = gradients()
    once = len(runs)
    assert once and not ours.is_gradient_checkpointing
    ours.gradient_checkpointing_enable()
    assert ours.is_gradient_checkpointing
    got = gradients()
    assert len(runs) == 3 * once, "the layer has to run again in the backward pass"
    handle.remove()
    assert got.keys() == expected.keys() and all(difference(got[n], expected[n]) < 1e-5 for n in got)
    ours.gradient_checkpointing_disable()
    assert not ours.is_gradient_checkpointing
    ours.gradient_checkpointing_enable({"use_reentrant": False})


@pytest.mark.brief(lambda head, **_: head == "sequence-classification")
@pytest.mark.parametrize(("family", "head"), [c for c in CASES if c[1] != "base"])
def test_training_lowers_the_loss(family: str, head: str) -> None:
    torch.manual_seed(0)
    _, ours = pair(family, head)
    ours.init_weights()
    inputs = batch(ours, head, "right")
    if head == "question-answering":
        inputs |= {"start_positions": torch.tensor([1, 2, 0]), "end_positions": torch.tensor([3, 4, 1])}
    if head == "multiple-choice":  # the third question has the choices of the first, swapped
        inputs["labels"] = torch.tensor([0, 0, 1])
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-2)
    ours.train()
    losses = []
    for _ in range(40):
        loss = ours(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert sum(losses[-12:]) / 12 < 0.7 * sum(losses[:3]) / 3  # several, since dropout makes each of them jump


@pytest.mark.brief(lambda family, head, dtype: head == "base" or family == "bert")
@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_number_types(family: str, head: str, dtype: torch.dtype) -> None:
    _, ours = pair(family, head)
    inputs = batch(ours, head, "right")
    with torch.no_grad():
        expected = ours(**inputs)
        got = ours.to(dtype)(**inputs)
    assert ours.dtype == dtype and got[1 if head != "base" else 0].dtype == dtype
    limit = {torch.bfloat16: 0.06, torch.float16: 0.01, torch.float64: 1e-5}[dtype]
    for name in got:
        # of two columns of a table that are about as likely, rounding may choose the other
        if name == "logits" and head == "table-question-answering" and dtype == torch.bfloat16:
            continue
        assert difference(got[name], expected[name]) < limit, name


@pytest.mark.brief(lambda mask, **_: mask == "right")
@pytest.mark.parametrize("family", having("sequence-classification"))
@pytest.mark.parametrize("mask", ["none", "right", "left"])
def test_autocast(family: str, mask: str) -> None:
    _, ours = pair(family, "sequence-classification", **without(family))
    inputs = batch(ours, "sequence-classification", mask)
    expected = ours(**inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = ours.train()(**inputs, output_hidden_states=True)
    got.loss.backward()
    assert difference(got.logits, expected.logits) < 0.1
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in ours.parameters())


@pytest.mark.parametrize("name", ["float16", "bfloat16", torch.bfloat16, "torch.float64"])
def test_made_with_a_dtype(name: Any) -> None:
    config = formers.BertConfig(**registry.load("bert").TINY)
    wanted = getattr(torch, str(name).removeprefix("torch."))
    for keyword in ("dtype", "torch_dtype"):
        model = formers.AutoModel.from_config(config, **{keyword: name})
        assert model.dtype == wanted and {p.dtype for p in model.parameters()} == {wanted}
    assert formers.AutoModel.from_config(config).dtype == torch.float32


def test_kernels_agree() -> None:
    for head in ("base", "causal-lm"):
        _, sdpa = pair("bert", head)
        _, eager = pair("bert", head, attn_implementation="eager")
        assert (sdpa.config._attn_implementation, eager.config._attn_implementation) == ("sdpa", "eager")
        inputs = batch(sdpa, head, "right")
        expected = eager(**inputs)[0]
        assert difference(sdpa(**inputs)[0], expected) < 1e-5
        sdpa.set_attn_implementation("eager")
        assert torch.equal(sdpa(**inputs)[0], expected)
    with pytest.raises(ValueError, match="sdpa, eager"):
        formers.BertModel(formers.BertConfig(attn_implementation="flash"))


@pytest.mark.shared
@pytest.mark.parametrize("family", having("sequence-classification"))
def test_inference_mode_and_frozen_models(family: str) -> None:
    _, ours = pair(family, "sequence-classification")
    inputs = batch(ours, "sequence-classification", "right")
    expected = ours(**inputs).logits
    with torch.inference_mode():  # where a bias needs no gradient, torch takes another kernel
        assert difference(ours(**inputs).logits, expected) < 1e-6
    assert difference(ours.requires_grad_(False)(**inputs).logits, expected) < 1e-6


@pytest.mark.shared
@pytest.mark.parametrize("family", having("sequence-classification"))
def test_input_gradients_for_adapters(family: str) -> None:
    _, ours = pair(family, "sequence-classification")
    ours.requires_grad_(False)
    inputs = batch(ours, "sequence-classification", "right")
    assert not ours(**inputs).loss.requires_grad
    ours.enable_input_require_grads()
    assert ours(**inputs).loss.requires_grad
    ours.disable_input_require_grads()
    assert not ours(**inputs).loss.requires_grad


@pytest.mark.parametrize("family", FAMILIES)
def test_hooks_see_whole_batches_and_may_change_them(family: str) -> None:
    _, ours = pair(family, "base", **facts(family).between)
    inputs = batch(ours, "base", "right")
    expected = ours(**inputs)[0]
    layer = first_layer(ours)
    seen: list[Any] = []

    def forward(_: Any, args: Any, out: Any) -> None:
        seen.append((args[0].shape, type(out), out[0].shape))

    handle = layer.register_forward_hook(forward)
    ours(**inputs)
    handle.remove()
    assert seen and set(seen) == {((3, 9, 32), tuple, (3, 9, 32))}  # a tuple, as in 4.20
    seen.clear()
    handle = layer.register_forward_hook(lambda _, __, out: (out[0] * 0 + 1, *out[1:]))
    states = ours(**inputs, output_hidden_states=True).hidden_states
    handle.remove()
    assert bool((states[1] == 1).all())
    handle = layer.register_full_backward_hook(lambda _, gin, gout: seen.append(gout[0].shape))
    ours(**inputs)[0].sum().backward()
    handle.remove()
    assert seen[-1] == (3, 9, 32)
    whole = len(seen)
    handle = torch.nn.modules.module.register_module_forward_hook(lambda m, _, out: seen.append((m, out)))
    ours(**inputs)
    handle.remove()
    norms = [out.shape for m, out in seen[whole:] if type(m).__name__.endswith("Norm") and out.dim() == 3]
    assert norms and {tuple(shape[:2]) for shape in norms} == {(3, 9)}, "a hook on all modules sees whole batches too"
    assert torch.equal(ours(**inputs)[0], expected)


@pytest.mark.shared
@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies(family: str, head: str, copied: Any) -> None:
    _, ours = pair(family, head)
    inputs = batch(ours, head, "right")
    other = copied(ours)
    # kernels round by the alignment of what they read
    assert difference(other(**inputs)[0], ours(**inputs)[0]) < 1e-6 and other.config == ours.config
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in other.state_dict().items())
    assert other.config is not ours.config
    if other.get_output_embeddings() is not None:
        tied = other.get_output_embeddings().weight is other.get_input_embeddings().weight
        assert tied == other.config.tie_word_embeddings
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert not torch.equal(next(other.parameters()), next(ours.parameters()))


def test_whole_models_and_state_dicts_through_torch_save(tmp_path: Path) -> None:
    _, ours = pair("bert", "masked-lm")
    inputs = batch(ours, "masked-lm", "right")
    torch.save(ours, tmp_path / "model.pt")
    whole = torch.load(tmp_path / "model.pt", weights_only=False)
    assert difference(whole(**inputs)[0], ours(**inputs)[0]) < 1e-6
    torch.save(ours.state_dict(), tmp_path / "weights.pt")
    fresh = type(ours)(ours.config).eval()
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert difference(fresh(**inputs)[0], ours(**inputs)[0]) < 1e-6


COMPILED = [("bert", "base"), ("bert", "causal-lm"), ("distilbert", "sequence-classification")]
ONE_LAYER = {"bert": {"num_hidden_layers": 1}, "distilbert": {"n_layers": 1}}


def compared(model: Any, other: Any, head: str, masks: tuple[str, ...], tolerance: float = 1e-5) -> None:
    for mask in masks:
        inputs = batch(model, head, mask, labels=False)
        with torch.no_grad():
            expected, got = model(**inputs)[0], other(**inputs)[0]
        seen = inputs["attention_mask"].bool() if expected.dim() == 3 else slice(None)
        assert difference(got[seen], expected[seen]) < tolerance, mask


@pytest.mark.parametrize(("family", "head"), COMPILED)
def test_compile(family: str, head: str) -> None:
    _, ours = pair(family, head, **ONE_LAYER[family])
    torch._dynamo.reset()
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    compared(ours, compiled, head, ("right", "none", "holes"))


def test_compiled_training() -> None:
    _, ours = pair("bert", "sequence-classification", num_hidden_layers=1, **without("bert"))
    inputs = batch(ours, "sequence-classification", "right")
    ours(**inputs).loss.backward()
    expected = {n: p.grad.clone() for n, p in ours.named_parameters()}
    ours.zero_grad()
    torch._dynamo.reset()
    torch.compile(ours, backend="aot_eager")(**inputs).loss.backward()
    # of the largest gradient: that of a key's bias is a sum of what cancels out
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert all(float((p.grad - expected[n]).abs().max()) < 1e-5 * largest for n, p in ours.named_parameters())


@pytest.mark.parametrize(("family", "head"), COMPILED)
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_trace(family: str, head: str) -> None:
    _, ours = pair(family, head, **ONE_LAYER[family])
    inputs = batch(ours, head, "right", labels=False)
    ours.config.return_dict = False
    names = list(inputs)
    traced = torch.jit.trace(ours, tuple(inputs.values()), strict=False, check_trace=False)
    for mask in ("right", "none", "holes"):
        other = batch(ours, head, mask, labels=False)
        expected, got = ours(**other)[0], traced(*(other[n] for n in names))[0]
        seen = other["attention_mask"].bool() if expected.dim() == 3 else slice(None)
        assert difference(got[seen], expected[seen]) < 1e-5, mask


@pytest.mark.parametrize(("family", "head"), COMPILED)
def test_export(family: str, head: str) -> None:
    _, ours = pair(family, head, **ONE_LAYER[family])
    inputs = batch(ours, head, "right", labels=False)
    B, T = torch.export.Dim("B", min=1, max=64), torch.export.Dim("T", min=2, max=40)
    program = torch.export.export(ours, (), inputs, dynamic_shapes={k: {0: B, 1: T} for k in inputs})
    compared(ours, program.module(), head, ("right", "none", "holes"))
    wide = {k: torch.cat([v, v], 1) for k, v in batch(ours, head, "none", labels=False).items()}
    assert difference(program.module()(**wide)[0], ours(**wide)[0]) < 1e-5


@pytest.mark.parametrize("family", having("sequence-classification"))
def test_function_transforms(family: str) -> None:
    _, ours = pair(family, "sequence-classification")
    inputs = batch(ours, "sequence-classification", "none", labels=False)
    embeds = ours.get_input_embeddings()(inputs["input_ids"]).detach()
    weights = {n: p.detach() for n, p in ours.named_parameters()}

    def loss(weights: Any, embeds: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(ours, weights, (), {"inputs_embeds": embeds[None]}).logits[0, 0]

    per_example = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, embeds)
    ours(inputs_embeds=embeds[1:2]).logits[0, 0].backward()
    for name, parameter in ours.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(per_example[name][1], parameter.grad, rtol=1e-4, atol=1e-6), name
