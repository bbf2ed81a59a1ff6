"""Qwen3-MoE: experts in some layers."""

from .rotary import rotary

FACTS = rotary(
    unseen={"router_aux_loss_coef": "with labels only"},
    changed={"mlp_only_layers": [0]},
    windows=True,
    smooth=False,
    fused=None,
    forms=(
        ("base", {"norm_topk_prob": True, "mlp_only_layers": []}),
        ("base", {"decoder_sparse_step": 2, "mlp_only_layers": []}),
    ),
)
