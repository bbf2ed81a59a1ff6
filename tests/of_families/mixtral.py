"""Mixtral: experts."""

from .rotary import rotary

FACTS = rotary(
    unseen={"router_aux_loss_coef": "with labels only", "router_jitter_noise": "training only"},
    changed={"head_dim": 16},
    windows=True,
    smooth=False,
    fused=None,
    forms=(("base", {"num_experts_per_tok": 1}), ("base", {"num_experts_per_tok": 4, "sliding_window": None})),
)
