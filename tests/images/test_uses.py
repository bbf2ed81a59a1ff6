"""What people do with models of pictures beside calling them: copies, shorter numbers, hooks, parts, training."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from families import IMAGES, difference, redraw

import formers
from formers import registry
from formers.checkpoints.names import torch_names
from formers.errors import ConfigError, FormersError, InputError
from images.test_towers import loss_of, no_dropping
from images.towers import batch, config_of, flat, pixels

LAYERED = ("vit", "deit", "dinov2", "dinov2_with_registers", "beit")  # whose layers are one stack
IN_ROWS = (*LAYERED, "swin")
ALONE = (*IN_ROWS, "convnext", "resnet")


def first_head(family: str) -> str:
    """The head that a family names first."""
    return next(iter(registry.load(family).HEADS))


def made(family: str, head: str | None = None, **changes: Any) -> Any:
    """A model with weights at std 0.2."""
    head = head or first_head(family)
    torch.manual_seed(0)
    model = registry.load(family).HEADS[head](config_of(family, head, **changes)).eval()
    redraw(model, fixed=False)
    return model


@pytest.mark.parametrize("family", IMAGES)
def test_copies(family: str) -> None:
    model = made(family)
    inputs = batch(model, first_head(family), labels=False)
    with torch.no_grad():
        expected = flat(model(**inputs))
        other = copy.deepcopy(model)
        for parameter in model.parameters():
            parameter.zero_()
        for name, value in flat(other(**inputs)).items():
            assert torch.equal(value, expected[name]), name
    assert not {id(p) for p in model.parameters()} & {id(p) for p in other.parameters()}


@pytest.mark.parametrize("family", ALONE)
def test_half_precision(family: str, tmp_path: Path) -> None:
    """What bfloat16 computes is near, and a file of it loads in it or in float32."""
    model = made(family, "image-classification")
    images = pixels(model)
    with torch.no_grad():
        expected = model(images).logits
        half = copy.deepcopy(model).bfloat16()
        got = half(images).logits  # pictures come in float32
        assert got.dtype == torch.bfloat16
        assert float(torch.cosine_similarity(got.float().flatten(), expected.flatten(), 0)) > 0.98
        half.save_pretrained(tmp_path)
        again = type(model).from_pretrained(tmp_path, dtype="auto")
        assert again.dtype == torch.bfloat16 and torch.equal(again(images).logits, got)
        assert type(model).from_pretrained(tmp_path, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("family", IN_ROWS)
def test_hooks_see_batches_of_rows(family: str) -> None:
    model = made(family, "image-classification")
    body, seen, images = model.base_model, [], pixels(model, 3)
    layers = [m for m in body.modules() if type(m).__name__.endswith("Layer") and hasattr(m, "attention")]
    for module in (*layers, *(layer.attention for layer in layers)):
        module.register_forward_hook(lambda _, args, out: seen.append((args[0].shape, out[0].shape)))
    with torch.no_grad():
        expected = model(images).logits
    assert layers and len(seen) == 2 * len(layers)
    assert all(given == got and len(given) == 3 and given[0] == 3 for given, got in seen)
    layers[0].register_forward_hook(lambda _, args, out: (out[0] * 0, *out[1:]))
    with torch.no_grad():
        assert difference(model(images).logits, expected) > 1e-3


@pytest.mark.parametrize("family", ALONE)
def test_gradient_checkpointing(family: str) -> None:
    found = []
    for checkpointing in (False, True):
        model = made(family, "image-classification").train()
        no_dropping(model)
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        loss_of(family, model, batch(model, "image-classification")).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() and found[0]
    for name, gradient in found[0].items():
        assert difference(found[1][name], gradient) < 1e-5, name


@pytest.mark.parametrize("family", LAYERED)
def test_parts_by_hand(family: str) -> None:
    model = made(family, "base")
    images = pixels(model)
    with torch.no_grad():
        expected = model(images, output_hidden_states=True).hidden_states
        rows = model.embeddings(images)
        assert torch.equal(rows, expected[0])
        for layer, after in zip(model.encoder.layer, expected[1:], strict=True):
            found = layer(rows)
            rows = found[0]
            assert isinstance(found, tuple) and difference(rows, after) < 1e-6
        whole = model.encoder(expected[0], output_hidden_states=True)
        assert difference(whole.hidden_states[-1], expected[-1]) < 1e-6
        assert layer(rows, output_attentions=True)[1].shape[-1] == rows.shape[1]


def test_parts_of_swin_by_hand() -> None:
    model = made("swin", "base")
    images = pixels(model)
    with torch.no_grad():
        expected = model(images, output_hidden_states=True)
        rows, grid = model.embeddings(images)
        assert torch.equal(rows, expected.hidden_states[0]) and grid == (6, 6)
        whole = model.encoder(rows, grid, output_hidden_states=True)
        assert difference(whole.hidden_states[-1], expected.hidden_states[-1]) < 1e-6
        stage = model.encoder.layers[0]
        after, before, dimensions = stage(rows, grid)
        assert dimensions == (6, 6, 3, 3) and difference(after, expected.hidden_states[1]) < 1e-6
        again = stage.blocks[1](stage.blocks[0](rows, grid)[0], grid)[0]
        assert difference(again, before) < 1e-6
        early = model(images, output_hidden_states=True, output_hidden_states_before_downsampling=True)
        assert difference(early.reshaped_hidden_states[1].flatten(2).transpose(1, 2), before) < 1e-6
        windows = torch.randn(5, 9, 16)
        context, weights = stage.blocks[0].attention(windows, output_attentions=True)
        assert context.shape == windows.shape and weights.shape == (5, 2, 9, 9)
        with pytest.raises(InputError, match="windows of 3 x 3"):
            stage.blocks[0].attention(torch.randn(5, 8, 16))
        with pytest.raises(InputError, match="input_dimensions"):
            stage(rows, (5, 6))


def test_learning_after_inference() -> None:
    """What is kept between passes is no tensor of inference mode, which gradients could not pass."""
    for family, side in (("beit", 40), ("swin", 28)):
        model = made(family, "image-classification", image_size=side)
        with torch.inference_mode():
            model(pixels(model))
        model.train()(**batch(model, "image-classification")).loss.backward()
        assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("family", LAYERED)
def test_pruned_heads(family: str, tmp_path: Path) -> None:
    """As if the heads' weights to the output were zeros; pruned files load."""
    model, heads = made(family, "image-classification"), {0: [1, 3], 1: [0]}
    images, layers = pixels(model), model.base_model.encoder.layer
    silent = copy.deepcopy(model)
    for i, gone in heads.items():
        attention = silent.base_model.encoder.layer[i].attention
        width = attention.output.dense.in_features // 4
        for head in gone:
            attention.output.dense.weight.data[:, head * width : (head + 1) * width] = 0
    with torch.no_grad():
        expected = silent(images).logits
        model.prune_heads(heads)
        assert layers[0].attention.output.dense.in_features == 2 * width
        assert difference(model(images).logits, expected) < 1e-5
        model.save_pretrained(tmp_path)
        again = type(model).from_pretrained(tmp_path)
        assert difference(again(images).logits, expected) < 1e-5


def test_heads_that_cannot_be_pruned() -> None:
    for family, changes in (("beit", {"use_shared_relative_position_bias": True}), ("swin", {})):
        with pytest.raises(InputError, match="no heads that can be pruned"):
            made(family, "image-classification", **changes).prune_heads({0: [1]})


@pytest.mark.parametrize("family", ALONE)
def test_other_labels(family: str, tmp_path: Path) -> None:
    model = made(family, "image-classification")
    model.save_pretrained(tmp_path)
    cls, images = type(model), pixels(model)
    with pytest.raises((FormersError, RuntimeError), match="ignore_mismatched_sizes"):
        cls.from_pretrained(tmp_path, num_labels=7)
    other, report = cls.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True, output_loading_info=True)
    assert other(images).logits.shape == (2, 7) and report["mismatched_keys"]
    with torch.no_grad():
        assert difference(other.base_model(images)[0], model.base_model(images)[0]) < 1e-6


@pytest.mark.parametrize("family", ALONE)
def test_a_step_of_training(family: str, tmp_path: Path) -> None:
    model = made(family, "image-classification")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    images = pixels(model, 4)
    examples = [{"pixel_values": x, "labels": i % 3} for i, x in enumerate(images)]
    options = formers.TrainingArguments(str(tmp_path), max_steps=1, per_device_train_batch_size=4, report_to="none")
    formers.Trainer(model=model, args=options, train_dataset=examples).train()
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())


WRONG = [
    ("vit", {"hidden_size": 30}, "no multiple"),
    ("beit", {"hidden_size": 30}, "no multiple"),
    ("swin", {"num_heads": [3, 4]}, "no multiple"),
    ("swin", {"num_heads": [2]}, "for every stage"),
    ("vit", {"image_size": "large"}, "one number of pixels"),
    ("dinov2", {"image_size": [24, 24, 24]}, "one number of pixels"),
    ("deit", {"patch_size": 0}, "one number of pixels"),
    ("vit", {"patch_size": 48}, "less than patch_size"),
    ("beit", {"patch_size": 48}, "less than patch_size"),
    ("swin", {"patch_size": 48}, "less than patch_size"),
    ("swin", {"window_size": 0}, "window_size"),
]


@pytest.mark.parametrize(("family", "changes", "message"), WRONG, ids=str)
def test_configurations_of_no_model(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(family, "image-classification", **changes)


def renamed(name: str, keras: bool) -> str:
    """What Keras, or else Flax, calls a weight of a model of pictures."""
    body, *parts = name.split(".")
    last = parts.pop()
    norm = "norm" in parts[-1] if parts else False
    if last == "bias":
        last = "beta" if norm and keras else "bias"
    elif last == "weight":
        last = ("gamma" if keras else "scale") if norm else "kernel"
    path = "/".join([body, *parts, last])
    if keras:
        path = re.sub(r"encoder/layer/(\d+)/", r"encoder/layer_._\1/", path)
        path = re.sub(r"/(stages|layers|downsampling_layer)/(\d+)", r"/\1.\2", path)
        return re.sub(r"(downsampling_layer\.0)/(kernel|bias)$", _as_norm, path) + ":0"
    return path


def _as_norm(found: re.Match[str]) -> str:
    return f"{found[1]}/{'gamma' if found[2] == 'kernel' else 'beta'}"  # a stage becomes smaller after a norm


def turned(name: str, weight: torch.Tensor) -> torch.Tensor:
    """The weight as these frameworks keep it: of a kernel the output is last."""
    orders = {2: (1, 0), 4: (2, 3, 1, 0)}
    return weight.permute(*orders[weight.dim()]) if name.removesuffix(":0").endswith("/kernel") else weight


@pytest.mark.parametrize(("family", "keras"), [("vit", True), ("vit", False), ("deit", True), ("convnext", True)])
def test_names_of_other_frameworks(family: str, keras: bool) -> None:
    model = made(family, "base")
    prefix, own = model.base_model_prefix, model.state_dict()
    names = {name: renamed(f"{prefix}.{name}", keras) for name in own}
    found = torch_names({other: turned(other, own[name]) for name, other in names.items()})
    assert found.keys() == {f"{prefix}.{name}" for name in own}
    for name, weight in own.items():
        assert torch.equal(found[f"{prefix}.{name}"], weight), name


@pytest.mark.parametrize("family", ["convnext", "resnet", "swin", "beit", "dinov2"])
def test_backbones_of_files_with_another_head(family: str, tmp_path: Path) -> None:
    model = made(family, "image-classification")
    model.save_pretrained(tmp_path)
    more = {"add_fpn": True} if family == "beit" else {}
    backbone = formers.AutoBackbone.from_pretrained(tmp_path, **more)
    own = backbone.state_dict()
    kept = [name for name in model.base_model.state_dict() if name in own]
    assert len(kept) > 10
    for name in kept:
        assert torch.equal(own[name], model.base_model.state_dict()[name]), name
    with torch.no_grad():
        assert all(torch.isfinite(x).all() for x in backbone(pixels(model)).feature_maps)
