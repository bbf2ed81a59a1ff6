"""Activation modules by the names that `hidden_act` has in configurations.

They are modules, not functions, since users hook them and print them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError, near


class GELUActivation(nn.Module):
    """x · Φ(x). Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x)


class NewGELUActivation(nn.Module):
    """GELU by its tanh approximation, as in the GPT-2 and google-research/bert code."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")


class QuickGELUActivation(nn.Module):
    """x · sigmoid(1.702 x), the sigmoid approximation of the GELU paper."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ReLUSquaredActivation(nn.Module):
    """relu(x)². Source: So et al. 2021 (arXiv 2109.08668)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": GELUActivation,
    "gelu_new": NewGELUActivation,
    "gelu_fast": NewGELUActivation,
    "gelu_python": GELUActivation,
    "gelu_pytorch_tanh": NewGELUActivation,
    "gelu_accurate": NewGELUActivation,
    "quick_gelu": QuickGELUActivation,
    "relu": nn.ReLU,
    "relu2": ReLUSquaredActivation,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "mish": nn.Mish,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
    "prelu": nn.PReLU,
}


def activation(name: str, key: str = "hidden_act") -> nn.Module:
    """The activation called `name`; `key` is the configuration key that an error names."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        known = ", ".join(sorted(ACTIVATIONS))
        raise ConfigError(f"{key}={name!r} is no activation.{near(name, ACTIVATIONS)} Known: {known}.")
    return ACTIVATIONS[name]()


# classes of torch that sentence-transformers names in its files
_TORCH: dict[str, Callable[[], nn.Module]] = {
    "Identity": nn.Identity,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
}


def torch_activation(path: str, key: str) -> nn.Module:
    """The activation that a class of torch is, one of a few: "torch.nn.modules.linear.Identity", or "Identity".

    Nothing is imported by that name; `key` is what an error names. Raises ConfigError for any other.
    """
    package, _, name = str(path).rpartition(".")
    if name not in _TORCH or package.split(".")[0] not in ("", "torch"):
        raise ConfigError(f"{key}={path!r} is not known.{near(name, _TORCH)} It is one of torch's {', '.join(_TORCH)}.")
    return _TORCH[name]()
