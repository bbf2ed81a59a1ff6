"""Qwen2: Llama with some biases, and windows in some layers."""

from .rotary import rotary

FACTS = rotary(windows=True, forms=(("base", {"use_sliding_window": False}), ("base", {"max_window_layers": 2})))
