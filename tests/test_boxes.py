"""Boxes of tokens: what is wrong with them is said; what all families are tested for is in test_families.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import FAMILIES, batch, difference, pair

import formers
from formers import registry

READERS = [family for family in FAMILIES if "bbox" in registry.load(family).HEADS["base"].inputs()]
IDS = torch.tensor([[1, 5, 7], [1, 6, 2]])


def box(*values: int, packed: bool = True) -> dict[str, Any]:
    """A batch whose second text has that box at its last column."""
    bbox = torch.full((2, 3, 4), 9)
    bbox[1, 2] = torch.tensor(values)
    return {"input_ids": IDS, "bbox": bbox, "attention_mask": torch.tensor([[1, 1, 1], [1, 1 - packed, 1]])}


@pytest.mark.parametrize("family", READERS)
@pytest.mark.parametrize("packed", [True, False])
def test_numbers_out_of_range(family: str, packed: bool) -> None:
    _, ours = pair(family, "base")
    limit = ours.config.max_2d_position_embeddings
    for values in ((-1, 2, 3, 4), (1, 2, limit, 4), (1, -7, 3, 4), (1, 2, 3, 5000)):
        with pytest.raises(IndexError, match=rf"bbox\[1, 2\] is \[{', '.join(map(str, values))}\].*0 to 1000.*width"):
            ours(**box(*values, packed=packed))
    assert ours(**box(1, 2, limit - 1, limit - 1, packed=packed))[0].isfinite().all()


def test_corners_in_the_wrong_order() -> None:
    _, ours = pair("layoutlm", "base")
    with pytest.raises(IndexError, match=r"bbox\[1, 2\] is \[5, 2, 3, 4\].*x0 ≤ x1"):
        ours(**box(5, 2, 3, 4))


@pytest.mark.parametrize("family", READERS)
def test_boxes_of_other_shapes(family: str) -> None:
    _, ours = pair(family, "base")
    for bbox, said in (
        (torch.ones(2, 3, dtype=torch.long), r"\(2, 3\).*\(2, 3, 4\)"),
        (torch.ones(2, 4, 4, dtype=torch.long), r"\(2, 4, 4\).*\(2, 3, 4\)"),
        (torch.ones(2, 3, 4) / 2, r"float32.*thousandths"),
        ([[[1] * 4] * 3] * 2, "bbox is a list"),
    ):
        with pytest.raises(formers.FormersError, match=said):
            ours(input_ids=IDS, bbox=bbox)


@pytest.mark.parametrize("family", READERS)
def test_boxes_that_stand_for_more(family: str) -> None:
    """One row of boxes is for every text; none at all are zeros; those at padding are not read."""
    theirs, ours = pair(family, "base")
    inputs = batch(ours, "base", "right")
    keep, none = inputs["attention_mask"].bool(), {n: v for n, v in inputs.items() if n != "bbox"}
    with torch.no_grad():
        one = ours(**{**inputs, "bbox": inputs["bbox"][:1]})[0]
        same = ours(**{**inputs, "bbox": inputs["bbox"][:1].expand(3, -1, -1)})[0]
        assert difference(one[keep], same[keep]) < 1e-6
        assert difference(ours(**none)[0][keep], theirs(**none)[0][keep]) < 1e-5
        assert difference(ours(**none)[0][keep], ours(**inputs)[0][keep]) > 1e-2
        wild = inputs["bbox"].masked_fill(~keep[..., None], -5)
        assert torch.equal(ours(**{**inputs, "bbox": wild})[0], ours(**inputs)[0])
