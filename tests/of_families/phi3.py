"""Phi-3: joined projections, angles for long texts."""

from .rotary import rotary

LONG = {"rope_type": "longrope", "short_factor": [1.0, 1.5, 2.0, 3.0], "long_factor": [2.0, 4.0, 6.0, 8.0]}

FACTS = rotary(
    unseen={"original_max_position_embeddings": "angles for long texts only"},
    rates=("attention_dropout", "resid_pdrop"),
    windows=True,
    forms=(
        ("base", {"sliding_window": None, "partial_rotary_factor": 0.5}),
        ("base", {"rope_scaling": LONG, "original_max_position_embeddings": 6}),
        ("base", {"rope_scaling": LONG, "original_max_position_embeddings": 20}),
    ),
)
