"""What TAPAS learns from, and what it refuses; what all families are tested for is in test_families.py."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from families import batch, difference, pair

import formers
from formers import registry
from formers.errors import ConfigError, InputError

HEAD = "table-question-answering"
WEAK = {
    "use_answer_as_supervision": True,
    "cell_selection_preference": 0.7,
    "answer_loss_importance": 0.3,
    "aggregation_loss_weight": 1.7,
    "huber_loss_delta": 3.0,
}


def losses(changes: dict[str, Any]) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """Outputs of the reference and of ours, with gradients, and the inputs."""
    theirs, ours = pair("tapas", HEAD, **changes)
    inputs = batch(ours, HEAD, "right")
    inputs["numeric_values"][0, 2] = float("nan")
    if not ours.config.select_one_column:  # the reference reads no other labels there
        inputs["labels"] = inputs["labels"].float()
    torch.manual_seed(0)
    expected = theirs(**inputs)
    torch.manual_seed(0)
    got = ours(**inputs)
    expected.loss.backward()
    got.loss.backward()
    return (theirs, expected), (ours, got), inputs


def compare(changes: dict[str, Any]) -> None:
    (theirs, expected), (ours, got), _ = losses(changes)
    selected = expected.logits > -5000
    assert selected.any() and torch.equal(selected, got.logits > -5000)
    assert difference(got.logits[selected], expected.logits[selected]) < 1e-5
    assert difference(got.loss, expected.loss) < 1e-5
    others = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if others[name].grad is None or others[name].grad.abs().max() < 1e-5:
            assert parameter.grad is None or parameter.grad.abs().max() < 1e-5, name
        else:
            assert difference(parameter.grad, others[name].grad) < 1e-4, name


@pytest.mark.parametrize(
    ("average", "relative", "cutoff"), [*product(("ratio", "first_order", "second_order"), (True, False), (None, 5.0))]
)
def test_learning_from_answers(average: str, relative: bool, cutoff: float | None) -> None:
    own = {"average_approximation_function": average, "use_normalized_answer_loss": relative}
    compare({**WEAK, **own, "answer_loss_cutoff": cutoff})


@pytest.mark.parametrize(
    "changes",
    [
        {"average_logits_per_cell": True},
        {"disable_per_token_loss": True},
        {"select_one_column": False, "positive_label_weight": 4.0},
        {"select_one_column": False, "average_logits_per_cell": True},
        {"use_gumbel_for_cells": True, "temperature": 0.6},
        {"use_gumbel_for_aggregation": True, "aggregation_temperature": 0.8},
        {"cell_selection_preference": 0.0},
    ],
)
def test_ways_of_learning(changes: dict[str, Any]) -> None:
    compare({**WEAK, **changes})


@pytest.mark.parametrize("changes", [{}, {"select_one_column": False}])
def test_learning_from_cells(changes: dict[str, Any]) -> None:
    compare(changes)


def test_every_column_may_answer() -> None:
    """Without labels, where the reference has an error."""
    _, ours = pair("tapas", HEAD, select_one_column=False)
    inputs = batch(ours, HEAD, "right")
    expected = ours(**inputs).logits
    plain = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert torch.equal(ours(**plain).logits, expected) and (expected > -5000).all()


@pytest.mark.parametrize(
    ("changes", "without", "error", "message"),
    [
        ({}, "aggregation_labels", InputError, "needs aggregation_labels"),
        (WEAK, "float_answer", InputError, "needs float_answer"),
        ({**WEAK, "huber_loss_delta": None}, None, ConfigError, "huber_loss_delta=None"),
        ({**WEAK, "average_approximation_function": "mean"}, None, ConfigError, "'mean'.*ratio, first_order"),
    ],
)
def test_what_is_missing(changes: dict[str, Any], without: str | None, error: type[Exception], message: str) -> None:
    _, ours = pair("tapas", HEAD, **changes)
    inputs = {name: value for name, value in batch(ours, HEAD, "right").items() if name != without}
    with pytest.raises(error, match=message):
        ours(**inputs)


def test_types_and_labels_of_other_shapes() -> None:
    _, ours = pair("tapas", HEAD)
    inputs = batch(ours, HEAD, "right")
    with pytest.raises(InputError, match=r"token_type_ids has shape \(3, 9\).*\(3, 9, 7\)"):
        ours(**{**inputs, "token_type_ids": inputs["token_type_ids"][..., 0]})
    with pytest.raises(InputError, match=r"labels has shape \(3, 8\)"):
        ours(**{**inputs, "labels": inputs["labels"][:, 1:]})
    inputs["token_type_ids"][1, 3, 4] = 6
    with pytest.raises(IndexError, match=r"token_type_ids\[…, 4\]\[1, 3\] is 6, but type_vocab_sizes\[4\] is 6"):
        ours(**inputs)


def test_weights_of_cells_start_at_zero() -> None:
    tiny = registry.load("tapas").TINY
    zero, drawn = (
        formers.TapasForQuestionAnswering(formers.TapasConfig(**tiny, init_cell_selection_weights_to_zero=zero))
        for zero in (True, False)
    )
    assert not zero.output_weights.any() and not zero.column_output_weights.any() and not drawn.output_bias
    assert drawn.output_weights.std() > 0 and drawn.column_output_weights.std() > 0


def test_aggregation_labels_have_numbers(tmp_path: Any) -> None:
    labels = {0: "NONE", 1: "SUM"}
    formers.TapasConfig(aggregation_labels=labels).save_pretrained(tmp_path)
    assert formers.AutoConfig.from_pretrained(tmp_path).aggregation_labels == labels
