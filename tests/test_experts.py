"""Mixtures of experts: what routers say, the loss that it adds to, and files that keep experts apart."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from families import batch, difference, pair
from safetensors.torch import load_file, save_file

import formers
from formers import registry
from formers.experts import Experts
from formers.optimize.groups import Groups, groups_of

SPARSE = ["mixtral", "qwen3_moe"]


@pytest.mark.parametrize("mask", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("family", SPARSE)
def test_router_logits_and_their_loss(family: str, mask: str) -> None:
    theirs, ours = pair(family, "causal-lm")
    theirs.set_attn_implementation("eager")
    inputs = batch(ours, "causal-lm", mask)
    expected, got = (model(**inputs, output_router_logits=True) for model in (theirs, ours))
    real = inputs["attention_mask"].bool().flatten()
    assert list(got) == list(expected) == ["loss", "aux_loss", "logits", "router_logits"]
    for a, b in zip(got.router_logits, expected.router_logits, strict=True):
        assert a.shape == b.shape and difference(a[real], b[real]) < 1e-5
    assert difference(got.aux_loss, expected.aux_loss) < 1e-5 and difference(got.loss, expected.loss) < 1e-5
    expected.loss.backward()
    got.loss.backward()
    wanted = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if ".mlp." in name:
            assert difference(parameter.grad, wanted[name].grad) < 1e-4, name
    plain = ours(**inputs)
    assert plain.router_logits is None and plain.aux_loss is None and plain.loss < got.loss


@pytest.mark.parametrize("family", SPARSE)
def test_the_configuration_asks_too(family: str) -> None:
    theirs, ours = pair(family, "causal-lm", output_router_logits=True)
    inputs = batch(ours, "causal-lm", "right")
    assert difference(ours(**inputs).loss, theirs(**inputs).loss) < 1e-5
    assert ours(**inputs, output_router_logits=False).aux_loss is None
    base = ours.base_model(inputs["input_ids"])
    assert len(base.router_logits) == len([m for m in ours.modules() if isinstance(m, Experts)])
    assert base.router_logits[0].shape == (27, 4)


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_experts_in_turn_and_all_at_once(rows: int) -> None:
    config = formers.MixtralConfig(**registry.load("mixtral").TINY)
    experts = Experts(config)
    for parameter in experts.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    generator = torch.Generator().manual_seed(0)
    x, shares = torch.randn(rows, 32, generator=generator), torch.rand(rows, 4, generator=generator)
    weights, index = shares.topk(2)
    assert difference(experts(x, index, weights), experts._all(x, index, weights)) < 1e-6


@pytest.mark.parametrize("family", SPARSE)
def test_files_that_keep_experts_apart(family: str, tmp_path: Path) -> None:
    """As published ones do, and as the reference saves them."""
    theirs, ours = pair(family, "causal-lm")
    inputs = batch(ours, "causal-lm", "right", labels=False)
    theirs.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors")
    assert [name for name in names if ".experts.3." in name]
    back, report = type(ours).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    with torch.no_grad():
        assert difference(back(**inputs).logits, ours(**inputs).logits) == 0
    lost = next(name for name in names if ".experts.1." in name)
    save_file({name: tensor for name, tensor in names.items() if name != lost}, tmp_path / "model.safetensors")
    with pytest.raises(formers.CheckpointError, match=r"expert 1 of 4 lacks its \w+_proj"):
        type(ours).from_pretrained(tmp_path)
    save_file({**names, lost: names[lost][1:].clone()}, tmp_path / "model.safetensors")
    with pytest.raises(formers.CheckpointError, match="all should be alike"):
        type(ours).from_pretrained(tmp_path)


@pytest.mark.parametrize("change", [{"num_experts_per_tok": 5}, {"num_local_experts": 0}])
def test_more_experts_than_there_are(change: dict[str, Any]) -> None:
    config = formers.MixtralConfig(**{**registry.load("mixtral").TINY, **change})
    with pytest.raises(formers.ConfigError, match=r"num_(local_)?experts"):
        formers.MixtralModel(config)


@pytest.mark.parametrize("mode", ["int8", "float32"])
@pytest.mark.parametrize("family", SPARSE)
def test_experts_of_derived_weights(family: str, mode: str) -> None:
    _, model = pair(family, "causal-lm", use_cache=True)
    ids = torch.randint(3, 99, (2, 9), generator=torch.Generator().manual_seed(0))
    experts = [module for module in model.modules() if isinstance(module, Experts)]
    with torch.inference_mode():
        expected = model(ids).logits
        model.optimize(mode)
        assert all(isinstance(vars(module)["derived"], Groups) for module in experts)
        found = model(ids).logits
        lost = difference(found, expected)
        assert 1e-5 < lost < 0.2 if mode == "int8" else lost < 1e-5
        assert difference(copy.deepcopy(model)(ids).logits, expected) < 1e-6
    model(ids).logits.sum().backward()
    assert experts[0].down_proj.grad is not None
    with torch.no_grad():
        experts[0].down_proj.mul_(0.5)
        assert difference(model(ids).logits, expected) > 1e-3
    assert groups_of(experts[0]) is None
    assert model.optimize(None).optimized is None
    assert not any(groups_of(module) for module in experts)
