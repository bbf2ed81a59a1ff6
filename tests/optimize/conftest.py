"""Small models, and their inputs, for all tests of `optimize()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import batch, pair

# wide enough for the linear layers outside of the stack to have derived weights of their own
WIDE = {
    "bert": {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 272, "vocab_size": 300},
    "distilbert": {"dim": 256, "n_heads": 4, "hidden_dim": 272, "vocab_size": 300},
}


@pytest.fixture
def build() -> Callable[..., Any]:
    """(family, head, wide, **configuration) to a small model with weights at std 0.2, in eval mode."""

    def build(family: str = "bert", head: str = "sequence-classification", wide: bool = False, **changes: Any) -> Any:
        model = pair(family, head, **{**(WIDE[family] if wide else {}), **changes})[1]
        if wide:  # keep what goes through the layers as large as it is in a narrow model
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.dim() == 2 and "embeddings" not in name:
                        parameter.mul_(0.35)
        return model

    return build


@pytest.fixture
def inputs() -> Callable[..., dict[str, torch.Tensor]]:
    """(model, head, mask) to a batch without labels."""

    def inputs(model: Any, head: str = "sequence-classification", mask: str = "right") -> dict[str, torch.Tensor]:
        return batch(model, head, mask, labels=False)

    return inputs
