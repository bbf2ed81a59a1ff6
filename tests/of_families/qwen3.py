"""Qwen3: norms of queries and keys."""

from .rotary import rotary

FACTS = rotary(
    windows=True,
    forms=(("base", {"attention_bias": True}), ("base", {"use_sliding_window": False, "head_dim": 8})),
)
