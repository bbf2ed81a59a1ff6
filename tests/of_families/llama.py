"""Llama."""

from .rotary import rotary

FACTS = rotary(
    unseen={"pretraining_tp": "how products are cut"},
    changed={"head_dim": 16},
    forms=(
        ("base", {"attention_bias": True, "mlp_bias": True}),
        ("base", {"head_dim": 16}),
        ("causal-lm", {"num_key_value_heads": 1}),
    ),
)
