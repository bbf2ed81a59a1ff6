"""Mistral: Llama with a window."""

from .rotary import rotary

FACTS = rotary(
    changed={"head_dim": 16},
    windows=True,
    forms=(("base", {"sliding_window": None}), ("base", {"head_dim": 16})),
)
