"""Granite: multipliers."""

from .rotary import rotary

FACTS = rotary(forms=(("base", {"attention_bias": True, "mlp_bias": True}),))
