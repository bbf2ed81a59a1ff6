"""OLMo 2: norms after attention and feed-forward."""

from .rotary import rotary

FACTS = rotary(forms=(("base", {"attention_bias": True}),))
