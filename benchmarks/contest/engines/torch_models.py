"""Transformers' models without its pipeline, with its default attention: float32, bf16, or torch's dynamic int8."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification

from ..inputs import Model
from .padded import Padded

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32}


def load_model(model: Model, **options: Any) -> nn.Module:
    """The model with its head, ready to infer."""
    auto = AutoModelForSequenceClassification if model.task == "text-classification" else AutoModel
    loaded: nn.Module = auto.from_pretrained(model.folder, **options).eval()
    return loaded


class Engine(Padded):
    """A model of `precision` "float32", "bf16" or "int8"."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        super().__init__(model)
        torch.set_num_threads(threads)
        self.model = load_model(model, dtype=DTYPES[precision])
        if precision == "int8":
            torch.backends.quantized.engine = "onednn"  # faster here than x86 and fbgemm
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self.model = torch.ao.quantization.quantize_dynamic(self.model, {nn.Linear}, dtype=torch.qint8)

    @torch.inference_mode()
    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        result = self.model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        return np.asarray((result.logits if self.classifies else result.last_hidden_state).float().numpy())


class Outputs(nn.Module):
    """The model from (ids, mask) to its one output that matters, for exporters."""

    def __init__(self, model: Model, **options: Any) -> None:
        super().__init__()
        self.model = load_model(model, **options)
        self.classifies = model.task == "text-classification"

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits (B, C), or hidden states (B, T, D)."""
        result = self.model(input_ids=input_ids, attention_mask=attention_mask)
        output: torch.Tensor = result.logits if self.classifies else result.last_hidden_state
        return output


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (2, 16) with padding, for exporters that trace."""
    ids = torch.randint(1000, 20000, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    return ids, mask
