"""For test_capabilities.py: every mode of a small model, in a process whose processor is told to be a lesser one."""

from __future__ import annotations

import json
import time

import torch

import formers


def seconds(model: torch.nn.Module, ids: torch.Tensor) -> float:
    """Of the fastest of some calls."""
    found = []
    for _ in range(20):
        start = time.perf_counter()
        model(ids)
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    """Print {mode: what came out}."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = formers.DistilBertConfig(dim=256, n_heads=4, hidden_dim=1024, n_layers=2, vocab_size=1000)
    model = formers.DistilBertModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.dim() == 2 else 1)  # so that layers change what goes through them
    ids, found = torch.randint(5, 1000, (16, 24)), {}
    with torch.inference_mode():
        expected, own = model(ids).last_hidden_state, seconds(model, ids)
        for mode in ("float32", "fp16", "bf16", "int8", True):
            start = time.perf_counter()
            model.optimize(mode)
            taken = time.perf_counter() - start
            states = model(ids).last_hidden_state
            cosine = torch.nn.functional.cosine_similarity(states, expected, dim=-1)
            found[str(mode)] = {
                "mode": model.optimized and model.optimized.mode,
                "products": model.optimized and model.optimized.products,
                "taken": taken,
                "slower": seconds(model, ids) / own,
                "cosine": float(cosine.min()),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
