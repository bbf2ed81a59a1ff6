"""Rotary positions: queries and keys are turned by angles that grow with their column.

Source: Su et al. 2021 (arXiv 2104.09864).
Letters: H heads, d width of a head. "rows" are (N, …) or (B, T, …): see layout.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, near


def angles(positions: Tensor, width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines (…, d) in float32 for positions (…); both halves of the d = `width` numbers turn alike."""
    return turns(positions, _rates(width, base, positions.device))


def turns(positions: Tensor, rates: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (…, d), times `scale`, in float32 for positions (…) and the rates (d / 2) of the pairs."""
    turned = positions[..., None].float() * rates
    turned = torch.cat((turned, turned), dim=-1)
    return (turned.cos(), turned.sin()) if scale == 1.0 else (turned.cos() * scale, turned.sin() * scale)


def _rates(width: int, base: float, device: torch.device | None = None) -> Tensor:
    return 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float, device=device) / width))


def scaled_rates(given: Mapping[str, Any], width: int, longest: int, length: int | None = None) -> tuple[Tensor, float]:
    """The rates (width / 2) at which pairs turn, and what cosines and sines are multiplied by, for long texts.

    given: `rope_parameters` of a configuration. longest: its `max_position_embeddings`. length: of the longest text at
    hand, on which "dynamic" and "longrope" depend; None for one that needs no scaling.
    Sources: linear: Chen et al. 2023 (arXiv 2306.15595); yarn: Peng et al. 2023 (arXiv 2309.00071); longrope: Ding et
    al. 2024 (arXiv 2402.13753); llama3: Dubey et al. 2024 (arXiv 2407.21783).
    """
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind not in _SCALED:
        raise ConfigError(
            f"rope_parameters: rope_type={kind!r} is unknown; it is one of {', '.join(_SCALED)}.{near(kind, _SCALED)}"
        )
    place = torch.empty(0).device
    try:
        with torch.device("cpu"):  # arithmetic on "meta", where models are loaded, imports a compiler for a second
            rates, scale = _SCALED[kind](given, width, longest, length)
            if not (bool(((rates >= 0) & rates.isfinite()).all()) and math.isfinite(scale)):  # nor NaN
                raise ValueError("number, of which no angles come")
        return rates.to(place), scale
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as e:
        raise ConfigError(f"rope_parameters of type {kind!r} lack, or have a wrong, {e}: {dict(given)}.") from e


def _default(given: Mapping[str, Any], width: int, longest: int, length: int | None) -> tuple[Tensor, float]:
    return _rates(width, given["rope_theta"]), 1.0


def _linear(given: Mapping[str, Any], width: int, longest: int, length: int | None) -> tuple[Tensor, float]:
    return _rates(width, given["rope_theta"]) / given["factor"], 1.0


def _dynamic(given: Mapping[str, Any], width: int, longest: int, length: int | None) -> tuple[Tensor, float]:
    factor, length = given["factor"], max(length or longest, longest)
    base = given["rope_theta"] * (factor * length / longest - (factor - 1)) ** (width / (width - 2))
    return _rates(width, base), 1.0


def _yarn(given: Mapping[str, Any], width: int, longest: int, length: int | None) -> tuple[Tensor, float]:
    base, trained = given["rope_theta"], given.get("original_max_position_embeddings") or longest
    factor = given.get("factor") or longest / trained

    def growth(times: float = 1.0) -> float:
        return 0.1 * times * math.log(factor) + 1.0 if factor > 1 else 1.0

    def place(rotations: float) -> float:
        """The pair that turns so often within the trained length."""
        return width * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(base))

    scale, some, every = (given.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim"))
    if scale is None:
        scale = growth(some) / growth(every) if some and every else growth()
    low, high = place(given.get("beta_fast") or 32), place(given.get("beta_slow") or 1)
    if given.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high = high + 0.001 if low == high else high
    slow = ((torch.arange(width // 2, dtype=torch.float) - low) / (high - low)).clamp(0, 1)
    rates = _rates(width, base)
    return rates / factor * slow + rates * (1 - slow), float(scale)


def _longrope(given: Mapping[str, Any], width: int, longest: int, length: int | None) -> tuple[Tensor, float]:
    trained = given["original_max_position_embeddings"]
    factor, scale = given.get("factor") or longest / trained, given.get("attention_factor")
    if scale is None:
        scale = math.sqrt(1 + math.log(factor) / math.log(trained)) if factor > 1 else 1.0
    slower = given["long_factor" if (length or 0) > trained else "short_factor"]
    return _rates(width, given["rope_theta"]) / torch.tensor(slower, dtype=torch.float), float(scale)


def _llama3(given: Mapping[str, Any], width: int, longest: int, length: int | None) -> tuple[Tensor, float]:
    factor, low, high = given["factor"], given["low_freq_factor"], given["high_freq_factor"]
    rates, trained = _rates(width, given["rope_theta"]), given["original_max_position_embeddings"]
    share = ((trained * rates / (2 * math.pi) - low) / (high - low)).clamp(0, 1)  # of pairs that turn often: 1
    return (1 - share) * rates / factor + share * rates, 1.0


_SCALED = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}


def rotate(rows: Tensor, cosines: Tensor, sines: Tensor, heads: int, pairs: bool = False) -> Tensor:
    """Rows (…, H·d), each head's numbers turned by the angles (…, w) of its row: its first w numbers, w ≤ d.

    pairs: neighbouring numbers turn together; else each of the first half with its like in the second.
    """
    whole, w = rows.unflatten(-1, (heads, -1)), cosines.shape[-1]  # (…, H, d)
    x = whole[..., :w].float()
    if pairs:
        across = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    else:
        first, second = x.chunk(2, dim=-1)
        across = torch.cat((-second, first), dim=-1)
    turned = torch.addcmul(x * cosines[..., None, :], across, sines[..., None, :]).to(rows.dtype)
    return (torch.cat((turned, whole[..., w:]), dim=-1) if w < whole.shape[-1] else turned).flatten(-2)


def rotate_both(
    query: Tensor, key: Tensor, turns: tuple[Tensor, Tensor], heads: int, key_heads: int
) -> tuple[Tensor, Tensor]:
    """Queries (…, H·d) and keys (…, G·d), both turned as `rotate` does, by one call of each operator."""
    both = rotate(torch.cat((query, key), dim=-1), *turns, heads + key_heads)
    turned: Any = both.split((query.shape[-1], key.shape[-1]), dim=-1)
    return turned
