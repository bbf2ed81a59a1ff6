"""Gemma: wide heads, scaled words."""

from .rotary import rotary

FACTS = rotary(forms=(("base", {"attention_bias": True}), ("causal-lm", {"hidden_act": "gelu"})))
