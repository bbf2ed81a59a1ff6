"""Single linear layers computed from derived weights: those of heads, outside of any stack."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..ops.layout import is_tracing
from .guard import Guard
from .products import Product

Holders = Iterable[tuple[dict[str, Any], str]]


class DerivedLinear:
    """What stands in for the `forward` of one layer; it takes itself away when the layer's weights have changed."""

    def __init__(self, layer: nn.Linear, product: Product, holders: Holders) -> None:
        self.layer, self.product, self.bytes = layer, product, product.bytes
        self.guard = Guard([layer], holders)
        self.resting = False  # while the model's own code is timed beside it

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        if is_tracing() or self.resting:
            return nn.Linear.forward(layer, x)
        if not self.guard.unchanged():
            drop(layer)
        elif not (layer.training or self.guard.learns(x)):
            rows = self.product(x.reshape(-1, layer.in_features))
            return rows.view(*x.shape[:-1], layer.out_features).to(x.dtype)
        return nn.Linear.forward(layer, x)

    # copies of the layer, and what is pickled of it, have the layer's own forward

    def __deepcopy__(self, memo: dict[int, Any]) -> Own:
        return Own(nn.Linear.forward, memo[id(self.layer)])

    def __reduce__(self) -> tuple[Any, ...]:
        return Own, (nn.Linear.forward, self.layer)


class Own(partial[Tensor]):
    """A layer's own `forward`, as copies have it where one was derived."""


def derive(layer: nn.Linear, product: Product, holders: Holders = ()) -> None:
    """Let `product` stand in for the layer's own, as long as `holders` (see `Guard`) have the layer."""
    vars(layer)["forward"] = DerivedLinear(layer, product, holders)


def linear_of(layer: nn.Module) -> DerivedLinear | None:
    """What stands in for the layer's own product, if anything."""
    found = vars(layer).get("forward")
    return found if isinstance(found, DerivedLinear) else None


def drop(layer: nn.Module) -> None:
    """Take a layer's derived state away, and what a copy has of it."""
    if "forward" in vars(layer) and not replaced(layer):
        del layer.forward


def replaced(module: nn.Module) -> bool:
    """Whether somebody has put another `forward` in the place of the module's own."""
    found = vars(module).get("forward")
    return found is not None and not isinstance(found, DerivedLinear | Own)
