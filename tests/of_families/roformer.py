"""RoFormer: turned queries and keys; no rate of dropout for its classifier alone."""

from . import Facts

FACTS = Facts(
    head_rate="hidden_dropout_prob",
    forms=(("base", {"rotary_value": False, "embedding_size": 32}), ("multiple-choice", {"summary_type": "first"})),
)
