"""The scaling of rotary positions: what a GGUF file says, by keys or by tensors of factors, as config.json has it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, ConfigError
from .architectures import Model

FACTORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
_MOST_FACTORS = 4096
_CLOSE = 2e-3  # relative; llama.cpp's converter computes in float32


def rope_scaling(model: Model) -> dict[str, Any]:
    """`rope_scaling` of the config.json; nothing where positions are not scaled. Errors: ConfigError."""
    common, long, short = (_factors(model, name) for name in FACTORS)
    if common is not None:
        return _llama3(model, common)
    if long is not None and short is not None:
        return _as_key({"rope_type": "longrope", "long_factor": long.tolist(), "short_factor": short.tolist()})
    kind = model.keys.get("rope.scaling.type", "none")
    factor = model.keys.get("rope.scaling.factor", model.keys.get("rope.scale_linear", 1.0))
    if "rope.scaling.type" not in model.keys and "rope.scale_linear" in model.keys:
        kind = "linear"
    if kind == "none" or factor in (0, 1):
        return {}
    if kind not in ("linear", "yarn") or type(factor) not in (int, float):
        raise ConfigError(
            f"{str(model.path)!r}: rope.scaling.type is {str(kind)[:80]!r} with the factor {str(factor)[:80]}; linear "
            "and yarn, with a number, can be read."
        )
    found = {"rope_type": kind, "factor": factor}
    if (before := model.keys.get("rope.scaling.original_context_length")) is not None:
        found["original_max_position_embeddings"] = before
    return _as_key(found)


def _as_key(found: dict[str, Any]) -> dict[str, Any]:
    return {"rope_scaling": found}


def _factors(model: Model, name: str) -> Tensor | None:
    if (lazy := model.tensors.get(name)) is None:
        return None
    if len(lazy.shape) != 1 or not 0 < lazy.shape[0] <= _MOST_FACTORS:
        raise CheckpointError(
            f"{str(model.path)!r}: the tensor {name!r} has the shape {list(lazy.shape)}; one factor for each pair of a "
            "head's rows is needed."
        )
    return lazy.load().double()


def _llama3(model: Model, factors: Tensor) -> dict[str, Any]:
    """Llama 3's scaling, told from the factors that it gives.

    The frequencies of long waves are divided by `factor`, those of short ones are kept, and between them 1/factors is
    linear in the frequency: its slope and place say the lengths, up to `low_freq_factor`, which is 1 in all published
    models.
    """
    factor = float(factors.max())
    if factor == 1.0:
        return {}
    theta = model.keys.get("rope.freq_base", 10_000.0)
    if type(theta) not in (int, float) or not 1 < theta < math.inf:
        raise ConfigError(f"{str(model.path)!r}: rope.freq_base is {str(theta)[:80]}; a number above 1 is needed.")
    waves = 2 * math.pi * theta ** (torch.arange(len(factors)).double() / len(factors))  # in tokens
    between = (factors > 1 + _CLOSE) & (factors < factor * (1 - _CLOSE))
    if int(between.sum()) > 1:
        share = (1 / factors - 1 / factor) / (1 - 1 / factor)  # of the frequency itself: 1 for short waves
        x, y = 1 / waves[between], share[between]
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
        start = slope * float(x.mean()) - float(y.mean())
        if start > 0 and slope > 0:
            high, length = round(1 + 1 / start, 2), round(slope / start)
            expected = 1 / factor + (1 - 1 / factor) * ((length / waves - 1) / (high - 1)).clamp(0, 1)
            if torch.allclose(1 / expected, factors, rtol=_CLOSE, atol=0):
                return _as_key(
                    {
                        "rope_type": "llama3",
                        "factor": factor,
                        "low_freq_factor": 1.0,
                        "high_freq_factor": high,
                        "original_max_position_embeddings": length,
                    }
                )
    raise ConfigError(
        f"{str(model.path)!r}: its factors of rotary frequencies (rope_freqs.weight) are none of Llama 3's scaling, "
        "the only one that can be told from factors."
    )
