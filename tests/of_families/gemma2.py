"""Gemma 2: four norms, caps, windows in every other layer."""

from .rotary import rotary

FACTS = rotary(
    windows=True,
    forms=(
        ("causal-lm", {"final_logit_softcapping": None, "attn_logit_softcapping": None}),
        ("causal-lm", {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 1.0, "attention_bias": True}),
    ),
)
