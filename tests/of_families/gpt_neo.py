"""GPT-Neo: GPT-2's form, with windows in every other layer."""

from . import Facts
from .gpt2 import chained

FACTS = Facts(
    causal=True,
    rates=("embed_dropout", "resid_dropout", "attention_dropout"),
    head_rate=None,
    changed={"attention_types": [[["local", "global"], 1]]},
    together={"num_layers": {"attention_types": [[["global", "local", "global"], 1]]}},
    forms=(("base", {"intermediate_size": None}), ("base", {"attention_types": [[["local"], 2]]})),
    windows=True,
    always=True,
    short_tuples=("token-classification", "question-answering"),
    types_are_words=True,
    chain=chained,
)
