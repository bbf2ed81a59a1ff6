"""RoBERTa: positions count from that of padding."""

from . import Facts

FACTS = Facts(seen=("pad_token_id",), forms=(("base", {"pad_token_id": 3}),))
