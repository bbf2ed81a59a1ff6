"""The linear layer of GPT and GPT-2. Letters: D inputs, F outputs."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn


class Conv1D(nn.Module):
    """A linear layer whose weight (D, F) is stored transposed: what OpenAI's code calls a convolution of width 1.

    nf: F; nx: D.
    """

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.reshape(-1, self.nx), self.weight).view(*x.shape[:-1], self.nf)

    @property
    def __class__(self) -> type[Any]:
        """That of Transformers where a program has loaded it: PEFT tells by it which way round the weight lies."""
        theirs: type[Any] = getattr(sys.modules.get("transformers.pytorch_utils"), "Conv1D", Conv1D)
        return theirs if type(self) is Conv1D else type(self)

    @__class__.setter
    def __class__(self, value: type[Any]) -> None:  # torch.nn.utils.parametrize gives modules another
        vars(object)["__class__"].__set__(self, value)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return object.__new__, (type(self),), vars(self)  # pickle compares the class with what `__class__` says

    def __repr__(self) -> str:
        return f"Conv1D(nf={self.nf}, nx={self.nx})"
