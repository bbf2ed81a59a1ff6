"""Gemma 3: norms of queries and keys, two bases of angles."""

from .rotary import rotary

FACTS = rotary(
    unseen={"attn_logit_softcapping": "read by nothing in the reference"},
    changed={"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10.0}}},
    windows=True,
    forms=(
        ("base", {"use_bidirectional_attention": True}),
        ("causal-lm", {"final_logit_softcapping": 1.0, "attention_bias": True}),
        ("base", {"rope_theta": 100.0, "rope_local_base_freq": 10.0}),
        ("base", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    ),
)
