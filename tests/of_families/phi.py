"""Phi: attention and feed-forward side by side."""

from .rotary import rotary

FACTS = rotary(
    rates=("attention_dropout", "resid_pdrop", "embd_pdrop"),
    forms=(
        ("base", {"qk_layernorm": False}),
        ("base", {"partial_rotary_factor": 0.25}),
        ("base", {"hidden_act": "relu"}),
    ),
)
