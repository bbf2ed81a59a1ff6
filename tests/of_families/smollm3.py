"""SmolLM3: layers whose queries and keys do not turn."""

from .rotary import rotary

FACTS = rotary(
    changed={"no_rope_layers": [0, 1]},
    windows=True,
    forms=(
        ("base", {"no_rope_layers": [0, 1]}),
        ("base", {"use_sliding_window": False, "attention_bias": True, "mlp_bias": True}),
    ),
)
