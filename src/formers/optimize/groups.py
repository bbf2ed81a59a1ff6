"""Products of a module that has several weights in one tensor, and sorts its rows by which of them they go through.

Letters: E groups, N rows, K inputs, M outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..logging import logger
from .guard import Guard
from .linear import Holders
from .products import Maker, Source
from .stack import Derived


class Groups(Derived):
    """Derived weights, which hang on a module as the attribute `derived`: a product for each group."""

    def __init__(self, module: nn.Module, weights: Mapping[str, Tensor], make: Maker, holders: Holders = ()) -> None:
        self.module, self.guard = module, Guard([module], holders)
        self.resting = False  # while the model's own code is timed beside it
        self.products = {
            name: [make(Source(matrix.detach().float(), None), torch.float32) for matrix in weight]
            for name, weight in weights.items()
        }
        self.bytes = sum(product.bytes for products in self.products.values() for product in products)

    def usable(self, rows: Tensor) -> bool:
        """Whether it may stand in for the weights now. It takes itself away when these have changed."""
        if self.resting or not rows.numel():
            return False
        if not self.guard.unchanged():
            vars(self.module).pop("derived", None)
            logger.warning("The weights have changed since optimize(): back to the model itself. Call it again.")
            return False
        return not (self.module.training or self.guard.learns(rows))

    def __call__(self, name: str, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Rows (N, K) in the order of their groups, of which each has so many, to (N, M)."""
        parts = zip(self.products[name], rows.split(list(counts)), strict=True)
        return torch.cat([product(part) for product, part in parts if len(part)]).to(rows.dtype)


def weights_of(module: Any) -> Mapping[str, Tensor] | None:
    """What `module` declares to be groups of weights, {name: (E, M, K)}; None when it does not."""
    declare = getattr(module, "groups", None)
    ours = type(module).__module__.startswith("formers.")
    return declare() if ours and callable(declare) else None


def groups_of(module: nn.Module) -> Groups | None:
    """The derived state that hangs on `module`, if any."""
    found = vars(module).get("derived")
    return found if isinstance(found, Groups) else None
