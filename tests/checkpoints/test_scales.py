"""Weights of 8 bits with scales, and weights that are no floating-point numbers: read, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import formers
from formers.check import check
from formers.convert import convert

EIGHT = torch.float8_e4m3fn
NAME = "bert.encoder.layer.0.intermediate.dense.weight"  # (200, 160): blocks of 128, and the rest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = formers.BertConfig(
        vocab_size=99, hidden_size=160, num_hidden_layers=1, num_attention_heads=2, intermediate_size=200
    )
    formers.BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewritten(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def by_block(weight: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The weight in 8 bits, its scales, and the numbers that it stands for; block by block, as they are defined."""
    rows, columns = -(-weight.shape[0] // block[0]), -(-weight.shape[1] // block[1])
    scales, eight, numbers = torch.empty(rows, columns), torch.empty_like(weight), torch.empty_like(weight)
    for i in range(rows):
        for j in range(columns):
            place = slice(i * block[0], (i + 1) * block[0]), slice(j * block[1], (j + 1) * block[1])
            scales[i, j] = weight[place].abs().max() / 448
            eight[place] = weight[place] / scales[i, j]
            numbers[place] = eight[place].to(EIGHT).float() * scales[i, j]
    return eight.to(EIGHT), scales, numbers


@pytest.mark.parametrize(
    ("ending", "block"),
    [("_scale_inv", (128, 128)), ("_scale", (1, 160)), ("_scale", (200, 160)), ("_scale", (50, 80))],
)
def test_eight_bits_are_multiplied_by_their_scales(
    ending: str, block: tuple[int, int], folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted: dict[str, Tensor] = {}

    def change(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        eight, scales, wanted[NAME] = by_block(weights[NAME], block)
        shape = () if scales.numel() == 1 else scales.shape
        return weights | {NAME: eight, NAME + ending: scales.reshape(shape)}

    rewritten(folder, change)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    model, report = formers.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()) and not caplog.text
    assert torch.equal(model.state_dict()[NAME], wanted[NAME])
    assert "quantization_config" not in model.config.to_dict()
    half = formers.BertModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert torch.equal(half.state_dict()[NAME.removeprefix("bert.")], wanted[NAME].bfloat16())
    given = formers.BertForSequenceClassification.from_pretrained(
        None, config=model.config, state_dict=load_file(folder / "model.safetensors")
    )
    assert torch.equal(given.state_dict()[NAME], wanted[NAME])
    assert all(finding.state != "problem" for finding in check(folder).findings if finding.check != "tokenizer")
    done = convert(folder, tmp_path / "new", dtype="float32")
    assert any("scales" in note for note in done.notes) and not done.left_out
    assert "quantization_config" not in json.loads((tmp_path / "new" / "config.json").read_text())
    assert torch.equal(load_file(tmp_path / "new" / "model.safetensors")[NAME], wanted[NAME])


def test_integers_of_8_bits_are_multiplied_by_their_scales(folder: Path) -> None:
    weight = load_file(folder / "model.safetensors")[NAME]
    scale = weight.abs().amax(1, keepdim=True) / 127
    eight = (weight / scale).round().to(torch.int8)
    rewritten(folder, lambda weights: weights | {NAME: eight, f"{NAME}_scale": scale.bfloat16()})
    model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(model.state_dict()[NAME], eight.float() * scale.bfloat16().float())
    zero = torch.ones(200, 1, dtype=torch.int8)
    rewritten(folder, lambda weights: weights | {f"{NAME}_zero_point": zero})
    with pytest.raises(formers.CheckpointError, match=NAME):
        formers.AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize(
    ("scale", "shape", "said"),
    [("weight_scale_2", (), "weight_scale_2.*not known"), ("weight_scale_inv", (3, 2), r"\(3, 2\).*block of 128")],
)
def test_scales_that_are_not_understood(scale: str, shape: tuple[int, ...], said: str, folder: Path) -> None:
    name = NAME.replace("weight", scale)
    rewritten(folder, lambda weights: weights | {NAME: weights[NAME].to(EIGHT), name: torch.ones(shape)})
    with pytest.raises(formers.CheckpointError, match=rf"(?s){NAME}.*{said}"):
        formers.AutoModel.from_pretrained(folder)
    assert any(finding.state == "problem" and NAME in finding.words for finding in check(folder).findings)


def test_eight_bits_without_scales_are_numbers(folder: Path) -> None:
    rewritten(folder, lambda weights: weights | {NAME: weights[NAME].to(EIGHT)})
    stored = load_file(folder / "model.safetensors")[NAME]
    model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(model.state_dict()[NAME], stored.float())


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers(dtype: torch.dtype, folder: Path, tmp_path: Path) -> None:
    rewritten(folder, lambda weights: weights | {NAME: (weights[NAME] * 1000).to(dtype)})
    said = f"{NAME} is {str(dtype).removeprefix('torch.')}"
    state = load_file(folder / "model.safetensors")
    calls: list[Callable[[], Any]] = [
        lambda: formers.AutoModelForSequenceClassification.from_pretrained(folder),
        lambda: formers.BertForSequenceClassification.from_pretrained(folder, state_dict=state),
        lambda: formers.BertForSequenceClassification.from_pretrained(folder, ignore_mismatched_sizes=True),
        lambda: convert(folder, tmp_path / "new"),
    ]
    for call in calls:
        with pytest.raises(formers.CheckpointError, match=said):
            call()
    (problem,) = [finding for finding in check(folder).findings if finding.check == "shapes"]
    assert problem.state == "problem" and said in problem.words
